"""Logical volumes: from the texts of all physical volumes of a space to the places of each volume's bytes.

Linear and striped segments are mapped (a striped one as many pieces), mirrors by their first image. Thin, cached, parity-RAID and
snapshot segments are not: each becomes a gap. Source of the segment types: lvm2 lib/format_text/import_vsn1.c and lib/striped, lib/raid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from snapscan.maps.lvm_label import Label
from snapscan.maps.lvm_text import Section, items, number, parse_text, section, word
from snapscan.model.units import SECTOR_BYTES
from snapscan.model.volume import Gap, Segment, Volume

PIECES_MOST = 100_000
"""Pieces of one logical volume; a striped one beyond that is a gap."""
PIECES_MOST_IN_ALL = 400_000
LOGICAL_VOLUMES_MOST = 1024


class PhysicalVolume(NamedTuple):
    """A volume of the space that carries an LVM label."""

    volume: Volume
    label: Label


class LogicalVolumes(NamedTuple):
    volumes: tuple[Volume, ...]
    gaps: tuple[Gap, ...]
    notes: tuple[str, ...]


class _NotMapped(Exception):
    """Carries why a logical volume has no place that can be told."""


def logical_volumes(physical: Sequence[PhysicalVolume]) -> LogicalVolumes:
    """Every visible logical volume of every group that a label's text describes, by the newest sound text of each group."""
    groups: dict[str, tuple[tuple[bool, int], str, Section]] = {}
    for pv in physical:
        for sound, text in pv.label.texts:
            for name, content in parse_text(text).items():
                if isinstance(content, dict) and section(content, "physical_volumes"):
                    identity = word(content, "id") or name
                    rank = (sound, number(content, "seqno"))
                    if identity not in groups or groups[identity][0] < rank:
                        groups[identity] = (rank, name, content)
    volumes: list[Volume] = []
    gaps: list[Gap] = []
    notes: list[str] = []
    budget = PIECES_MOST_IN_ALL
    for _, name, content in groups.values():
        group = _Group(name, content, physical)
        for lv_name, lv in section(content, "logical_volumes").items():
            if not isinstance(lv, dict) or "VISIBLE" not in items(lv, "status"):
                continue
            if len(volumes) + len(gaps) >= LOGICAL_VOLUMES_MOST:
                notes.append(f"lvm: only the first {LOGICAL_VOLUMES_MOST} logical volumes were looked at")
                break
            step = group.step(lv_name)
            try:
                volume, cut = group.place(lv_name, step, min(PIECES_MOST, budget))
            except _NotMapped as problem:
                gaps.append(Gap("unmapped", step, f"lvm: {problem}"))
                continue
            budget -= len(volume.segments)
            volumes.append(volume)
            if cut:
                gaps.append(Gap("unmapped", step, "lvm: a part lies outside its physical volume"))
        gaps.extend(group.snapshot_gaps())
    return LogicalVolumes(tuple(volumes), tuple(gaps), tuple(notes))


