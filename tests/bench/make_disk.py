"""Makes the disks that the benchmark scans: a Debian tree of 100,000 files and at least 2 GB, as ext4 in several containers.

    python tests/bench/make_disk.py FOLDER [--tree TREE]

The tree is a closure of Debian packages, downloaded with apt and unpacked (not installed: no scripts run), plus a few planted secrets. What is
already in FOLDER is not made again. Needs apt-get, dpkg-deb, mke2fs, sgdisk and qemu-img; with `--tree` only the last three.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import string
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGES = (
    *("build-essential", "git", "nginx", "postgresql-15", "redis-server", "openssh-server", "vim", "linux-image-amd64", "linux-headers-amd64"),
    *("golang-1.19-src", "libboost-dev", "python3-numpy", "python3-scipy", "python3-pandas", "python3-django", "python3-botocore", "python3-boto3"),
    *("ansible", "npm", "node-typescript", "ruby-full", "php-cli", "cmake", "python3-sympy", "python3-doc", "python3-matplotlib", "awscli"),
    *("systemd", "sudo", "openssl", "curl"),
)
"""Of Debian 12; elsewhere give a tree."""
MIB = 1 << 20
COPIES = 4


class Disks(NamedTuple):
    """Where everything lies. `bare` is a filesystem without a partition table; `four` has four copies of the same partition."""

    tree: Path
    bare: Path
    gpt: Path
    four: Path
    qcow2: Path
    vmdk: Path


def disks(folder: Path) -> Disks:
    return Disks(*(folder / name for name in ("tree", "bare.img", "gpt.img", "four.img", "gpt.qcow2", "gpt.vmdk")))


def make(folder: Path, tree: Path | None = None) -> Disks:
    """Make what is missing in `folder`; `tree` is used instead of Debian's packages."""
    folder.mkdir(parents=True, exist_ok=True)
    made = disks(folder)
    if tree is not None:
        made = made._replace(tree=tree)
    elif not made.tree.exists():
        _whole(made.tree, lambda draft: _debian(folder, draft))
    if not made.bare.exists():
        _whole(made.bare, lambda draft: _ext4(made.tree, draft))
    if not made.gpt.exists():
        _whole(made.gpt, lambda draft: _partitioned(made.bare, draft, 1))
    if not made.four.exists():
        _whole(made.four, lambda draft: _partitioned(made.bare, draft, COPIES))
    if not made.qcow2.exists():
        _whole(made.qcow2, lambda draft: _run("qemu-img", "convert", "-O", "qcow2", made.gpt, draft))
    if not made.vmdk.exists():
        _whole(made.vmdk, lambda draft: _run("qemu-img", "convert", "-O", "vmdk", "-o", "subformat=monolithicSparse", made.gpt, draft))
    return made


def _whole(target: Path, write: Callable[[Path], None]) -> None:
    """Written under another name first: an interrupted run leaves nothing that looks finished."""
    draft = target.with_name(target.name + ".part")
    if draft.is_dir():
        shutil.rmtree(draft)
    draft.unlink(missing_ok=True)
    print(f"making {target}", file=sys.stderr)
    write(draft)
    draft.replace(target)


def _run(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)


def _debian(folder: Path, tree: Path) -> None:
    """A closure of packages is downloaded by giving apt an empty list of what is installed."""
    archives = folder / "archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    status = folder / "nothing-installed"
    status.touch()
    options = (f"Dir::State::status={status}", f"Dir::Cache::archives={archives}/", "Debug::NoLocking=1")
    words = [word for option in options for word in ("-o", option)]
    _run("apt-get", *words, "--no-install-recommends", "-y", "--download-only", "-qq", "install", *PACKAGES)
    tree.mkdir()
    for package in sorted(archives.glob("*.deb")):
        _run("dpkg-deb", "-x", package, tree)
    _plant(tree)


def _plant(tree: Path) -> None:
    """A few secrets from a fixed seed, plain, compressed and in UTF-16. Made here, so that the repository holds none."""
    source = random.Random(20)
    letters = string.ascii_letters + string.digits
    home = tree / "home"
    for number in range(20):
        folder = home / f"user{number}" / "app"
        folder.mkdir(parents=True)
        token = "".join(source.choices(letters, k=40))
        password = "".join(source.choices(letters, k=16))
        text = f"AWS_SECRET_ACCESS_KEY={token}\nDATABASE_URL=postgres://app:{password}@db{number}.internal:5432/app\n"
        (folder / ".env").write_text(text)
        (folder / "settings.reg").write_text(text, encoding="utf-16-le")
        with tarfile.open(folder / "backup.tar.gz", "w:gz") as archive:
            archive.add(folder / ".env", ".env")


def _ext4(tree: Path, target: Path) -> None:
    """A quarter of the space stays free, as on a disk in use; the file is sparse there."""
    used = sum(entry.stat(follow_symlinks=False).st_blocks * 512 for entry in _entries(tree))
    with target.open("wb") as file:
        file.truncate((used * 4 // 3 // MIB + 64) * MIB)
    _run("mke2fs", "-q", "-t", "ext4", "-N", "400000", "-d", tree, target)


def _entries(tree: Path) -> Iterator[os.DirEntry[str]]:
    stack = [os.fspath(tree)]
    while stack:
        with os.scandir(stack.pop()) as found:
            for entry in found:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)


def files_in(tree: Path) -> list[str]:
    """Paths of the regular files."""
    return [entry.path for entry in _entries(tree) if entry.is_file(follow_symlinks=False)]


def _partitioned(bare: Path, target: Path, copies: int) -> None:
    size = bare.stat().st_size
    with target.open("wb") as file:
        file.truncate(size * copies + 4 * MIB)
    words = []
    for number in range(1, copies + 1):
        words += ["-n", f"{number}:{(MIB + (number - 1) * size) // 512}:+{size // 1024}K"]
    _run("sgdisk", *words, target)
    for number in range(copies):
        _run("dd", f"if={bare}", f"of={target}", "bs=1M", f"seek={1 + number * size // MIB}", "conv=sparse,notrunc", "status=none")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tree", type=Path, help="use this tree instead of Debian's packages")
    arguments = parser.parse_args()
    made = make(arguments.folder, arguments.tree)
    for name, path in made._asdict().items():
        stored = sum(e.stat(follow_symlinks=False).st_blocks for e in _entries(path)) if path.is_dir() else path.stat().st_blocks
        print(f"{name:6} {path}  {stored * 512 / 1e9:.2f} GB stored")
    print(f"{len(files_in(made.tree))} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
