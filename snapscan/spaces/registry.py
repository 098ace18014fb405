"""Which kind of container a source is, and who opens it. The order of the looks is the order below; modules are imported when first tried."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import cast

from snapscan.model.errors import MediaFault, SourceError, UnsupportedFormat
from snapscan.model.snapshot import SourceSpec
from snapscan.model.space import Space
from snapscan.spaces.chain import Source
from snapscan.spaces.file import SourceFile, open_descriptor, printable, source_error

OPENERS = {
    "qcow2": ("snapscan.spaces.qcow2", "open_qcow2"),
    "vmdk": ("snapscan.spaces.vmdk", "open_vmdk"),
    "vhdx": ("snapscan.spaces.vhdx", "open_vhdx"),
    "vdi": ("snapscan.spaces.vdi", "open_vdi"),
    "ewf": ("snapscan.spaces.ewf", "open_ewf"),
    "vhd": ("snapscan.spaces.vhd", "open_vhd"),
    "raw": ("snapscan.spaces.raw", "open_raw"),
}
KINDS = ("folder", *OPENERS)
HEAD_BYTES = 1024
FOOTER_BYTES = 512


def open_space(spec: SourceSpec, *, listing: Path | None = None) -> Space:
    """Open a source read-only. The caller closes the space. Raises SourceError.

    `listing` is a file of ours for folders: read where it exists, else written, so that every process sees the same layout although
    the folder changes meanwhile.
    """
    path = os.path.abspath(spec.path)  # noqa: PTH100  # lexical: `resolve` would follow links in the parents' names
    if (spec.kind or _kind_by_type(path)) == "folder":
        folder = import_module("snapscan.spaces.folder")
        return cast(Space, folder.open_folder(path, listing))
    if spec.kind and spec.kind not in OPENERS:
        raise UnsupportedFormat("unknown-kind", f"there is no kind {spec.kind!r} of container", hint=f"one of {', '.join(KINDS)}")
    file = _open_file(path)
    try:
        folders = (os.path.dirname(path), *map(os.path.abspath, spec.parents_from))  # noqa: PTH120  # as above
        return open_kind(spec.kind or _kind_by_content(file), Source(file, folders, open_kind))
    except SourceError:
        file.close()
        raise
    except MediaFault as fault:  # the headers already cannot be read
        file.close()
        raise SourceError("source-unreadable", fault.message, hint="the medium may be failing: copy it with ddrescue first") from fault


def open_kind(kind: str, source: Source) -> Space:
    """Open an opened file as an image of `kind`, without a look at its content first. Raises SourceError."""
    module, function = OPENERS[kind]
    opener = cast(Callable[[Source], Space], getattr(import_module(module), function))
    return opener(source)


def detect(path: str) -> str:
    """The kind of what lies at `path`, by its content; `raw` where nothing is recognised. Raises SourceError."""
    path = os.path.abspath(path)  # noqa: PTH100  # as above
    if _kind_by_type(path) == "folder":
        return "folder"
    file = _open_file(path)
    try:
        return _kind_by_content(file)
    finally:
        file.close()


def _kind_by_type(path: str) -> str:
    """`folder` for a directory, empty for files. Raises SourceError for what cannot be looked at, and for FIFOs, sockets and the like."""
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        raise source_error(error, path) from error
    except ValueError as error:  # a NUL in the path
        raise SourceError("source-not-found", f"{printable(path)!r} is not a path") from error
    if stat.S_ISDIR(mode):
        return "folder"
    if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
        raise UnsupportedFormat(
            "source-not-a-file",
            f"{printable(path)} is neither a file, nor a block device, nor a directory",
            hint="give an image, a device or a folder",
        )
    return ""


def _open_file(path: str) -> SourceFile:
    try:
        return SourceFile(open_descriptor(path), path)
    except OSError as error:
        raise source_error(error, path) from error


def _kind_by_content(file: SourceFile) -> str:
    head = file.read(0, HEAD_BYTES)
    for kind, recognises in (
        ("qcow2", _is_qcow2),
        ("vmdk", _is_vmdk),
        ("vhdx", _is_vhdx),
        ("vdi", _is_vdi),
        ("ewf", _is_ewf),
    ):
        if recognises(head):
            return kind
    return "vhd" if _is_vhd(file, head) else "raw"


def _is_qcow2(head: bytes) -> bool:
    return head.startswith(b"QFI\xfb")


def _is_vmdk(head: bytes) -> bool:
    """A sparse extent, an ESX copy-on-write extent, an SE sparse extent, or a descriptor."""
    return head.startswith((b"KDMV", b"COWD", b"\xbe\xba\xfe\xca\0\0\0\0")) or head.lstrip().lower().startswith(b"# disk descriptorfile")


def _is_vhdx(head: bytes) -> bool:
    return head.startswith(b"vhdxfile")


def _is_vdi(head: bytes) -> bool:
    return head[64:68] == b"\x7f\x10\xda\xbe"


def _is_ewf(head: bytes) -> bool:
    return head.startswith((b"EVF\x09\x0d\x0a\xff\x00", b"EVF2\x0d\x0a\x81\x00", b"LVF\x09\x0d\x0a\xff\x00", b"LEF2\x0d\x0a\x81\x00"))


def _is_vhd(file: SourceFile, head: bytes) -> bool:
    """A VHD begins with a copy of its footer unless it is fixed: then only the footer tells, and it must fit the file exactly.

    Otherwise a guest could make the last sector of a raw disk say that the disk is shorter than it is.
    """
    if head.startswith(b"conectix"):
        return True
    footer = file.read(file.size_bytes - FOOTER_BYTES, FOOTER_BYTES) if file.size_bytes >= FOOTER_BYTES else b""
    size = int.from_bytes(footer[48:56], "big")
    fixed = footer[60:64] == b"\0\0\0\x02"
    return footer.startswith(b"conectix") and fixed and size + FOOTER_BYTES == file.size_bytes
