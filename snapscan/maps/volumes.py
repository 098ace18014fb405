"""Finds the volumes of a space: bare filesystems, GPT and MBR partitions, RAID mirrors, logical volumes, and what they hold.

A volume is named by its steps from the outside in: `part:2/lvm:vg0-root`. Partition tables are read by us (see `gpt.py`, `mbr.py`, `lvm.py`,
`raid.py`); whatever they claim, a volume's bytes lie inside the space. Nothing here raises for what an image contains.
"""

from __future__ import annotations

import re
from itertools import pairwise

import msgspec

from snapscan.maps.gpt import read_gpt
from snapscan.maps.lvm import PhysicalVolume, logical_volumes
from snapscan.maps.lvm_label import read_label
from snapscan.maps.mbr import is_protective, read_mbr
from snapscan.maps.partition import Partition, PartitionTable, head_of, peek
from snapscan.maps.raid import read_member
from snapscan.maps.recognise import HEAD_BYTES, Recognised, recognise
from snapscan.model.space import Range, Space, joined
from snapscan.model.volume import Gap, Segment, Volume, VolumeMap, VolumeReader

LOOKS_MOST = 4096
"""Volumes looked into in all; nested tables multiply."""
DEPTH_MOST = 4

_AT_SECTOR_ZERO = frozenset({"luks", "xfs", "squashfs", "cramfs", "ntfs", "fat", "exfat", "refs", "bitlocker"})
"""Kinds that fill the sector in which a partition table would lie."""


def find_volumes(space: Space) -> VolumeMap:
    """Every volume of the space, in the order of the tables. Bytes of no volume are nobody's: the sweep reads them all the same."""
    search = _Search(space)
    if space.size_bytes:
        search.look(Volume("", (Segment(0, 0, space.size_bytes),)), depth=0)
        search.add_logical_volumes()
    return search.result()


