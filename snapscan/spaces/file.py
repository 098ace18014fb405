"""One file or block device of an image, opened read-only by us: exact reads, its size, its stamp.

Every read of an image's bytes ends here. An error of the operating system becomes a MediaFault with the *file's* offset; the spaces
above put their own offset in its place.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from snapscan.model.errors import AccessDenied, MediaFault, NotFound, SourceError, UnsupportedFormat
from snapscan.model.snapshot import SourceStamp
from snapscan.model.space import Range

Int64 = NDArray[np.int64]
UInt8 = NDArray[np.uint8]

GATHER_BLOCK_BYTES = 64 * 1024
GATHER_MAP_BYTES = 64 * 1024 * 1024
"""Mapped at a time: each touch brings in 64 KiB, and what is mapped counts as this process's memory."""
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
"""O_NONBLOCK: the opening of a FIFO returns at once (and is then refused); regular files and disks do not care."""


def open_descriptor(name: str | bytes, *, folder: int | None = None, follow: bool = True) -> int:
    """A descriptor for reading that leaves no trace in the access time where we may ask for that. Raises OSError."""
    flags = _FLAGS if follow else _FLAGS | os.O_NOFOLLOW
    try:
        return os.open(name, flags | os.O_NOATIME, dir_fd=folder)
    except PermissionError as error:
        if error.errno != errno.EPERM:  # EACCES: no permission to read, with or without O_NOATIME
            raise
        return os.open(name, flags, dir_fd=folder)


def source_error(error: OSError, path: str) -> SourceError:
    """What an OSError on opening a source means to a person."""
    shown = printable(path)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return NotFound("source-not-found", f"there is no file {shown}")
    if error.errno in (errno.EACCES, errno.EPERM):
        return AccessDenied("source-access", f"{shown} may not be read by this user", hint="run as a user who may read it, or copy it first")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return AccessDenied("too-many-open-files", f"{shown} cannot be opened: {error.strerror}", hint="raise the limit with ulimit -n")
    if error.errno == errno.ELOOP:
        return NotFound("source-not-found", f"{shown} is a symbolic link that leads nowhere")
    return AccessDenied("source-access", f"{shown} cannot be opened: {error.strerror}")


def printable(path: str) -> str:
    """A path for a message: undecodable bytes and control characters are shown as escapes."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class SourceFile:
    """A regular file or block device; owns its descriptor until `close`."""

    def __init__(self, descriptor: int, path: str) -> None:
        """Takes over `descriptor`, also when it raises. Raises UnsupportedFormat for what is neither file nor block device."""
        self.descriptor = descriptor
        self.path = path
        status = os.fstat(descriptor)
        self.is_block_device = stat.S_ISBLK(status.st_mode)
        if not self.is_block_device and not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            self.descriptor = -1
            raise UnsupportedFormat("source-not-a-file", f"{printable(path)} is {_kind_of(status.st_mode)}, neither a file nor a block device")
        self.size_bytes = os.lseek(descriptor, 0, os.SEEK_END) if self.is_block_device else status.st_size
        self.identity = (status.st_rdev if self.is_block_device else status.st_dev, 0 if self.is_block_device else status.st_ino)
        self.stamp = SourceStamp(path, status.st_dev, status.st_ino, self.size_bytes, 0 if self.is_block_device else status.st_mtime_ns)

    def read_into(self, at: int, view: memoryview) -> None:
        """Fill all of `view` from file offset `at`. Raises MediaFault when the file ends early or the medium refuses."""
        done, length = 0, len(view)
        while done < length:
            try:
                count = os.preadv(self.descriptor, (view[done:] if done else view,), at + done)
            except OSError as error:
                text = f"{printable(self.path)} at {at + done}: {error.strerror}"
                raise MediaFault("read-error", text, offset=at, length=len(view)) from error
            if count == 0:
                raise MediaFault("short-read", f"{printable(self.path)} ends at {at + done}", offset=at, length=len(view))
            done += count

    def read(self, at: int, length: int) -> bytes:
        """Up to `length` bytes from `at`: fewer at the end of the file, none behind it. Raises MediaFault."""
        length = max(0, min(length, self.size_bytes - at))
        buffer = bytearray(length)
        if length:
            self.read_into(at, memoryview(buffer))
        return bytes(buffer)

    def stored_ranges(self) -> Iterator[Range]:
        """Where the file system keeps data for this file; all of it where it cannot say (block devices, some network file systems)."""
        if self.is_block_device:
            yield Range(0, self.size_bytes)
            return
        at = 0
        while at < self.size_bytes:
            try:
                start = os.lseek(self.descriptor, at, os.SEEK_DATA)
                end = os.lseek(self.descriptor, start, os.SEEK_HOLE)
            except OSError as error:
                if error.errno != errno.ENXIO:  # ENXIO: only a hole is left; anything else: the question is not supported
                    yield Range(at, self.size_bytes)
                return
            end = min(end, self.size_bytes)
            if end <= start:
                return
            yield Range(start, end)
            at = end

    def gather(self, offsets: Int64) -> UInt8:
        """The byte at each file offset, in any order; 0 for offsets outside the file and for bytes that cannot be read."""
        out = np.zeros(len(offsets), dtype=np.uint8)
        inside = np.flatnonzero((offsets >= 0) & (offsets < self.size_bytes))
        if self.is_block_device:  # no memory map: a page of a failing disk would kill this process
            self._gather_by_reading(offsets, inside, out)
            return out
        size = min(self.size_bytes, os.fstat(self.descriptor).st_size)
        inside = inside[offsets[inside] < size]
        order = inside[np.argsort(offsets[inside], kind="stable")]
        edges = np.searchsorted(offsets[order], np.arange(0, size + GATHER_MAP_BYTES, GATHER_MAP_BYTES))
        for number, (low, high) in enumerate(pairwise(edges.tolist())):
            if low < high:
                base = number * GATHER_MAP_BYTES
                with mmap.mmap(self.descriptor, min(GATHER_MAP_BYTES, size - base), access=mmap.ACCESS_READ, offset=base) as mapped:
                    content = np.frombuffer(mapped, dtype=np.uint8)
                    out[order[low:high]] = content[offsets[order[low:high]] - base]
                    del content  # the map cannot be closed while an array looks into it
        return out

    def _gather_by_reading(self, offsets: Int64, inside: Int64, out: UInt8) -> None:
        order = inside[np.argsort(offsets[inside], kind="stable")]
        blocks = offsets[order] // GATHER_BLOCK_BYTES
        edges = [0, *(np.flatnonzero(blocks[1:] != blocks[:-1]) + 1).tolist(), len(order)]
        for low, high in pairwise(edges):
            if low == high:
                continue
            start = int(blocks[low]) * GATHER_BLOCK_BYTES
            try:
                content = np.frombuffer(self.read(start, GATHER_BLOCK_BYTES), dtype=np.uint8)
            except MediaFault:
                continue
            out[order[low:high]] = content[offsets[order[low:high]] - start]

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _kind_of(mode: int) -> str:
    for test, word in ((stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a character device"), (stat.S_ISDIR, "a directory")):
        if test(mode):
            return word
    return "a special file"
