"""Adapter for dissect.hypervisor and dissect.evidence: readers of VHD, VHDX, VDI and E01 on files that *we* opened.

The callers have looked at the headers before (types, sizes, tables), because these classes trust them. Whatever they raise becomes a
SourceError on opening and a StructureFault on reading.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dissect.evidence.ewf import EWF
from dissect.hypervisor.disk.c_vhd import c_vhd
from dissect.hypervisor.disk.vdi import VDI
from dissect.hypervisor.disk.vhd import DynamicDisk, FixedDisk
from dissect.hypervisor.disk.vhdx import VHDX

from snapscan.model.errors import ReadFault, SnapscanError, SourceError, StructureFault
from snapscan.model.units import SECTOR_BYTES
from snapscan.spaces.file import SourceFile

Reader = Callable[[int, int], bytes]
"""(offset, length) -> bytes; fewer than asked for where the container does not hold them. Raises ReadFault."""


class FileView(io.RawIOBase):
    """A SourceFile as the file object that dissect reads; without a name, so that nothing is opened beside it."""

    def __init__(self, file: SourceFile) -> None:
        super().__init__()
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.size_bytes}[whence])
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = self._file.size_bytes if size is None or size < 0 else size
        data = self._file.read(self._at, wanted)
        self._at += len(data)
        return data


@contextmanager
def _opening(label: str, kind: str) -> Iterator[None]:
    try:
        yield
    except SnapscanError:
        raise
    except Exception as error:
        hint = "scan it with the kind raw to sweep what is there"
        raise SourceError("damaged-container", f"{label} cannot be opened as {kind}: {type(error).__name__} {error}", hint=hint) from error


def _guarded(read: Reader) -> Reader:
    def guarded(offset: int, length: int) -> bytes:
        try:
            return read(offset, length)
        except ReadFault as fault:
            raise type(fault)(fault.reference, fault.message, offset=offset, length=length) from fault
        except Exception as error:
            raise StructureFault("damaged-container", f"{type(error).__name__} {error}", offset=offset, length=length) from error

    return guarded


def _seek_and_read(stream: Any) -> Reader:  # dissect's streams share no type that says so
    def read(offset: int, length: int) -> bytes:
        stream.seek(offset)
        return bytes(stream.read(length))

    return _guarded(read)


def vdi_reader(file: SourceFile, label: str) -> Reader:
    """Right only for reads inside one block: what goes beyond is served from the first block's place (dissect.hypervisor 3.21)."""
    with _opening(label, "vdi"):
        return _seek_and_read(VDI(FileView(file)).open())


def vhdx_reader(file: SourceFile, label: str) -> Reader:
    """Right only for reads that stay inside one block (dissect.hypervisor 3.21)."""
    with _opening(label, "vhdx"):
        return _seek_and_read(VHDX(FileView(file)))


def vhd_reader(file: SourceFile, footer: bytes, *, fixed: bool, label: str) -> Reader:
    """`footer` is the one that the caller has checked."""
    with _opening(label, "vhd"):
        view = FileView(file)
        disk = (FixedDisk if fixed else DynamicDisk)(view, c_vhd.footer(footer))

    def read(offset: int, length: int) -> bytes:
        first = offset // SECTOR_BYTES
        count = -(-(offset + length) // SECTOR_BYTES) - first
        inside = offset - first * SECTOR_BYTES
        return bytes(disk.read_sectors(first, count))[inside : inside + length]

    return _guarded(read)


def ewf_reader(files: list[SourceFile], label: str) -> tuple[Reader, int, int]:
    """(reader, size in bytes, chunk size in bytes). Raises SourceError also where a segment is missing or not understood."""
    with _opening(label, "ewf"):
        image = EWF([FileView(file) for file in files])
        segments = [image.segment(index) for index in range(len(files))]
        chunks = sum(segment.chunk_count for segment in segments)
        if chunks != image.volume.chunk_count:  # EWF() goes on without a segment that it cannot parse, and everything behind it shifts
            raise SourceError("part-missing", f"{label} should have {image.volume.chunk_count} chunks, its segments hold {chunks}")
        for segment in segments:
            for table in segment.tables:  # dissect keeps 1,024 chunks of every table, for ever
                table.read_chunk = table.read_chunk.__wrapped__
        return _seek_and_read(image.open()), int(image.size), int(image.chunk_size)
