"""The first task of a source: open it, find its volumes, cut it into ranges. And the map task of each volume."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from snapscan.maps.registry import map_volume
from snapscan.maps.volumes import find_volumes
from snapscan.model.errors import ReadFault, StoreError
from snapscan.model.mapping import MapLimits, Mapped
from snapscan.model.snapshot import SnapshotRef
from snapscan.model.space import Space
from snapscan.model.volume import Gap, Segment, Volume, VolumeMap, VolumeReader
from snapscan.run.attribute import text
from snapscan.run.messages import MapTask, Part, Probed, ProbeTask, scrubbed
from snapscan.run.opened import DONE, MapFacts, OpenSpace, StoredIndex, map_folder
from snapscan.spaces.folder import FolderSpace
from snapscan.spaces.registry import open_space


def probe(task: ProbeTask) -> Iterator[Part]:
    """Raises SourceError when the source cannot be opened at all; a partition table that cannot be read is a gap."""
    space = open_space(task.source, listing=Path(task.listing))
    try:
        stored = StoredIndex(space)
        volumes = _volumes(space)
        probed = Probed(
            snapshot=_named(space.snapshot, volumes),
            size_bytes=space.size_bytes,
            stored_bytes=stored.bytes_total(),
            stamps=space.stamps(),
            volumes=volumes,
            ranges=tuple(stored.cut(space.size_bytes, task.range_bytes)),
        )
        yield Part(task.id, 0, True, probed=probed, gaps=_skipped(space), notes=space.notes)
    finally:
        space.close()


def _volumes(space: Space) -> VolumeMap:
    if isinstance(space, FolderSpace):
        return VolumeMap((Volume("", (Segment(0, 0, space.size_bytes),), "folder"),))
    try:
        return find_volumes(space)
    except ReadFault as fault:
        whole = Volume("", (Segment(0, 0, space.size_bytes),))
        return VolumeMap((whole,), gaps=(Gap("unmapped", "partition table", fault.message, fault.offset, fault.offset + fault.length),))


_HARMLESS = ("link", "fifo", "socket", "device")


def _skipped(space: Space) -> tuple[Gap, ...]:
    """What a folder holds and we did not list. Links, pipes and devices hold no bytes of the folder; all else is a gap."""
    if not isinstance(space, FolderSpace):
        return ()
    return tuple(Gap("unread-file", text(item.path), item.reason) for item in space.skipped if not item.reason.startswith(_HARMLESS))


def _named(snapshot: SnapshotRef, volumes: VolumeMap) -> SnapshotRef:
    """The disk's own identity where its container has none: the partition table's, else the only filesystem's."""
    if snapshot.id != f"{snapshot.label}:{snapshot.size_bytes}":
        return snapshot
    own = volumes.disk_id or (volumes.volumes[0].uuid if len(volumes.volumes) == 1 else "")
    return msgspec.structs.replace(snapshot, id=f"{own}:{snapshot.size_bytes}") if own else snapshot


def map_one(opened: OpenSpace, task: MapTask, limits: MapLimits) -> Iterator[Part]:
    """Write the volume's columns to its folder below the case; the last file written says that all are there."""
    volume = opened.spec.volumes.volumes[task.volume]
    if isinstance(opened.space, FolderSpace):
        mapped = Mapped(opened.space.owner_map())
    else:
        mapped = map_volume(VolumeReader(opened.space, volume), volume, limits)
    folder = map_folder(opened.spec, task.volume)
    facts = MapFacts(mapped.former, scrubbed(mapped.containers), mapped.owners.owners)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        mapped.owners.save(folder)
        draft = folder / f"{DONE}.tmp"
        draft.write_bytes(msgspec.json.encode(facts))
        draft.replace(folder / DONE)
    except OSError as error:
        hint = "free some space, or give another place with --case"
        raise StoreError("store-write", f"the map of volume {task.volume} in {folder}: {error.strerror}", hint=hint) from error
    yield Part(task.id, 0, True, gaps=mapped.gaps, notes=mapped.notes, owners=mapped.owners.owners)
