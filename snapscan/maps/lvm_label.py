"""What LVM2 writes on a physical volume itself: its label, and the ring buffers with the volume group's text.

Source: lvm2 lib/format_text/layout.h and lib/label/label.c. All numbers are little-endian.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from snapscan.maps.partition import Readable, peek
from snapscan.model.space import Range

AREAS_MOST = 8
"""Metadata areas looked at; LVM writes two at most."""
TEXT_BYTES_MOST = 16 << 20

_AREA_MAGIC = b" LVM2 x[5A%r0N*>"
_AREA_HEADER_BYTES = 512
_CRC_START = 0xF597A6CF


class Label(NamedTuple):
    """A physical volume's id (32 characters), the group's texts it holds, and where those areas lie, in bytes of the physical volume.

    Each text comes with whether its checksum holds.
    """

    pv_id: str
    texts: tuple[tuple[bool, str], ...]
    areas: tuple[Range, ...]
    damaged: bool


def read_label(source: Readable, head: bytes) -> Label | None:
    """The label in one of the first four sectors; None where there is none. `damaged`: a metadata area could not be read right."""
    for at in range(0, 2048, 512):
        if head[at : at + 8] == b"LABELONE" and head[at + 24 : at + 32] == b"LVM2 001":
            break
    else:
        return None
    start = at + int.from_bytes(head[at + 20 : at + 24], "little")
    pv_id = head[start : start + 32].decode("ascii", "replace")
    areas = _area_list(head, start + 40)
    texts = []
    damaged = False
    for area in areas:
        sound, text = _text(source, area)
        damaged = damaged or not sound
        if text:
            texts.append((sound, text))
    places = [Range(at, at + 512), *(Range(area.start, min(area.end, source.size_bytes)) for area in areas)]
    return Label(pv_id, tuple(texts), tuple(places), damaged)


def _area_list(head: bytes, at: int) -> list[Range]:
    """Two lists of (offset, size), each ended by a pair of zeros: data areas, then metadata areas. The second is returned."""
    found: list[Range] = []
    in_metadata = False
    for place in range(at, min(at + 1024, len(head) - 15), 16):
        offset, size = struct.unpack_from("<QQ", head, place)
        if offset == 0:
            if in_metadata:
                break
            in_metadata = True
        elif in_metadata and len(found) < AREAS_MOST:
            found.append(Range(offset, offset + size))
    return found


def _text(source: Readable, area: Range) -> tuple[bool, str]:
    """The committed text of one area, and whether it is sound: empty and sound for an area that is unused or ignored."""
    header = peek(source, area.start, _AREA_HEADER_BYTES)
    if header[4:20] != _AREA_MAGIC:
        return False, ""
    start, size, offset, length, checksum, flags = struct.unpack_from("<QQQQII", header, 24)
    if flags & 1 or not offset or not length:
        return True, ""
    if start != area.start or not _AREA_HEADER_BYTES <= offset < size or length > min(size, TEXT_BYTES_MOST):
        return False, ""
    before_wrap = min(length, size - offset)
    raw = peek(source, start + offset, before_wrap)
    if length > before_wrap:
        raw += peek(source, start + _AREA_HEADER_BYTES, length - before_wrap)
    # LVM's CRC-32 starts from a value of its own and inverts nothing
    sound = len(raw) == length and zlib.crc32(raw, _CRC_START ^ 0xFFFFFFFF) ^ 0xFFFFFFFF == checksum
    return sound, raw.rstrip(b"\0").decode("utf-8", "replace")
