from __future__ import annotations

import msgspec
import pytest

from snapscan.gate import judged
from snapscan.model.finding import Attribution, Evidence, Sighting
from snapscan.model.ledger import LedgerRow
from snapscan.model.policy import SCAN_DEFAULTS
from snapscan.model.rule import Rule
from snapscan.model.snapshot import SnapshotRef, SourceSpec
from snapscan.model.view import ViewRow
from snapscan.model.volume import Gap, Segment, Volume, VolumeMap
from snapscan.store.queries import run_view
from snapscan.store.store import Store

MIB = 1 << 20
HOSTILE = "/srv/\x1b[31mred\u202egnp.exe\n\x9b2J\u2028[bold]x[/bold].env"

RULES = [
    Rule("acme.deploy-token", "Acme deploy token", "secret", "critical", "x", "It can replace production code.", "Revoke it in Acme.", [], []),
    Rule("generic.private-key", "Private key", "secret", "high", "x", "It opens doors.", "Make a new key pair.", [], []),
    Rule("personal.card", "Card number", "personal", "low", "x", "It is personal.", "", [], []),
]


def _sighting(rule, fingerprint, path, offset, space_offset, **fields):
    values = {
        "fingerprint": fingerprint, "rule": rule, "locator": f"qcow2:web.qcow2/part:1/ext4{path}@{offset}+40", "path": path, "offset": offset,
        "length": 40, "space_offset": space_offset, "owner": "file", "owner_state": "live", "mode": 0o100644, "uid": 33,
        "mtime": 1_700_000_000, "redacted": "acme… (40 characters)", "confidence": 2, "evidence": (Evidence("checksum", "right", 4),),
    }  # fmt: skip
    return Sighting(**(values | fields))


def fill(store):
    """One disk with a state: three secrets, a place of every kind, something of everything that was not read."""
    spec = SourceSpec("/images/web.qcow2")
    disk = store.add_space(SnapshotRef("qcow2", "guid-1", "web.qcow2", 10 * MIB), spec, (), 10 * MIB)
    state = store.add_space(SnapshotRef("qcow2", "guid-1", "web.qcow2", 2 * MIB), spec, (), 2 * MIB, state="before upgrade")
    store.add_rules(RULES)
    volumes = (Volume("part:1", (Segment(0, MIB, 8 * MIB),), "ext4"), Volume("part:2", (Segment(0, 9 * MIB, MIB),), "luks"))
    store.set_volume_map(
        disk, VolumeMap(volumes, gaps=(Gap("encrypted-volume", "part:2", "LUKS2", 9 * MIB, 10 * MIB),), notes=("inode 12: bad checksum",))
    )
    copies = [_sighting("acme.deploy-token", "f1", f"/srv/app/{n}.env", 10 + n, 2 * MIB + n) for n in range(6)]
    free = _sighting(
        "acme.deploy-token", "f1", "/srv/old/.env", 0, 3 * MIB, owner="free", owner_state="deleted", mode=0, uid=0, mtime=0,
        locator="qcow2:web.qcow2/part:1/ext4/free@0x300000+40", confidence=1,
        attribution=Attribution(formerly="/srv/old/.env", offset=16, known_from="journal"),
    )  # fmt: skip
    inside = _sighting(
        "generic.private-key", "f2", HOSTILE, 7, 4 * MIB, locator="qcow2:web.qcow2/part:1/ext4/srv/a.zip!zip:key.pem@7+40",
        redacted="(12 characters, letters)", confidence=1, attribution=Attribution(container="web"), evidence=(),
    )  # fmt: skip
    store.add_task_result(
        "sweep:1", space=disk,
        ledger=[
            LedgerRow(0, 4 * MIB, "swept"), LedgerRow(4 * MIB, 5 * MIB, "swept"), LedgerRow(5 * MIB, 5 * MIB + 4096, "unread", "media-error", "EIO"),
            LedgerRow(5 * MIB + 4096, 5 * MIB + 8192, "unread", "media-error", "short read"),
            LedgerRow(5 * MIB + 8192, 6 * MIB, "lost", "worker-crashed"),
            LedgerRow(6 * MIB, 10 * MIB, "absent"),
        ],
    )  # fmt: skip
    store.add_task_result("sweep:2", space=state, ledger=[LedgerRow(0, 2 * MIB, "swept")])
    store.add_task_result("owners:1", space=disk, sightings=[*copies, free, inside])
    card = _sighting("personal.card", "f3", "/c.txt", 1, 99, locator="qcow2:web.qcow2%state:before%20upgrade/ext4/c.txt@1+16", confidence=0)
    store.add_task_result("owners:2", space=state, sightings=[card])
    zip_locator = "qcow2:web.qcow2/part:1/ext4/srv/"
    store.add_views(
        disk,
        [
            ViewRow(f"{zip_locator}a.zip@0+900", "zip", 900, 4000, "opened"),
            ViewRow(f"{zip_locator}locked.zip@0+500", "zip", 500, 0, "refused", "encrypted", "AES"),
            ViewRow(f"{zip_locator}bomb.gz@0+70", "gzip", 70, 64 * MIB, "partly", "expansion-limit"),
        ],
    )
    store.set_meta(finished="2026-01-01T00:00:03Z", seconds=3.25)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """The RunView of the case that `fill` describes, read back from its store and judged."""
    case = tmp_path_factory.mktemp("report") / "web.snapscan"
    facts = {"version": "0.1.0", "rules_digest": "r" * 8, "policy_digest": "p" * 8, "key_id": "k", "started": "2026-01-01T00:00:00Z"}
    with Store.create(case, **facts) as store:
        fill(store)
    with Store.open_read_only(case) as reader:
        return judged(run_view(reader), SCAN_DEFAULTS.gate)


@pytest.fixture
def hostile_name():
    return HOSTILE


@pytest.fixture
def clean(sample):
    """The same disk when everything was read and nothing was found."""
    ledger = (LedgerRow(0, 10 * MIB, "swept"),)
    totals = msgspec.structs.replace(sample.spaces[0].totals, swept=10 * MIB, absent=0, unread=0, lost=0)
    space = msgspec.structs.replace(sample.spaces[0], ledger=ledger, totals=totals)
    return judged(msgspec.structs.replace(sample, spaces=(space,), findings=(), views=(), gaps=(), notes=()), SCAN_DEFAULTS.gate)
