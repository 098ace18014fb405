"""VMware disks: a descriptor, in a file of its own or inside a sparse extent, and the extents and parent that it names."""

from __future__ import annotations

from snapscan.model.errors import ParentRefused, ReadFault, SourceError, UnsupportedFormat
from snapscan.model.snapshot import SnapshotRef
from snapscan.model.units import SECTOR_BYTES
from snapscan.spaces.blockmap import Part
from snapscan.spaces.chain import Source
from snapscan.spaces.descriptor import DESCRIPTOR_BYTES_MOST, NO_PARENT, Descriptor, Extent, parse
from snapscan.spaces.file import printable
from snapscan.spaces.grains import ESX, HOSTED, SE_SPARSE, FlatExtent, SparseExtent, ZeroExtent, read_sparse_header
from snapscan.spaces.layers import LayeredSpace

SECTORS_MOST = 1 << 53


def open_vmdk(source: Source) -> LayeredSpace:
    """The space of a VMware disk. Raises SourceError; the caller closes `source` then, all other files are closed here."""
    return _open(source)[0]


def _open(source: Source) -> tuple[LayeredSpace, int]:
    """The space, and its content id."""
    label = printable(source.label)
    magic = source.file.read(0, 4)
    if magic in (ESX, SE_SPARSE):
        if magic == SE_SPARSE:
            read_sparse_header(source.file, label)
        raise UnsupportedFormat("descriptor-needed", f"{label} is an extent without a descriptor", hint="open the small .vmdk file that names it")
    sources: list[Source] = []
    parts: list[Part]
    notes: list[str] = []
    parent: LayeredSpace | None = None
    try:
        if magic == HOSTED:
            descriptor, parts = _embedded(source, label, notes)
        else:
            if source.file.size_bytes > DESCRIPTOR_BYTES_MOST:
                raise SourceError("damaged-container", f"{label} is neither a VMDK extent nor a descriptor of a sensible size")
            descriptor = parse(source.file.read(0, DESCRIPTOR_BYTES_MOST), label)
            parts = [_extent(source, extent, sources, notes) for extent in descriptor.extents]
            if not parts:
                raise SourceError("damaged-container", f"{label} describes no extent")
        if descriptor.parent_id != NO_PARENT:
            parent = _parent(source, descriptor, label)
        size_bytes = sum(part.size_bytes for part in parts)
        identity = f"cid-{descriptor.content_id:08x}:{size_bytes}"
        snapshot = SnapshotRef("vmdk", identity, source.label, size_bytes, parent.snapshot.id if parent is not None else "")
        return LayeredSpace(snapshot, parts, [source, *sources], parent=parent, notes=tuple(notes)), descriptor.content_id
    except (SourceError, ReadFault):
        for opened in sources:
            opened.file.close()
        raise


def _embedded(source: Source, label: str, notes: list[str]) -> tuple[Descriptor, list[Part]]:
    """A sparse extent that holds its own descriptor: the disk is this one extent, whatever name the descriptor gives it."""
    header = read_sparse_header(source.file, label)
    if not header.descriptor_sector or not header.descriptor_sectors:
        raise UnsupportedFormat("descriptor-needed", f"{label} is an extent without a descriptor", hint="open the small .vmdk file that names it")
    length = min(header.descriptor_sectors * SECTOR_BYTES, DESCRIPTOR_BYTES_MOST)
    text = source.file.read(header.descriptor_sector * SECTOR_BYTES, length)
    if not text.strip(b"\0"):
        raise UnsupportedFormat("descriptor-needed", f"{label} is one extent of a disk", hint="open the small .vmdk file that names it")
    descriptor = parse(text, label)
    if len(descriptor.extents) > 1:
        raise UnsupportedFormat("unsupported-feature", f"{label} names further extents inside a sparse extent")
    if header.unclean:
        notes.append("not closed cleanly")
    return descriptor, [SparseExtent(source.file, header, header.capacity_sectors * SECTOR_BYTES, label)]


def _extent(source: Source, extent: Extent, sources: list[Source], notes: list[str]) -> Part:
    label = printable(source.label)
    if extent.sectors >= SECTORS_MOST or extent.start >= SECTORS_MOST:
        raise SourceError("damaged-container", f"{label} describes an extent of {extent.sectors} sectors at {extent.start}")
    size_bytes = extent.sectors * SECTOR_BYTES
    if extent.kind == "ZERO":
        return ZeroExtent(size_bytes)
    if extent.access == "NOACCESS" or extent.kind not in ("FLAT", "VMFS", "SPARSE", "VMFSSPARSE"):
        raise UnsupportedFormat("unsupported-extent", f"{label} has an extent of the type {extent.access} {extent.kind}, which we do not read")
    opened = source.named(extent.name, "extent")
    sources.append(opened)
    if extent.kind in ("FLAT", "VMFS"):
        if opened.file.size_bytes < extent.start * SECTOR_BYTES + size_bytes:
            notes.append(f"{printable(opened.label)} is shorter than described")
        return FlatExtent(opened.file, extent.start * SECTOR_BYTES, size_bytes)
    if extent.start:
        raise UnsupportedFormat("unsupported-extent", f"{label} has a sparse extent with a start sector")
    header = read_sparse_header(opened.file, printable(opened.label))
    if header.unclean:
        notes.append(f"{printable(opened.label)} was not closed cleanly")
    return SparseExtent(opened.file, header, size_bytes, printable(opened.label))


def _parent(source: Source, descriptor: Descriptor, label: str) -> LayeredSpace:
    """The disk below a delta, checked to be as it was when the delta was begun."""
    if not descriptor.parent_name:
        raise ParentRefused("parent-missing", f"{label} is a delta and does not name its parent", hint="consolidate the snapshot, or clone it")
    opened = source.named(descriptor.parent_name, "parent disk")
    try:
        space, content_id = _open(opened)
    except (SourceError, ReadFault):
        opened.file.close()
        raise
    if content_id != descriptor.parent_id:
        space.close()
        was, now = f"{descriptor.parent_id:08x}", f"{content_id:08x}"
        text = f"{label} lies on {printable(opened.label)} with the content id {was}, which now is {now}: it was written to since"
        raise ParentRefused("parent-changed", text, hint="find the parent as it was; together they are no disk that ever existed")
    return space