class _Search:
    """What was found so far, while tables, members and groups are followed."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.volumes: list[Volume] = []
        self.tables: list[Range] = []
        self.gaps: list[Gap] = []
        self.notes: list[str] = []
        self.physical: list[PhysicalVolume] = []
        self.disk_id = ""
        self.looks = 0

    def result(self) -> VolumeMap:
        tables = tuple(joined(iter(sorted(self.tables))))
        self._note_overlaps()
        return VolumeMap(tuple(self._with_unique_steps()), tables, tuple(self.gaps), tuple(self.notes), self.disk_id)

    def look(self, volume: Volume, *, depth: int, may_hold_table: bool = True) -> None:
        """Add the volume, or what it is made of."""
        self.looks += 1
        if self.looks > LOOKS_MOST:
            if self.looks == LOOKS_MOST + 1:
                self.gaps.append(Gap("unmapped", volume.step, f"more than {LOOKS_MOST} volumes"))
            return
        reader = VolumeReader(self.space, volume)
        head = head_of(reader, HEAD_BYTES)
        content = recognise(head, volume.size_bytes)
        if may_hold_table and depth < DEPTH_MOST:
            table = self._table(reader, head, content)
            if table is not None:
                self._add_partitions(volume, table, depth)
                return
        self._add_content(volume, reader, head, content, depth)

    def _table(self, reader: VolumeReader, head: bytes, content: Recognised) -> PartitionTable | None:
        """The partition table, if the volume begins with one and not with a filesystem."""
        protective = is_protective(head[:512])
        mbr = None if content.kind in _AT_SECTOR_ZERO else self._mbr(reader)
        gpt = read_gpt(reader, look_for_backup=protective or (mbr is None and not content.kind))
        if gpt is not None:
            return gpt
        if mbr is None or protective:
            if protective and not content.kind:
                self.gaps.append(Gap("unmapped", reader.volume.step, "gpt: announced by its protective record, and both copies are damaged"))
            return mbr if mbr is not None and self._contents(reader, mbr) else None
        return mbr if not content.kind or self._contents(reader, mbr) else None

    def _mbr(self, reader: VolumeReader) -> PartitionTable | None:
        """The table counted in sectors of 512 bytes, or of 4096 where only that meets filesystems."""
        small = read_mbr(reader)
        if small is None or self._contents(reader, small):
            return small
        large = read_mbr(reader, 4096)
        return large if large is not None and self._contents(reader, large) else small

    def _contents(self, reader: VolumeReader, table: PartitionTable) -> int:
        """How many of the first partitions begin with something known."""
        count = 0
        for partition in table.partitions[:16]:
            length = min(HEAD_BYTES, max(0, min(partition.end, reader.size_bytes) - partition.start))
            head = peek(reader, partition.start, length)
            count += bool(recognise(head, partition.end - partition.start).kind)
        return count

    def _add_partitions(self, outer: Volume, table: PartitionTable, depth: int) -> None:
        self.notes.extend(_at(outer.step, note) for note in table.notes)
        for place in table.tables:
            self.tables.extend(Range(low, high) for low, high, _ in outer.to_space(place.start, place.end))
        if not outer.step:
            self.disk_id = table.disk_id
        for partition in table.partitions:
            step = f"{outer.step}/part:{partition.number}" if outer.step else f"part:{partition.number}"
            volume = self._partition(outer, partition, step)
            if volume is not None:
                self.look(volume, depth=depth + 1, may_hold_table=False)

    def _partition(self, outer: Volume, partition: Partition, step: str) -> Volume | None:
        size = outer.size_bytes
        if partition.end > size:
            self.notes.append(f"{step}: reaches to {partition.end}, behind the end of its disk at {size}")
            self.gaps.append(Gap("unmapped", step, "the partition reaches past the end of the disk", size, min(partition.end, 2**63 - 1)))
        pieces = _part_of(outer, partition.start, partition.end)
        return Volume(step, pieces) if pieces else None

    def _add_content(self, volume: Volume, reader: VolumeReader, head: bytes, content: Recognised, depth: int) -> None:
        member = read_member(reader)
        if member is not None and (content.kind in ("", "md") or not member.is_mirror):
            inner = _part_of(volume, member.start, member.end)
            if not member.is_mirror or not inner or depth >= DEPTH_MOST:
                level = member.level if not member.is_mirror else "1, without data"
                self.gaps.append(Gap("unmapped", volume.step, f"raid: level {level}"))
                self._add(volume, Recognised("md", member.uuid, member.name))
                return
            step = "raid:" + re.sub(r"[^A-Za-z0-9+_.:-]", "_", member.name)
            self.look(Volume(f"{volume.step}/{step}" if volume.step else step, inner), depth=depth + 1)
            return
        if content.kind == "lvm2":
            label = read_label(reader, head)
            if label is not None:
                self.physical.append(PhysicalVolume(volume, label))
                for area in label.areas:
                    self.tables.extend(Range(low, high) for low, high, _ in volume.to_space(area.start, area.end))
                if label.damaged:
                    self.gaps.append(Gap("unmapped", volume.step, "lvm: a metadata area is damaged"))
                return
        if not content.kind:
            content = self._by_the_end(volume, reader)
        if content.kind == "bitlocker":
            content = Recognised(content.kind, _bitlocker_id(reader, head), content.label)
        if content.kind in ("luks", "bitlocker"):
            self.gaps.append(Gap("encrypted-volume", volume.step, content.uuid))
        self._add(volume, content)

    def _by_the_end(self, volume: Volume, reader: VolumeReader) -> Recognised:
        """NTFS keeps a copy of its boot sector in the last sector."""
        content = recognise(peek(reader, volume.size_bytes - 512, 512), volume.size_bytes)
        if content.kind != "ntfs":
            return Recognised()
        self.notes.append(_at(volume.step, "ntfs: the boot sector is damaged, its copy was used"))
        return content

    def _add(self, volume: Volume, content: Recognised) -> None:
        self.volumes.append(msgspec.structs.replace(volume, filesystem=content.kind, uuid=content.uuid, label=content.label))
        if not volume.step:
            self.disk_id = content.uuid

    def add_logical_volumes(self) -> None:
        """The logical volumes of all physical ones found; a group inside a logical volume is followed too, to a bounded depth."""
        for depth in range(DEPTH_MOST):
            physical, self.physical = self.physical, []
            if not physical:
                return
            ids = [pv.label.pv_id for pv in physical]
            if len(set(ids)) < len(ids):
                self.notes.append("lvm: physical volumes with one id; the first of them was used")
            found = logical_volumes(physical)
            self.gaps.extend(found.gaps)
            self.notes.extend(found.notes)
            for volume in found.volumes:
                self.look(volume, depth=depth + 1)
        self.gaps.extend(Gap("unmapped", pv.volume.step, "lvm: nested too deep") for pv in self.physical)

    def _note_overlaps(self) -> None:
        places = sorted((s.space_start, s.space_start + s.length, v.step) for v in self.volumes if len(v.segments) == 1 for s in v.segments)
        for (_, end, one), (start, _, other) in pairwise(places):
            if start < end and one != other:
                self.notes.append(f"{one or 'the disk'} and {other or 'the disk'} overlap")

    def _with_unique_steps(self) -> list[Volume]:
        taken: set[str] = set()
        volumes = []
        for volume in self.volumes:
            step, count = volume.step, 1
            while step in taken:
                count += 1
                step = f"{volume.step}~{count}"
            taken.add(step)
            volumes.append(volume if step == volume.step else msgspec.structs.replace(volume, step=step))
        return volumes


def _part_of(outer: Volume, start: int, end: int) -> tuple[Segment, ...]:
    """The segments of bytes `start .. end` of a volume, as a volume of their own."""
    return tuple(Segment(at - start, low, high - low) for low, high, at in outer.to_space(start, end))


def _at(step: str, note: str) -> str:
    return f"{step}: {note}" if step else note


def _bitlocker_id(reader: VolumeReader, head: bytes) -> str:
    """The volume's GUID: in the metadata block whose place the boot sector tells (libbde, BitLocker Drive Encryption format)."""
    for at in (176, 440):
        block = peek(reader, int.from_bytes(head[at : at + 8], "little"), 112)
        if block[:8] == b"-FVE-FS-":
            raw = block[80:96]
            return f"{raw[3::-1].hex()}-{raw[5:3:-1].hex()}-{raw[7:5:-1].hex()}-{raw[8:10].hex()}-{raw[10:16].hex()}"
    return ""
