"""Maps of filesystems without a reader of our own, through the dissect packages: the only module that imports them.

Each kind has an adapter of four small functions; one walk serves all. What dissect raises becomes a note, what cannot be placed a gap.
Reads of the volume stop the walk at its time limit, so a loop inside a package ends too.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, BinaryIO, NamedTuple, Protocol, cast

from snapscan.maps.ext_source import MapStopped
from snapscan.maps.map_task import MapTask
from snapscan.maps.volume_file import VolumeFile
from snapscan.model.mapping import MapLimits, Mapped
from snapscan.model.owner import OwnerKind
from snapscan.model.volume import Volume, VolumeReader

BUFFER_BYTES = 64 << 10
BLOCKS_MOST = 50_000_000
"""Block pointers of one file that are followed; a sparse file's size costs nothing, its pointers do."""


class _Facts(NamedTuple):
    """`inode` tells hard links and loops. `runs` are (offset in the file, place in the volume, length); None where they cannot be told."""

    inode: int
    mode: int
    uid: int
    mtime: int
    size: int
    runs: list[tuple[int, int, int]] | None


class _Adapter(Protocol):
    """One kind of filesystem. `roots` are (name, node), one without a name if there is a single tree."""

    def roots(self) -> list[tuple[bytes, Any]]: ...

    def children(self, node: Any) -> Iterator[tuple[bytes, Any]]: ...

    def facts(self, node: Any) -> _Facts: ...

    def gaps(self) -> list[tuple[str, str]]: ...


def map_with_dissect(reader: VolumeReader, volume: Volume, limits: MapLimits) -> Mapped:
    """The owners of one volume. Raises nothing for a damaged one; a package that is missing is a gap with the pip line."""
    task = MapTask(reader, volume, limits)
    package, adapter_of = _ADAPTERS[volume.filesystem]
    try:
        module = import_module(package)
    except ImportError:
        task.gap("unmapped", f"pip install {package}")
        return task.finish()
    file = cast(BinaryIO, io.BufferedReader(VolumeFile(reader, task.check_time), BUFFER_BYTES))
    try:
        with _reading(task, f"{volume.filesystem}: the filesystem cannot be opened", is_gap=True):
            adapter = adapter_of(module, file)
            _Walk(task, adapter, volume.filesystem).run()
    except MapStopped as stop:
        task.gap("unmapped", str(stop))
    return task.finish()


@contextmanager
def _reading(task: MapTask, what: str, *, is_gap: bool = False) -> Iterator[None]:
    """Around calls into dissect: packages raise what they like for a damaged image. The exception's text may quote it: it is left out."""
    try:
        yield
    except MapStopped:
        raise
    except Exception as error:  # noqa: BLE001  # the adapter wrapper: anything may come out of a parser of hostile bytes
        if is_gap:
            task.gap("unmapped", f"{what} ({type(error).__name__})")
        else:
            task.trouble.note(f"{what} ({type(error).__name__})")


class _Walk:
    """From the roots down, each directory once."""

    def __init__(self, task: MapTask, adapter: _Adapter, kind: str) -> None:
        self.task = task
        self.adapter = adapter
        self.kind = kind
        self.owners: dict[tuple[int, int], int] = {}
        self.unplaced = self.failed = 0

    def run(self) -> None:
        try:
            self._trees()
        finally:
            for reason, detail in self.adapter.gaps():
                self.task.gap(reason, f"{self.kind}: {detail}")
            if self.unplaced:
                self.task.gap("unmapped", f"{self.kind}: {self.unplaced} files have no place that can be told")
            if self.failed:
                self.task.gap("unmapped", f"{self.kind}: {self.failed} entries cannot be read")

    def _trees(self) -> None:
        task = self.task
        roots = self.adapter.roots()
        top = -1
        if len(roots) != 1:
            top = task.builder.root = task.owner(OwnerKind.DIRECTORY)
        for tree, (name, root) in enumerate(roots):
            owner, _ = self._owner(tree, root)
            if owner < 0:
                continue
            if top < 0:
                task.builder.root = owner
            else:
                task.name(owner, top, name)
            waiting = [(owner, root)]
            while waiting:
                parent, node = waiting.pop()
                with self._entry():
                    for child_name, child in self.adapter.children(node):
                        if child_name in (b"", b".", b".."):
                            continue
                        task.visit()
                        owner, is_new_directory = self._owner(tree, child)
                        if owner >= 0:
                            task.name(owner, parent, child_name)
                        if is_new_directory:
                            waiting.append((owner, child))

    @contextmanager
    def _entry(self) -> Iterator[None]:
        done = False
        with _reading(self.task, f"{self.kind}: an entry cannot be read"):
            yield
            done = True
        self.failed += not done

    def _owner(self, tree: int, node: Any) -> tuple[int, bool]:
        """The node's owner, -1 if it cannot be read, and whether it is a directory met for the first time."""
        with self._entry():
            facts = self.adapter.facts(node)
            known = self.owners.get((tree, facts.inode))
            if known is not None:
                return known, False
            kinds = {stat.S_IFDIR: OwnerKind.DIRECTORY, stat.S_IFLNK: OwnerKind.SYMLINK}
            kind = kinds.get(stat.S_IFMT(facts.mode), OwnerKind.FILE)
            owner = self.task.owner(kind, inode=facts.inode, mode=facts.mode, uid=facts.uid, mtime=facts.mtime, size_bytes=facts.size)
            self.owners[tree, facts.inode] = owner
            for offset, place, length in facts.runs or ():
                self.task.row(place, length, owner, offset)
            self.unplaced += facts.runs is None and facts.size > 0
            return owner, kind is OwnerKind.DIRECTORY
        return -1, False


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


