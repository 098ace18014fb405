"""Which further files an image may have opened on its word: parents, extents, data files, numbered parts.

An image is written by whoever owned the machine: it must not choose files of ours. A name found in an image is looked up in the image's own
folder and in the folders that the user allowed, beneath a directory handle, component by component, without following a link.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass

from snapscan.model.errors import ParentRefused, ReadFault, SourceError
from snapscan.model.snapshot import SourceStamp
from snapscan.model.space import Space
from snapscan.spaces.file import SourceFile, open_descriptor, printable, source_error

DEPTH_MOST = 64
"""Images in one chain; VMware allows 32, and qemu is known to be used with some tens."""

_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True)
class Source:
    """One opened file of an image, and what may be opened on its word. Whoever builds a space from it closes it."""

    file: SourceFile
    folders: tuple[str, ...]
    """Allowed folders, absolute: the image's own first, then those the user named."""
    open_kind: Callable[[str, Source], Space]
    """Opens a source as an image of a kind; given by the registry, which alone knows all kinds."""
    above: tuple[tuple[int, int], ...] = ()
    """Identities of the files that led here; one of them again is a loop."""

    @property
    def label(self) -> str:
        return os.path.basename(self.file.path)  # noqa: PTH119  # a path of any bytes, as typed

    def named(self, name: bytes, role: str) -> Source:
        """The file that the image calls `name`, for use as its `role` ("backing file", "extent", ...).

        Raises ParentRefused: `parent-refused` for a name we do not follow, `parent-missing` where an allowed folder holds no such file.
        """
        text = os.fsdecode(name)
        what = f"{printable(self.label)} needs {printable(text)} as its {role}"
        if not text or "\0" in text:
            raise _refused(f"{what}, which is not a file name")
        if _SCHEME.match(text):
            raise _refused(f"{what}, which is not a plain file name")
        if len(self.above) + 1 >= DEPTH_MOST:
            raise _refused(f"{what}, and {DEPTH_MOST} files led there already")
        places = self._places(text)
        if not places:
            hint = "if that is right, add --parents-from DIR; a snapshot should not name host files"
            raise ParentRefused("parent-refused", f"{what}, which is outside the folders allowed for this image", hint=hint)
        for folder, parts in places:
            descriptor = _open_beneath(folder, parts, what)
            if descriptor is None:
                continue
            path = os.path.join(folder, *parts)  # noqa: PTH118  # a path of any bytes
            opened = SourceFile(descriptor, path)
            if opened.identity in (*self.above, self.file.identity):
                opened.close()
                raise _refused(f"{what}, which leads back to itself")
            return Source(opened, self.folders, self.open_kind, (*self.above, self.file.identity))
        hint = "put it beside the image, or add --parents-from DIR"
        raise ParentRefused("parent-missing", f"{what}, and there is no such file", hint=hint)

    def parent(self, name: bytes, kind: str, role: str) -> Space:
        """The image called `name`, opened as `kind`; never probed. Raises SourceError."""
        source = self.named(name, role)
        try:
            return self.open_kind(kind, source)
        except (SourceError, ReadFault):
            source.file.close()
            raise

    def _places(self, name: str) -> list[tuple[str, list[str]]]:
        """(allowed folder, components below it) for each place where `name` may lie."""
        own = os.path.dirname(self.file.path)  # noqa: PTH120  # a path of any bytes
        candidates = [own] if os.path.isabs(name) else [own, *self.folders]  # noqa: PTH117  # as above
        found: list[tuple[str, list[str]]] = []
        for base in candidates:
            full = os.path.normpath(os.path.join(base, name))  # noqa: PTH118  # lexical on purpose: no link is followed, so `..` means one up
            for folder in self.folders:
                inside = folder.rstrip("/") + "/"
                place = (folder, full[len(inside) :].split("/"))
                if full.startswith(inside) and place not in found:
                    found.append(place)
        return found


def _refused(message: str) -> ParentRefused:
    return ParentRefused("parent-refused", message, hint="a snapshot should name files beside it only")


def _open_beneath(folder: str, parts: list[str], what: str) -> int | None:
    """Open `folder`/`parts` without following a link below `folder`; None where there is no such file. Raises ParentRefused, SourceError."""
    try:
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise source_error(error, folder) from error
    try:
        for part in parts[:-1]:
            _refuse_link(part, at, what)
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        _refuse_link(parts[-1], at, what)
        descriptor = open_descriptor(parts[-1], folder=at, follow=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise source_error(error, "/".join(parts)) from error
    finally:
        os.close(at)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _refused(f"{what}, which is not a regular file")
    return descriptor


def _refuse_link(part: str, folder: int, what: str) -> None:
    """A word for the person; the guard itself is O_NOFOLLOW."""
    if stat.S_ISLNK(os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode):
        raise _refused(f"{what}, which is or crosses a symbolic link")


def stamps_of(sources: list[Source], parent: Space | None) -> tuple[SourceStamp, ...]:
    """Stamps of an image's files in the order they were opened, then those of its parent."""
    own = tuple(source.file.stamp for source in sources)
    return own + (parent.stamps() if parent is not None else ())


__all__ = ["DEPTH_MOST", "Source", "stamps_of"]
