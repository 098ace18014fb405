"""Who owns a byte of a whole space: its volumes, each with its owners, the partition tables, and the gaps between."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import NamedTuple

from snapscan.model.locator import Locator
from snapscan.model.mapping import FormerName
from snapscan.model.owner import FAR, UNWRITTEN, Claim, OwnerKind, OwnerMap, OwnerRecord
from snapscan.model.snapshot import SnapshotRef
from snapscan.model.volume import VolumeMap

KNOWN_MOST = 4096
_NAMED = (OwnerKind.FILE, OwnerKind.DIRECTORY, OwnerKind.SYMLINK, OwnerKind.ATTRIBUTE)


class Place(NamedTuple):
    """One owner of one byte, in the words of reports.

    `owner` is -1 where nobody is known; `offset` counts in the owner's bytes if `named`, else in the space.
    `until` is the first space offset behind this byte at which the answer may change.
    """

    volume: int
    owner: int
    offset: int
    word: str
    state: str
    path: bytes
    named: bool
    until: int
    record: OwnerRecord | None = None
    also: tuple[bytes, ...] = ()


class SpaceMap:
    """Answers for every byte of a space; a byte that no map knows is `unknown`, never an error."""

    def __init__(
        self,
        snapshot: SnapshotRef,
        found: VolumeMap,
        maps: Mapping[int, OwnerMap],
        former: Mapping[int, list[FormerName]] | None = None,
        containers: Mapping[int, dict[str, str]] | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.volumes = found.volumes
        self.maps = maps
        self._tables = sorted(found.tables)
        segments = [(s.space_start, s.space_start + s.length, v) for v, volume in enumerate(found.volumes) for s in volume.segments]
        self._segments = sorted(segments, key=lambda item: (item[0], -item[1]))
        self._starts = [item[0] for item in self._segments]
        self._former = {v: sorted(rows, key=lambda r: r.start) for v, rows in (former or {}).items()}
        self._containers = containers or {}
        self._known: dict[tuple[int, int], tuple[OwnerRecord, list[bytes]]] = {}
        self._partitioned = bool(found.tables) or len(found.volumes) > 1

    def places(self, position: int) -> list[Place]:
        """Every owner of the byte at `position`, at least one."""
        volume, until = self._volume_at(position)
        if volume < 0:
            word = self._outside(position)
            return [Place(-1, -1, position, word, "live", b"", False, until)]
        owners = self.maps.get(volume)
        if owners is None:
            return [Place(volume, -1, position, "unknown", "live", b"", False, until)]
        claims, edge = owners.look(position)
        edge = min(edge, until)
        if not claims:
            return [Place(volume, -1, position, "unknown", "live", b"", False, edge)]
        return [self._place(volume, owners, claim, position, edge) for claim in claims]

    def _place(self, volume: int, owners: OwnerMap, claim: Claim, position: int, until: int) -> Place:
        record, paths = self._owner(volume, owners, claim.owner)
        if record.kind not in _NAMED:
            return Place(volume, claim.owner, position, record.kind.word, "live", b"", False, until, record)
        path, also = (paths[0] if paths else b""), tuple(paths[1:])
        if claim.owner_offset >= record.size_bytes and record.kind is OwnerKind.FILE:
            return Place(volume, claim.owner, position, "slack", "stale", path, False, until, record, also)
        if record.kind is OwnerKind.ATTRIBUTE:  # bears its file's path, and is not what that path leads to
            return Place(volume, claim.owner, position, record.kind.word, record.state.name.lower(), path, False, until, record, also)
        if record.kind is OwnerKind.FILE:
            until = min(until, position + record.size_bytes - claim.owner_offset)
        state = "unwritten" if claim.flags & UNWRITTEN else record.state.name.lower()
        named = bool(path) or claim.owner == owners.root
        return Place(volume, claim.owner, claim.owner_offset if named else position, record.kind.word, state, path, named, until, record, also)

    def _owner(self, volume: int, owners: OwnerMap, owner: int) -> tuple[OwnerRecord, list[bytes]]:
        """Record and paths; kept for the next hit, which most often lies in the same owner."""
        known = self._known.get((volume, owner))
        if known is None:
            if len(self._known) >= KNOWN_MOST:
                self._known.clear()
            record = owners.record(owner)
            known = self._known[volume, owner] = record, owners.paths(owner) if record.kind in _NAMED else []
        return known

    def same_owner_until(self, place: Place, position: int, end: int) -> bool:
        """Whether the bytes position .. end all belong to `place`'s owner, in its own order."""
        at = place.until
        offset = place.offset
        while at < end:
            following = [p for p in self.places(at) if (p.volume, p.owner, p.word) == (place.volume, place.owner, place.word)]
            if not following or (place.named and following[0].offset != offset + at - position):
                return False
            if following[0].until <= at:
                return False
            at = following[0].until
        return True

    def former(self, volume: int, position: int) -> FormerName | None:
        """Whose byte this was before it was freed, if a journal or a directory still tells; the newest answer comes first in the list."""
        rows = self._former.get(volume, [])
        base = self.volume_offset(volume, position)
        if base is None:
            return None
        at = bisect_right(rows, base, key=lambda r: r.start)
        for row in reversed(rows[max(0, at - 64) : at]):
            if row.start <= base < row.end:
                return row
        return None

    def container_of(self, place: Place) -> str:
        """The image or container whose layer holds a path; empty where that is not so or cannot be told."""
        prefixes = self._containers.get(place.volume)
        if not prefixes or not place.path:
            return ""
        path = place.path.decode("utf-8", "backslashreplace")
        while path := path.rpartition("/")[0]:
            if path in prefixes:
                return prefixes[path]
        return ""

    def locator(self, place: Place, position: int, length: int) -> Locator:
        """Names the bytes: by path where the owner has one, by place in the space where not."""
        volume = self.volumes[place.volume] if place.volume >= 0 else None
        snapshot = self.snapshot
        step = volume.step if volume else ""
        filesystem = volume.filesystem if volume and volume.filesystem and snapshot.kind != "folder" else ""
        label = snapshot.label.encode("utf-8", "surrogateescape")
        if place.named:
            return Locator(snapshot.kind, label, b"", step, filesystem, place.path.lstrip(b"/"), (), place.offset, length)
        return Locator(snapshot.kind, label, b"", step, filesystem, place.word.encode(), (), position, length, in_space=True)

    def _volume_at(self, position: int) -> tuple[int, int]:
        """(volume, first offset at which that may change); -1 between volumes. The first volume in the table wins an overlap."""
        at = bisect_right(self._starts, position)
        until = self._starts[at] if at < len(self._starts) else FAR
        for start, end, volume in reversed(self._segments[max(0, at - 128) : at]):
            if start <= position < end:
                return volume, min(until, end)
        return -1, until

    def volume_offset(self, volume: int, position: int) -> int | None:
        """The volume's own offset of a place in the space; None outside it."""
        for segment in self.volumes[volume].segments:
            if segment.space_start <= position < segment.space_start + segment.length:
                return segment.volume_start + position - segment.space_start
        return None

    def _outside(self, position: int) -> str:
        if any(table.start <= position < table.end for table in self._tables):
            return OwnerKind.PARTITION_TABLE.word
        return OwnerKind.GAP.word if self._partitioned else OwnerKind.UNKNOWN.word