class _Ufs:
    """UFS1 and UFS2. Pointers are followed here: dissect reads the block of a hole as pointers."""

    def __init__(self, module: Any, file: BinaryIO) -> None:
        self.fs = import_module("dissect.ffs.ffs").FFS(file)
        self.file = file
        self.fragment = int(self.fs.fragment_size)
        self.block = int(self.fs.block_size)
        self.pointer = 4 if self.fs.version == 1 else 8
        if not (512 <= self.fragment <= self.block <= 65536 and self.block % self.fragment == 0):
            raise ValueError("block sizes")

    def roots(self) -> list[tuple[bytes, Any]]:
        return [(b"", self.fs.root)]

    def gaps(self) -> list[tuple[str, str]]:
        return []

    def children(self, node: Any) -> Iterator[tuple[bytes, Any]]:
        # without the type of the entry: an entry that lies about it would be walked as a directory
        return ((_bytes(child.name), self.fs.inode(child.inum)) for child in node.iterdir() if child.inum)

    def facts(self, node: Any) -> _Facts:
        inode, size = node.inode, int(node.size)
        is_short_link = node.is_symlink() and size < int(self.fs.sb.fs_maxsymlinklen)
        holds_data = stat.S_IFMT(inode.di_mode) in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
        runs = list(self._runs(inode, size)) if holds_data and not is_short_link else []
        return _Facts(int(node.inum), int(inode.di_mode), int(inode.di_uid), int(inode.di_mtime), size, runs)

    def _runs(self, inode: Any, size: int) -> Iterator[tuple[int, int, int]]:
        offset, run = 0, (0, 0, 0)
        for address, span in self._pointers(inode):
            if offset >= size:
                break
            if address:
                # the last block of a small file is as many fragments as it needs
                length = min(self.block, -(-(size - offset) // self.fragment) * self.fragment)
                place = address * self.fragment
                if run[1] + run[2] == place and run[0] + run[2] == offset and run[2]:
                    run = (run[0], run[1], run[2] + length)
                else:
                    if run[2]:
                        yield run
                    run = (offset, place, length)
            offset += span
        if run[2]:
            yield run

    def _pointers(self, inode: Any) -> Iterator[tuple[int, int]]:
        """(fragment number or 0, bytes of the file it stands for), in the file's order."""
        for address in inode.di_db:
            yield int(address), self.block
        per_block = self.block // self.pointer
        count = 0
        waiting = [(int(address), level) for level, address in reversed(list(enumerate(inode.di_ib, 1)))]
        while waiting:
            address, level = waiting.pop()
            if level == 0 or address <= 0:
                yield max(address, 0), self.block * per_block**level
                continue
            count += per_block
            if count > BLOCKS_MOST:
                return
            self.file.seek(address * self.fragment)
            raw = self.file.read(self.block)
            addresses = [int.from_bytes(raw[at : at + self.pointer], "little") for at in range(0, len(raw), self.pointer)]
            waiting += [(inner, level - 1) for inner in reversed(addresses)]


class _Squashfs:
    """Blocks that are stored as they are have a place; compressed ones and shared fragments do not."""

    def __init__(self, module: Any, file: BinaryIO) -> None:
        self.fs = import_module("dissect.squashfs").SquashFS(file)

    def roots(self) -> list[tuple[bytes, Any]]:
        return [(b"", self.fs.root)]

    def gaps(self) -> list[tuple[str, str]]:
        return []

    def children(self, node: Any) -> Iterator[tuple[bytes, Any]]:
        return ((_bytes(child.name), child) for child in node.iterdir())

    def facts(self, node: Any) -> _Facts:
        size = int(node.size or 0)
        runs = self._runs(node, size) if node.is_file() else []
        return _Facts(int(node.inode_number), int(node.mode), int(node.uid), int(node.header.mtime), size, runs)

    def _runs(self, node: Any, size: int) -> list[tuple[int, int, int]] | None:
        place, offset = int(node.header.start_block), 0
        found = []
        whole = True
        for stored, _ in node.block_list if size <= BLOCKS_MOST * self.fs.block_size else ():
            if stored is None:
                whole = False
                break
            length, plain = stored & ~(1 << 24), bool(stored >> 24 & 1)
            if plain and length:
                found.append((offset, place, min(length, size - offset)))
            whole = whole and (plain or not length)
            place, offset = place + length, offset + self.fs.block_size
        return found if whole else None


class _Vmfs:
    """Names only: addresses of VMFS blocks are resolved one by one in dissect, and lead into its own volume manager."""

    def __init__(self, module: Any, file: BinaryIO) -> None:
        vmfs = import_module("dissect.vmfs")
        volumes = [volume for volume in vmfs.LVM(file).volumes if volume.is_valid()]
        self.trees = [(_bytes(str(k)), vmfs.VMFS(volume.open()).root) for k, volume in enumerate(volumes)]

    def roots(self) -> list[tuple[bytes, Any]]:
        return self.trees

    def gaps(self) -> list[tuple[str, str]]:
        return []

    def children(self, node: Any) -> Iterator[tuple[bytes, Any]]:
        return ((_bytes(entry.name), entry.file_descriptor) for entry in node.iterdir() if entry.name not in (".", ".."))

    def facts(self, node: Any) -> _Facts:
        mode = int(node.mode)
        if not stat.S_IFMT(mode):
            mode |= stat.S_IFDIR if node.is_dir() else stat.S_IFREG
        return _Facts(int(node.address), mode, 0, int(node.mtime.timestamp()), int(node.size), None)


class _Apfs:
    """One tree for each volume of the container."""

    def __init__(self, module: Any, file: BinaryIO) -> None:
        package = import_module("dissect.apfs")
        self.types = import_module("dissect.apfs.c_apfs").c_apfs
        self.container = package.APFS(file)
        self.block = int(self.container.block_size)
        self.found: list[tuple[str, str]] = []

    def roots(self) -> list[tuple[bytes, Any]]:
        trees = []
        for volume in self.container.volumes:
            name = bytes(volume.object.apfs_volname).split(b"\0")[0]
            if volume.is_encrypted:
                self.found.append(("encrypted-volume", f"volume {volume.uuid}"))
            else:
                trees.append((name, volume.root))
        return trees

    def gaps(self) -> list[tuple[str, str]]:
        return self.found

    def children(self, node: Any) -> Iterator[tuple[bytes, Any]]:
        return ((_bytes(entry.name), node.volume.inode(entry.file_id)) for entry in node.iterdir())

    def facts(self, node: Any) -> _Facts:
        inode = node.inode
        runs: list[tuple[int, int, int]] | None = []
        if node.is_file():
            runs = None if node.is_compressed() or node.volume.is_sealed else self._runs(node)
        return _Facts(int(node.oid), int(inode.mode), int(inode.owner), int(inode.mod_time) // 1_000_000_000, int(node.size), runs)

    def _runs(self, node: Any) -> list[tuple[int, int, int]]:
        types, found = self.types, []
        for _, key, value in node.volume._records(int(node.private_id), types.APFS_TYPE.FILE_EXTENT):
            extent = types.j_file_extent_val(value)
            length = int(extent.len_and_flags) & int(types.J_FILE_EXTENT_LEN_MASK)
            if extent.phys_block_num:
                found.append((int(types.j_file_extent_key(key).logical_addr), int(extent.phys_block_num) * self.block, length))
        return found


_ADAPTERS = cast(
    "dict[str, tuple[str, Callable[[Any, BinaryIO], _Adapter]]]",
    {
        "ufs": ("dissect.ffs", _Ufs),
        "squashfs": ("dissect.squashfs", _Squashfs),
        "vmfs": ("dissect.vmfs", _Vmfs),
        "apfs": ("dissect.apfs", _Apfs),
    },
)
