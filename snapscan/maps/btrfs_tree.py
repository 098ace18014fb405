"""btrfs structures below files: superblock, the map from logical to physical bytes, and the walk over a tree's leaves.

Source: btrfs.readthedocs.io, "On-disk format", and the kernel's include/uapi/linux/btrfs_tree.h. All numbers are little-endian.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from snapscan.maps.map_task import MapTask

SUPER_PLACES = (64 << 10, 64 << 20, 256 << 30)
SUPER_BYTES = 4096
HEADER_BYTES = 101
CHUNK_TREE_OBJECT, CHUNK_ITEM = 256, 228
STRIPED = 0x8 | 0x40 | 0x80 | 0x100
"""Profiles that spread a chunk over its stripes: RAID0, RAID10, RAID5, RAID6."""
CHUNKS_MOST = 1_000_000


class Super(NamedTuple):
    generation: int
    root: int
    chunk_root: int
    log_root: int
    devices: int
    sector_bytes: int
    node_bytes: int
    device: int
    system_chunks: bytes


class Item(NamedTuple):
    """One item of a leaf: its key, and where its content lies in the leaf."""

    object: int
    kind: int
    offset: int
    content: bytes
    leaf: int
    at: int


class Chunk(NamedTuple):
    """Logical bytes `start .. start + length` have a whole copy at each of `places` (bytes of this device); none if they cannot be told."""

    start: int
    length: int
    kind: int
    places: tuple[int, ...]


def parse_super(raw: bytes) -> Super | None:
    if len(raw) < SUPER_BYTES or raw[64:72] != b"_BHRfS_M":
        return None
    generation, root, chunk_root, log_root = struct.unpack_from("<4Q", raw, 0x48)
    devices, sector_bytes, node_bytes, _, _, array_bytes = struct.unpack_from("<Q5I", raw, 0x88)
    (device,) = struct.unpack_from("<Q", raw, 0xC9)
    if node_bytes not in (4096, 8192, 16384, 32768, 65536) or array_bytes > 2048:
        return None
    return Super(generation, root, chunk_root, log_root, devices, sector_bytes, node_bytes, device, raw[0x32B : 0x32B + array_bytes])


class Chunks:
    """The map from logical to physical bytes of one device."""

    def __init__(self, device: int) -> None:
        self._device = device
        self._starts: list[int] = []
        self._chunks: dict[int, Chunk] = {}

    def add(self, start: int, content: bytes) -> None:
        if len(content) < 48 or len(self._chunks) >= CHUNKS_MOST:
            return
        length, _, _, kind = struct.unpack_from("<4Q", content)
        (stripes,) = struct.unpack_from("<H", content, 44)
        places = []
        for at in range(48, min(48 + 32 * stripes, len(content) - 31), 32):
            device, place = struct.unpack_from("<QQ", content, at)
            if device == self._device:
                places.append(place)
        if kind & STRIPED and stripes > 1:
            places = []
        if start not in self._chunks:
            self._starts.insert(bisect_right(self._starts, start), start)
        self._chunks[start] = Chunk(start, length, kind, tuple(places))

    def __iter__(self) -> Iterator[Chunk]:
        return (self._chunks[start] for start in self._starts)

    def pieces(self, logical: int, length: int) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        """(logical start, length, places of its copies) of each piece that a chunk holds."""
        end = logical + length
        at = max(bisect_right(self._starts, logical) - 1, 0)
        while at < len(self._starts) and self._starts[at] < end:
            chunk = self._chunks[self._starts[at]]
            low, high = max(logical, chunk.start), min(end, chunk.start + chunk.length)
            if low < high:
                yield low, high - low, tuple(place + low - chunk.start for place in chunk.places)
            at += 1


class Trees:
    """Reads nodes through the chunk map; a node must carry its own address."""

    def __init__(self, task: MapTask, sb: Super) -> None:
        self.task = task
        self.node_bytes = sb.node_bytes
        self.chunks = Chunks(sb.device)
        self.damaged = 0
        raw, at = sb.system_chunks, 0
        while at + 17 + 48 <= len(raw):
            start = struct.unpack_from("<Q", raw, at + 9)[0]
            (stripes,) = struct.unpack_from("<H", raw, at + 17 + 44)
            self.chunks.add(start, raw[at + 17 : at + 17 + 48 + 32 * stripes])
            at += 17 + 48 + 32 * stripes
        for item in self.items(sb.chunk_root):
            if item.kind == CHUNK_ITEM:
                self.chunks.add(item.offset, item.content)

    def _node(self, logical: int) -> tuple[int, bytes]:
        """(place in the volume, bytes) of the first good copy; no bytes where there is none."""
        for _, length, places in self.chunks.pieces(logical, self.node_bytes):
            for place in places:
                raw = self.task.read(place, self.node_bytes)
                if length == self.node_bytes == len(raw) and struct.unpack_from("<Q", raw, 48)[0] == logical:
                    return place, raw
        self.damaged += 1
        return 0, b""

    def items(self, root: int) -> Iterator[Item]:
        """Every item of a tree in key order. A node met again, or out of place, is counted as damaged. Raises MapStopped."""
        waiting = [(root, -1)]
        seen = set[int]()
        while waiting:
            logical, wanted_level = waiting.pop()
            if logical in seen:
                self.damaged += 1
                continue
            seen.add(logical)
            self.task.visit()
            place, raw = self._node(logical)
            if not raw:
                continue
            count, level = struct.unpack_from("<IB", raw, 96)
            if wanted_level not in (-1, level) or level > 7:
                self.damaged += 1
                continue
            if level:
                most = (self.node_bytes - HEADER_BYTES) // 33
                pointers = [struct.unpack_from("<Q", raw, HEADER_BYTES + 33 * k + 17)[0] for k in range(min(count, most))]
                waiting += [(pointer, level - 1) for pointer in reversed(pointers)]
                continue
            for k in range(min(count, (self.node_bytes - HEADER_BYTES) // 25)):
                object_, kind, offset, at, size = struct.unpack_from("<QBQII", raw, HEADER_BYTES + 25 * k)
                if HEADER_BYTES + at + size > self.node_bytes:
                    self.damaged += 1
                    break
                yield Item(object_, kind, offset, raw[HEADER_BYTES + at : HEADER_BYTES + at + size], place, HEADER_BYTES + at)
