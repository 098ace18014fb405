-- A case: everything one run learned about one snapshot. Written by one process, read by any number.
-- No value of a secret stands in any table: `redacted` shows at most four characters, `fingerprint` is a keyed hash.
-- References between tables are plain numbers: the writer puts both ends into one transaction, and a check of each row would cost a third of the speed.

-- What the run is: one JSON value for each key (version, digests, key id, policy, start, end, whether it was interrupted).
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL CHECK (json_valid(value))
) STRICT, WITHOUT ROWID;

-- The runs of bytes that are swept: the snapshot's own, one for each further state, one for each child space.
CREATE TABLE space (
    id         INTEGER PRIMARY KEY,
    snapshot   TEXT NOT NULL CHECK (json_valid(snapshot)),
    state      TEXT NOT NULL DEFAULT '',
    spec       TEXT NOT NULL CHECK (json_valid(spec)),
    stamps     TEXT NOT NULL CHECK (json_valid(stamps)),
    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
    volume_map TEXT CHECK (volume_map IS NULL OR json_valid(volume_map))
) STRICT;

-- The rules that were used, so that a report needs no rule file.
CREATE TABLE rule (
    id       TEXT PRIMARY KEY,
    name     TEXT NOT NULL,
    kind     TEXT NOT NULL,
    severity INTEGER NOT NULL CHECK (severity BETWEEN 0 AND 4),
    why      TEXT NOT NULL DEFAULT '',
    fix      TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

-- The work: a task is pending until its last part is stored, so that a resumed run knows what is left.
CREATE TABLE task (
    number INTEGER PRIMARY KEY,
    id     TEXT NOT NULL UNIQUE CHECK (id <> ''),
    kind   TEXT NOT NULL,
    space  INTEGER NOT NULL DEFAULT 0,
    state  TEXT NOT NULL CHECK (state IN ('pending', 'done'))
) STRICT;

-- The coverage ledger: bytes start .. end of a space and what became of them; rows of one space never overlap.
CREATE TABLE ledger (
    space   INTEGER NOT NULL,
    start   INTEGER NOT NULL CHECK (start >= 0),
    end     INTEGER NOT NULL CHECK (end > start),
    outcome TEXT NOT NULL CHECK (outcome IN ('swept', 'absent', 'excluded', 'unread', 'lost')),
    reason  TEXT NOT NULL DEFAULT '' CHECK (reason <> '' OR outcome IN ('swept', 'absent')),
    detail  TEXT NOT NULL DEFAULT '',
    task    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (space, start)
) STRICT, WITHOUT ROWID;
CREATE INDEX ledger_task ON ledger (task);

-- Secrets by their place in the space, before anybody knows whose bytes they are.
CREATE TABLE hit (
    task        INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    space       INTEGER NOT NULL,
    rule        TEXT NOT NULL,
    start       INTEGER NOT NULL CHECK (start >= 0),
    length      INTEGER NOT NULL CHECK (length > 0),
    fingerprint TEXT NOT NULL,
    redacted    TEXT NOT NULL,
    confidence  INTEGER NOT NULL CHECK (confidence BETWEEN 0 AND 2),
    wide        INTEGER NOT NULL CHECK (wide IN (1, 2)),
    evidence    TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (task, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX hit_place ON hit (space, start);

-- Places where a view may begin (the magic of an archive, of compressed data), seen by the sweep.
CREATE TABLE magic (
    task   INTEGER NOT NULL,
    number INTEGER NOT NULL,
    space  INTEGER NOT NULL,
    start  INTEGER NOT NULL CHECK (start >= 0),
    kind   TEXT NOT NULL,
    PRIMARY KEY (task, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX magic_place ON magic (space, start);

-- One row for each place where a secret lies, with its owner.
CREATE TABLE sighting (
    task         INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    space        INTEGER NOT NULL,
    fingerprint  TEXT NOT NULL CHECK (fingerprint <> ''),
    rule         TEXT NOT NULL CHECK (rule <> ''),
    locator      TEXT NOT NULL,
    path         TEXT NOT NULL,
    "offset"     INTEGER NOT NULL,
    length       INTEGER NOT NULL,
    space_offset INTEGER NOT NULL,
    owner        TEXT NOT NULL,
    owner_state  TEXT NOT NULL,
    mode         INTEGER NOT NULL,
    uid          INTEGER NOT NULL,
    mtime        INTEGER NOT NULL,
    redacted     TEXT NOT NULL,
    confidence   INTEGER NOT NULL CHECK (confidence BETWEEN 0 AND 2),
    attribution  TEXT NOT NULL DEFAULT 'null',
    evidence     TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (task, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX sighting_place ON sighting (space, space_offset);

-- Findings are counted, not kept: one row for each distinct secret and rule that still has a sighting.
CREATE VIEW finding AS
    SELECT fingerprint, rule, max(confidence) AS confidence, min(redacted) AS redacted, count(*) AS sightings
    FROM sighting GROUP BY fingerprint, rule;

-- What had to be decoded and how that ended; a run with a pending row is not finished.
CREATE TABLE view (
    space         INTEGER NOT NULL,
    locator       TEXT NOT NULL,
    kind          TEXT NOT NULL,
    stored_bytes  INTEGER NOT NULL CHECK (stored_bytes >= 0),
    decoded_bytes INTEGER NOT NULL CHECK (decoded_bytes >= 0),
    outcome       TEXT NOT NULL CHECK (outcome IN ('pending', 'opened', 'partly', 'refused', 'lost')),
    reason        TEXT NOT NULL DEFAULT '' CHECK (reason <> '' OR outcome IN ('pending', 'opened')),
    detail        TEXT NOT NULL DEFAULT '',
    task          INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (space, locator, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX view_task ON view (task);

-- What the bytes alone do not show: an unmapped filesystem, an encrypted volume, a dirty log. Two tasks may say the same: readers see it once.
CREATE TABLE gap (
    space  INTEGER NOT NULL,
    reason TEXT NOT NULL CHECK (reason <> ''),
    place  TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT '',
    start  INTEGER NOT NULL DEFAULT 0,
    end    INTEGER NOT NULL DEFAULT 0,
    task   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (task, space, reason, place, start, end, detail)
) STRICT, WITHOUT ROWID;

-- Files whose digest is the one that an installed package shipped them with: what was found in them is the vendor's.
CREATE TABLE proof (
    space   INTEGER NOT NULL,
    path    TEXT NOT NULL,
    package TEXT NOT NULL,
    task    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (task, space, path)
) STRICT, WITHOUT ROWID;

-- Remarks for the reader that change nothing: a damaged entry, a checksum that was off.
CREATE TABLE note (
    space INTEGER NOT NULL,
    text  TEXT NOT NULL,
    task  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (task, space, text)
) STRICT, WITHOUT ROWID;
