"""A directory tree as one space: files end to end, one absent zero byte behind each, so that neighbours never touch.

The layout is that of a Listing. A file is opened when its bytes are asked for, and must still be the one that was listed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from snapscan.model.errors import MediaFault, SourceError, UnsupportedFormat
from snapscan.model.owner import OwnerKind, OwnerMap
from snapscan.model.owner_builder import MapBuilder
from snapscan.model.snapshot import SnapshotRef, SourceStamp
from snapscan.model.space import Range
from snapscan.model.volume import Segment, Volume
from snapscan.spaces.file import Int64, SourceFile, UInt8, open_descriptor, printable, source_error
from snapscan.spaces.gather import gather_blocks
from snapscan.spaces.listing import Listing, Skipped, load, save, walk


def open_folder(path: str, listing: Path | None = None) -> FolderSpace:
    """The space of the folder at `path`; `listing` as in `registry.open_space`. Raises SourceError, StoreError."""
    root = os.fsencode(path)
    try:
        if not stat.S_ISDIR(Path(path).stat().st_mode):
            raise UnsupportedFormat("not-a-folder", f"{printable(path)} is not a directory")
        os.scandir(root).close()
    except OSError as error:
        raise source_error(error, path) from error
    if listing is not None and listing.exists():
        return FolderSpace(load(listing, root))
    found = walk(root)
    if listing is not None:
        save(found, listing)
    return FolderSpace(found)


class FolderSpace:
    """Implements Space. One file is kept open between reads."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self._starts = np.concatenate(([0], np.cumsum(listing.sizes + 1))).astype(np.int64)
        self.size_bytes = int(self._starts[-1])
        label = os.path.basename(os.fsdecode(listing.root)) or "/"  # noqa: PTH119  # a path of any bytes
        self.snapshot = SnapshotRef("folder", f"{label}:{self.size_bytes}", label, self.size_bytes)
        self.notes: tuple[str, ...] = ()
        self._open: tuple[int, SourceFile] | None = None

    @property
    def skipped(self) -> list[Skipped]:
        """Places below the folder whose bytes are not in the space, with the reason."""
        return self.listing.skipped

    def stored_ranges(self) -> Iterator[Range]:
        sparse = self.listing.allocated < self.listing.sizes
        rows = zip(self._starts.tolist(), self.listing.sizes.tolist(), sparse.tolist(), strict=False)
        for index, (start, size, has_holes) in enumerate(rows):
            if has_holes:
                yield from self._ranges_of(index, start, size)
            elif size:
                yield Range(start, start + size)

    def _ranges_of(self, index: int, start: int, size: int) -> Iterator[Range]:
        """A file with holes: its stored parts, or all of it where it cannot be opened now (reading will say why)."""
        try:
            file = self._file(index, 0, 0)
        except MediaFault:
            yield Range(start, start + size)
            return
        for part in list(file.stored_ranges()):
            if part.start < min(part.end, size):
                yield Range(start + part.start, start + min(part.end, size))

    def read_into(self, offset: int, view: memoryview) -> None:
        assert offset >= 0 and offset + len(view) <= self.size_bytes
        if not len(view):
            return
        index = int(np.searchsorted(self._starts, offset, side="right")) - 1
        done = 0
        while done < len(view):
            at = offset + done
            start, size = int(self._starts[index]), int(self.listing.sizes[index])
            count = min(len(view) - done, max(0, start + size - at))
            if count:
                self._read_file(index, at - start, at, view[done : done + count])
            if done + count < len(view):
                view[done + count] = 0
                count += 1
            done += count
            index += 1

    def _read_file(self, index: int, inside: int, at: int, view: memoryview) -> None:
        file = self._file(index, at, len(view))
        try:
            file.read_into(inside, view)
        except MediaFault as fault:
            raise MediaFault(fault.reference, fault.message, offset=at, length=len(view)) from fault

    def _file(self, index: int, at: int, length: int) -> SourceFile:
        """The opened file, checked to be the one that was listed. Raises MediaFault for bytes `at` .. `at + length`."""
        listing = self.listing
        path = listing.root + b"/" + listing.paths[index]
        shown = printable(os.fsdecode(listing.paths[index]))
        try:
            if self._open is None or self._open[0] != index:
                self._drop()
                self._open = (index, SourceFile(open_descriptor(path, follow=False), os.fsdecode(path)))
            status = os.fstat(self._open[1].descriptor)
        except UnsupportedFormat as error:  # no regular file any more
            raise MediaFault("file-changed", f"{shown} is not the file that was listed", offset=at, length=length) from error
        except FileNotFoundError as error:
            raise MediaFault("file-changed", f"{shown} is gone", offset=at, length=length) from error
        except OSError as error:
            raise MediaFault("file-unreadable", f"{shown}: {error.strerror}", offset=at, length=length) from error
        seen = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if seen != tuple(int(column[index]) for column in (listing.devices, listing.inodes, listing.sizes, listing.modified)):
            self._drop()
            raise MediaFault("file-changed", f"{shown} has changed since it was listed", offset=at, length=length)
        return self._open[1]

    def gather(self, offsets: Int64) -> UInt8:
        """The byte at each offset (sorted); 0 where it cannot be read."""
        return gather_blocks(self, offsets)

    def volume(self) -> Volume:
        """The folder as the one volume of its space."""
        return Volume(step="", segments=(Segment(0, 0, self.size_bytes),))

    def owner_map(self) -> OwnerMap:
        """Who owns which bytes: each file its own; the byte between two belongs to nobody."""
        listing = self.listing
        builder = MapBuilder()
        inode, mode, uid, mtime = listing.directory_columns.T if len(listing.directories) else np.zeros((4, 0), dtype=np.int64)
        kinds = np.full(len(listing.directories), OwnerKind.DIRECTORY, dtype=np.uint8)
        builder.owners(kind=kinds, state=0, mode=mode & 0xFFFF, uid=uid, inode=inode, mtime=mtime, size_bytes=0)
        kinds = np.full(len(listing.paths), OwnerKind.FILE, dtype=np.uint8)
        first = builder.owners(
            kind=kinds, state=0, mode=listing.modes & 0xFFFF, uid=listing.uids, inode=listing.inodes,
            mtime=listing.modified // 1_000_000_000, size_bytes=listing.sizes,
        )  # fmt: skip
        directories = {path: index for index, path in enumerate(listing.directories)}
        builder.root = directories.get(b"", -1)
        for index, path in enumerate(listing.directories):
            if path:
                parent, name = _split(path, directories)
                builder.name(index, parent, name)
        for index, path in [*enumerate(listing.paths), *listing.links]:
            parent, name = _split(path, directories)
            builder.name(first + index, parent, name)
        filled = np.flatnonzero(listing.sizes)
        starts = self._starts[filled]
        builder.rows(starts, starts + listing.sizes[filled], first + filled, 0)
        return builder.finish(self.volume())

    def stamps(self) -> tuple[SourceStamp, ...]:
        """One stamp for the whole tree: its size is the space's, its time a digest of the listing."""
        try:
            status = Path(os.fsdecode(self.listing.root)).stat()
        except OSError as error:
            raise SourceError("source-not-found", f"{printable(os.fsdecode(self.listing.root))}: {error.strerror}") from error
        return (SourceStamp(os.fsdecode(self.listing.root), status.st_dev, status.st_ino, self.size_bytes, self.listing.digest()),)

    def _drop(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def close(self) -> None:
        self._drop()


def _split(path: bytes, directories: dict[bytes, int]) -> tuple[int, bytes]:
    """(index of the directory, name in it)."""
    folder, _, name = path.rpartition(b"/")
    return directories[folder], name


__all__ = ["FolderSpace", "open_folder"]
