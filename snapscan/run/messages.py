"""What crosses the pipe between foreman and worker: tasks one way, results the other. Records only, never an open file, never a value."""

from __future__ import annotations

from typing import Any

import msgspec

from snapscan.model.finding import Hit, Sighting
from snapscan.model.ledger import LedgerRow
from snapscan.model.snapshot import SnapshotRef, SourceSpec, SourceStamp
from snapscan.model.view import ViewRow
from snapscan.model.volume import Gap, VolumeMap


class SpaceSpec(msgspec.Struct, frozen=True):
    """All that a worker needs to work on a space: where its source is, what it is, where its maps lie, and how it looked when opened."""

    number: int
    source: SourceSpec
    snapshot: SnapshotRef
    volumes: VolumeMap
    maps: str
    listing: str = ""
    """File of ours that holds a folder's list of files, so that every process sees one layout."""
    stamps: tuple[SourceStamp, ...] = ()


class Task(msgspec.Struct, frozen=True, tag=True):
    """`id` is the same in a resumed run; `space` is 0 while there is none."""

    id: str
    space: int


class ProbeTask(Task, frozen=True, tag=True):
    """Open the source, look at its partition tables, and cut it into ranges of about `range_bytes` stored bytes."""

    source: SourceSpec
    listing: str
    range_bytes: int


class RangeTask(Task, frozen=True, tag=True):
    """Sweep bytes start .. end."""

    start: int
    end: int


class MapTask(Task, frozen=True, tag=True):
    """Map one volume and write its columns to the case folder."""

    volume: int


class JoinTask(Task, frozen=True, tag=True):
    """Say whose bytes these hits are, and which of these magics begin a view."""

    hits: tuple[Hit, ...] = ()
    magics: tuple[tuple[int, str], ...] = ()
    last: bool = False
    """The space's last join task: it also lists the owners that are looked at for their name."""
    views: bool = True
    """Whether archives are opened; where not, it is said how many were there."""


class EdgeTask(Task, frozen=True, tag=True):
    """Look again where owners first .. last of a volume (by index) do not have their own neighbours."""

    volume: int
    first: int
    last: int


class ViewItem(msgspec.Struct, frozen=True, array_like=True):
    """A view to open: of an owner, or carved from `start .. end` of the space where `owner` is -1."""

    volume: int
    owner: int
    kind: str
    start: int
    end: int
    stored_bytes: int
    locator: str


class ViewTask(Task, frozen=True, tag=True):
    items: tuple[ViewItem, ...]


class LookItem(msgspec.Struct, frozen=True, array_like=True):
    """An owner to be read as a whole, and why: the rules that hit in it, or an artefact's name."""

    volume: int
    owner: int
    rules: tuple[str, ...] = ()


class LookTask(Task, frozen=True, tag=True):
    items: tuple[LookItem, ...]


class ProofTask(Task, frozen=True, tag=True):
    """Which of these files (paths of sightings) are unchanged parts of an installed package."""

    paths: tuple[str, ...]


AnyTask = ProbeTask | RangeTask | MapTask | JoinTask | EdgeTask | ViewTask | LookTask | ProofTask


class Probed(msgspec.Struct, frozen=True):
    snapshot: SnapshotRef
    size_bytes: int
    stored_bytes: int
    stamps: tuple[SourceStamp, ...]
    volumes: VolumeMap
    ranges: tuple[tuple[int, int, int], ...]
    """(start, end, stored bytes), together all of the space."""


class Part(msgspec.Struct, frozen=True):
    """A piece of a task's result. Parts of an attempt count when the one marked `last` is in; all fields but the task are optional."""

    task: str
    number: int
    last: bool
    hits: tuple[Hit, ...] = ()
    magics: tuple[tuple[int, str], ...] = ()
    ledger: tuple[LedgerRow, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    views: tuple[ViewRow, ...] = ()
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()
    probed: Probed | None = None
    items: tuple[ViewItem, ...] = ()
    looks: tuple[LookItem, ...] = ()
    proofs: tuple[tuple[str, str], ...] = ()
    """(path, package)"""
    owners: int = 0
    error: tuple[str, str, str, int] | None = None
    """(reference, message, hint, exit code) of an error that ends the run: the source cannot be opened, our output cannot be written."""
    done_bytes: int = 0


class LogRecord(msgspec.Struct, frozen=True):
    """One line for the foreman's log handlers."""

    name: str
    level: int
    message: str
    created: float
    process: int


class Give(msgspec.Struct, frozen=True, tag=True):
    """Foreman to worker: do this; the space's spec comes along when the worker does not know it yet."""

    task: AnyTask
    space: SpaceSpec | None = None


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Foreman to worker: end."""


class Answer(msgspec.Struct, frozen=True, tag=True):
    """Worker to foreman: a part, and the log lines since the last."""

    part: Part | None
    logs: tuple[LogRecord, ...] = ()


_ENCODER = msgspec.msgpack.Encoder()
_TO_WORKER: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Give | Stop)
_TO_FOREMAN = msgspec.msgpack.Decoder(Answer)


def encode(message: Give | Stop | Answer) -> bytes:
    """Text that is not Unicode (a name from a hostile image that slipped through) is written with its odd bytes as `\\xNN`, never refused."""
    try:
        return _ENCODER.encode(message)
    except UnicodeEncodeError:
        return _ENCODER.encode(scrubbed(message))


def scrubbed(value: Any) -> Any:
    """The same record with every text made Unicode."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(value, tuple):
        return tuple(scrubbed(item) for item in value)
    if isinstance(value, dict):
        return {scrubbed(key): scrubbed(item) for key, item in value.items()}
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **{name: scrubbed(getattr(value, name)) for name in value.__struct_fields__})
    return value


def for_worker(data: bytes) -> Give | Stop:
    """Raises msgspec.DecodeError for anything but a message."""
    message: Give | Stop = _TO_WORKER.decode(data)
    return message


def for_foreman(data: bytes) -> Answer:
    """Raises msgspec.DecodeError: the worker that sent it is not to be believed any more."""
    return _TO_FOREMAN.decode(data)