class _Group:
    """One volume group's text, with the physical volumes of this space that belong to it."""

    def __init__(self, name: str, content: Section, physical: Sequence[PhysicalVolume]) -> None:
        self.name = name
        self.content = content
        self.extent_bytes = number(content, "extent_size") * SECTOR_BYTES
        by_id = {pv.label.pv_id: pv for pv in reversed(physical)}
        self.found: dict[str, tuple[PhysicalVolume, int]] = {}
        for pv_name, pv in section(content, "physical_volumes").items():
            if isinstance(pv, dict) and (known := by_id.get(word(pv, "id").replace("-", ""))):
                self.found[pv_name] = (known, number(pv, "pe_start") * SECTOR_BYTES)

    def step(self, lv_name: str) -> str:
        """`part:2/lvm:vg-lv`, with the physical volume that holds the beginning, as far as it is here."""
        at = ""
        for name in [*_names_of_stripes(self._logical(lv_name)), *self.found]:
            if name in self.found:
                at = self.found[name][0].volume.step
                break
        own = "lvm:" + re.sub(r"[^A-Za-z0-9+_.-]", "_", f"{self.name}-{lv_name}")
        return f"{at}/{own}" if at else own

    def _logical(self, lv_name: str) -> Section:
        return section(section(self.content, "logical_volumes"), lv_name)

    def place(self, lv_name: str, step: str, pieces_most: int) -> tuple[Volume, bool]:
        """The volume, and whether some of it lies where its physical volume has no bytes. Raises _NotMapped."""
        wanted = list(self._pieces(lv_name, pieces_most, ()))
        wanted.sort()
        segments: list[Segment] = []
        cut = False
        reach = 0
        for start, pv_name, pv_start, length in wanted:
            if start < reach:
                raise _NotMapped("segments overlap")
            reach = start + length
            pv = self.found[pv_name][0]
            placed = 0
            for low, high, at in pv.volume.to_space(pv_start, pv_start + length):
                segments.append(Segment(start + at - pv_start, low, high - low))
                placed += high - low
            cut = cut or placed < length
        if not segments:
            raise _NotMapped("no segment lies in this space")
        return Volume(step, tuple(segments)), cut

    def _pieces(self, lv_name: str, pieces_most: int, above: tuple[str, ...]) -> Iterator[tuple[int, str, int, int]]:
        """(offset in the logical volume, physical volume, offset in it, length) of each piece, in bytes."""
        if lv_name in above or len(above) > 4:
            raise _NotMapped("logical volumes that refer to each other")
        lv = self._logical(lv_name)
        count = 0
        for name, segment in lv.items():
            if not re.fullmatch(r"segment\d+", name) or not isinstance(segment, dict):
                continue
            kind = word(segment, "type")
            start = number(segment, "start_extent") * self.extent_bytes
            length = number(segment, "extent_count") * self.extent_bytes
            if kind in ("raid1", "mirror"):
                pieces = self._mirror(segment, kind, start, length, pieces_most, (*above, lv_name))
            elif kind in ("striped", "linear"):
                pieces = self._striped(segment, start, length, pieces_most)
            else:
                raise _NotMapped(f"{re.sub(r'[^a-z0-9_+-]', '_', kind) or 'unknown'} segments")
            for piece in pieces:
                count += 1
                if count > pieces_most:
                    raise _NotMapped(f"more than {pieces_most} pieces")
                yield piece

    def _striped(self, segment: Section, start: int, length: int, pieces_most: int) -> Iterator[tuple[int, str, int, int]]:
        stripes = items(segment, "stripes")
        places = []
        for name, extent in zip(stripes[::2], stripes[1::2], strict=False):
            if not isinstance(name, str) or not isinstance(extent, int) or extent < 0:
                raise _NotMapped("a stripe without a place")
            if name not in self.found:
                raise _NotMapped("a physical volume is missing")
            places.append((name, self.found[name][1] + extent * self.extent_bytes))
        if not places:
            raise _NotMapped("a segment without stripes")
        if len(places) == 1:
            yield start, *places[0], length
            return
        chunk = number(segment, "stripe_size") * SECTOR_BYTES
        if not chunk:
            raise _NotMapped("stripes without a size")
        if -(-length // chunk) > pieces_most:
            raise _NotMapped(f"more than {pieces_most} pieces")
        for k, at in enumerate(range(0, length, chunk)):
            name, base = places[k % len(places)]
            yield start + at, name, base + k // len(places) * chunk, min(chunk, length - at)

    def _mirror(
        self, segment: Section, kind: str, start: int, length: int, pieces_most: int, above: tuple[str, ...]
    ) -> Iterator[tuple[int, str, int, int]]:
        """By the first image whose physical volumes are all here."""
        names = [name for name in items(segment, "raids" if kind == "raid1" else "mirrors") if isinstance(name, str)]
        images = names[1::2] if kind == "raid1" else names
        problem = _NotMapped("a mirror without images")
        for image in images[:16]:
            try:
                pieces = list(self._pieces(image, pieces_most, above))
            except _NotMapped as why:
                problem = why
                continue
            for at, pv_name, pv_start, piece in pieces:
                if at < length:
                    yield start + at, pv_name, pv_start, min(piece, length - at)
            return
        raise problem

    def snapshot_gaps(self) -> Iterator[Gap]:
        for lv in section(self.content, "logical_volumes").values():
            if not isinstance(lv, dict):
                continue
            for segment in lv.values():
                if isinstance(segment, dict) and word(segment, "type") == "snapshot":
                    yield Gap("unmapped", self.step(word(segment, "cow_store")), "lvm: snapshot segments")


def _names_of_stripes(lv: Section) -> list[str]:
    return [name for name in items(section(lv, "segment1"), "stripes") if isinstance(name, str)]
