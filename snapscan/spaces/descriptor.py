"""The text descriptor of a VMDK: content ids, the parent's name, and the extents that make up the disk.

Source of the format: VMware "Virtual Disk Format 5.0", section "The Descriptor"; access, size in sectors, type, file name, start sector.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from snapscan.model.errors import SourceError

NO_PARENT = 0xFFFFFFFF
EXTENTS_MOST = 4096
DESCRIPTOR_BYTES_MOST = 1 << 20

_FIELD = re.compile(rb'^\s*([A-Za-z][\w.]*)\s*=\s*"?(.*?)"?\s*$')
_EXTENT = re.compile(rb'^\s*(RW|RDONLY|NOACCESS)\s+(\d{1,18})\s+([A-Z]+)(?:\s+"([^"]*)"(?:\s+(\d{1,18}))?.*)?\s*$')
_EXTENT_LIKE = re.compile(rb"^\s*(RW|RDONLY|NOACCESS)\s", re.IGNORECASE)


@dataclass(frozen=True)
class Extent:
    """`sectors` sectors of the disk, in the file `name` from its sector `start` on."""

    access: str
    sectors: int
    kind: str
    name: bytes
    start: int


@dataclass(frozen=True)
class Descriptor:
    content_id: int
    parent_id: int
    parent_name: bytes
    extents: tuple[Extent, ...]


def parse(text: bytes, label: str) -> Descriptor:
    """Raises SourceError for extents that cannot be understood: left out, all behind them would shift."""
    fields: dict[bytes, bytes] = {}
    extents: list[Extent] = []
    for line in text.split(b"\0", 1)[0].splitlines():
        if line.lstrip().startswith(b"#"):
            continue
        match = _EXTENT.match(line)
        if match:
            access, sectors, kind, name, start = match.groups(b"")
            extents.append(Extent(access.decode(), int(sectors), kind.decode(), name, int(start or b"0")))
        elif _EXTENT_LIKE.match(line):
            raise SourceError("damaged-container", f"{label} describes an extent that cannot be understood: {line[:100]!r}")
        elif field := _FIELD.match(line):
            fields.setdefault(field[1].lower(), field[2])
    if len(extents) > EXTENTS_MOST:
        raise SourceError("damaged-container", f"{label} describes {len(extents)} extents; we read up to {EXTENTS_MOST}")
    content_id = _identity(fields.get(b"cid", b""), label)
    parent_id = _identity(fields.get(b"parentcid", b"ffffffff"), label)
    return Descriptor(content_id, parent_id, fields.get(b"parentfilenamehint", b""), tuple(extents))


def _identity(text: bytes, label: str) -> int:
    if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", text):
        raise SourceError("damaged-container", f"{label} has a descriptor without a proper content id")
    return int(text, 16)
