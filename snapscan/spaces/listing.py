"""The files of a directory tree, in a fixed order: what a folder space lays end to end.

Order: files by their path as bytes. Links are not followed; other file systems mounted below are walked, those that are views of the
kernel (`/proc` and the like) are named and left. Hard links are one file under its first name.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snapscan.model.errors import SourceChanged, StoreError
from snapscan.spaces.file import Int64

KERNEL_FILESYSTEMS = frozenset(
    [
        *("autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "efivarfs", "fusectl", "mqueue", "nsfs"),
        *("proc", "pstore", "rpc_pipefs", "securityfs", "selinuxfs", "smackfs", "sysfs", "tracefs"),
    ]
)
"""Types in /proc/self/mountinfo whose files are made up on reading and hold no stored bytes."""
DIRECTORIES_MOST = 10_000_000


class Skipped(NamedTuple):
    """A place in the tree whose bytes are not in the space. `path` is relative to the folder, as bytes."""

    path: bytes
    reason: str


class Listing(NamedTuple):
    """Columns of equal length per file, per directory and per further name; paths are relative to the folder, without a leading slash."""

    root: bytes
    paths: list[bytes]
    sizes: Int64
    modified: Int64
    """Nanoseconds since 1970."""
    devices: NDArray[np.uint64]
    inodes: NDArray[np.uint64]
    modes: NDArray[np.uint32]
    uids: NDArray[np.uint32]
    allocated: Int64
    """Bytes that the file system keeps; fewer than the size: the file has holes (or is compressed)."""
    directories: list[bytes]
    directory_columns: Int64
    """A row (inode, mode, uid, mtime in seconds) for each directory."""
    links: list[tuple[int, bytes]]
    """(file, further path) for each hard link but the first."""
    skipped: list[Skipped]

    def digest(self) -> int:
        """63 bits over everything that decides the layout: equal listings, equal digests."""
        digest = hashlib.sha256(b"\0".join(self.paths))
        for column in (self.sizes, self.modified, self.devices, self.inodes):
            digest.update(column.tobytes())
        return int.from_bytes(digest.digest()[:8], "big") >> 1


def walk(root: bytes) -> Listing:
    """List the tree below `root`. What cannot be listed is in `skipped`; raises nothing for it."""
    rows: list[tuple[bytes, os.stat_result]] = []
    directories: list[tuple[bytes, os.stat_result]] = []
    skipped: list[Skipped] = []
    kernel = _kernel_devices()
    top = Path(os.fsdecode(root)).stat()
    pending: list[tuple[bytes, os.stat_result]] = [(b"", top)]
    seen = {(top.st_dev, top.st_ino)}
    while pending:
        path, status = pending.pop()
        if status.st_dev in kernel:
            skipped.append(Skipped(path, f"kernel-filesystem: {kernel[status.st_dev]}"))
            continue
        directories.append((path, status))
        for child, child_status in _children(root, path, skipped):
            mode = child_status.st_mode
            if stat.S_ISREG(mode):
                rows.append((child, child_status))
            elif stat.S_ISDIR(mode):
                identity = (child_status.st_dev, child_status.st_ino)
                if identity in seen or len(seen) >= DIRECTORIES_MOST:  # a bind mount of a directory above would never end
                    skipped.append(Skipped(child, "directory-seen-before"))
                    continue
                seen.add(identity)
                pending.append((child, child_status))
            elif not stat.S_ISLNK(mode):
                skipped.append(Skipped(child, _special(mode)))
    rows.sort(key=lambda row: row[0])
    directories.sort(key=lambda row: row[0])
    skipped.sort()
    return _columns(root, rows, directories, skipped)


def _children(root: bytes, path: bytes, skipped: list[Skipped]) -> list[tuple[bytes, os.stat_result]]:
    found: list[tuple[bytes, os.stat_result]] = []
    prefix = path + b"/" if path else b""
    try:
        with os.scandir(root + b"/" + path if path else root) as entries:
            for entry in entries:
                try:
                    found.append((prefix + entry.name, entry.stat(follow_symlinks=False)))
                except OSError as error:
                    skipped.append(Skipped(prefix + entry.name, f"unreadable: {error.strerror}"))
    except OSError as error:
        skipped.append(Skipped(path, f"directory-unreadable: {error.strerror}"))
    return found


def _special(mode: int) -> str:
    for test, word in ((stat.S_ISFIFO, "fifo"), (stat.S_ISSOCK, "socket"), (stat.S_ISCHR, "character-device"), (stat.S_ISBLK, "block-device")):
        if test(mode):
            return word
    return "special-file"


def _kernel_devices() -> dict[int, str]:
    """Device number -> type of each mounted file system that is a view of the kernel (proc(5), /proc/pid/mountinfo)."""
    found: dict[int, str] = {}
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return found
    for line in lines:
        mount, _, filesystem = line.partition(b" - ")
        kind = filesystem.split(b" ")[0].decode("ascii", "replace")
        if kind in KERNEL_FILESYSTEMS:
            major, _, minor = mount.split(b" ")[2].partition(b":")
            found[os.makedev(int(major), int(minor))] = kind
    return found


def _columns(
    root: bytes, rows: list[tuple[bytes, os.stat_result]], directories: list[tuple[bytes, os.stat_result]], skipped: list[Skipped]
) -> Listing:
    kept: list[tuple[bytes, os.stat_result]] = []
    links: list[tuple[int, bytes]] = []
    first: dict[tuple[int, int], int] = {}
    for path, status in rows:
        if status.st_nlink > 1:
            known = first.setdefault((status.st_dev, status.st_ino), len(kept))
            if known != len(kept):
                links.append((known, path))
                continue
        kept.append((path, status))
    statuses = [status for _, status in kept]
    return Listing(
        root,
        [path for path, _ in kept],
        np.array([s.st_size for s in statuses], dtype=np.int64),
        np.array([s.st_mtime_ns for s in statuses], dtype=np.int64),
        np.array([s.st_dev for s in statuses], dtype=np.uint64),
        np.array([s.st_ino for s in statuses], dtype=np.uint64),
        np.array([s.st_mode for s in statuses], dtype=np.uint32),
        np.array([s.st_uid for s in statuses], dtype=np.uint32),
        np.array([s.st_blocks * 512 for s in statuses], dtype=np.int64),
        [path for path, _ in directories],
        np.array([(s.st_ino & (1 << 63) - 1, s.st_mode, s.st_uid, int(s.st_mtime)) for _, s in directories], dtype=np.int64).reshape(-1, 4),
        links,
        skipped,
    )


_COLUMNS = ("sizes", "modified", "devices", "inodes", "modes", "uids", "allocated", "directory_columns")


def save(listing: Listing, file: Path) -> None:
    """Write the listing to `file` (mode 0600), whole or not at all. Raises StoreError."""
    texts = {
        "root": [listing.root],
        "paths": listing.paths,
        "directories": listing.directories,
        "links": [path for _, path in listing.links],
        "skipped": [item.path for item in listing.skipped],
        "reasons": [item.reason.encode() for item in listing.skipped],
    }
    columns = {name: getattr(listing, name) for name in _COLUMNS}
    columns |= {f"text_{name}": np.frombuffer(b"\0".join([*lines, b""]), dtype=np.uint8) for name, lines in texts.items()}
    columns["link_files"] = np.array([index for index, _ in listing.links], dtype=np.int64)
    draft = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as out:
            np.savez(out, allow_pickle=False, **columns)
        draft.replace(file)
    except OSError as error:
        raise StoreError("listing-not-written", f"{file}: {error.strerror}") from error


def load(file: Path, root: bytes) -> Listing:
    """The listing that `save` wrote, for the same folder. Raises SourceChanged where it is for another one, StoreError where it is damaged."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            columns = {name: stored[name] for name in stored.files}
        text = {name[5:]: column.tobytes().split(b"\0")[:-1] for name, column in columns.items() if name.startswith("text_")}
        listing = Listing(
            root=text["root"][0],
            paths=text["paths"],
            directories=text["directories"],
            links=list(zip(columns["link_files"].tolist(), text["links"], strict=True)),
            skipped=[Skipped(path, reason.decode()) for path, reason in zip(text["skipped"], text["reasons"], strict=True)],
            **{name: columns[name] for name in _COLUMNS},
        )
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise StoreError("listing-damaged", f"{file} is not a listing of a folder", hint="remove it to list the folder anew") from error
    if listing.root != root:
        raise SourceChanged("source-changed", f"{file} lists another folder than the one given")
    return listing
