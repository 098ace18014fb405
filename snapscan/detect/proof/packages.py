"""What package databases say of files: dpkg, apk and Python's RECORD. Pure: reads through two callables, believes nothing.

The databases lie in the image itself, so they prove that a file is unchanged since its package was installed, not that the package was
honest. A hit that is proved so stays in the case and can be listed; it only counts for less.

Sources: dpkg-query(1) and dpkg's info directory (`PACKAGE.md5sums`: MD5, two blanks, path without leading slash), deb-conffiles in
`status`; apk's installed database (`F:` folder, `R:` file, `Z:` Q1 and Base64 of SHA-1); PEP 376 and 627 (RECORD: path, algorithm=urlsafe
Base64 without padding, size).
"""

from __future__ import annotations

import base64
import binascii
import csv
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

ReadFile = Callable[[str], bytes | None]
ListDir = Callable[[str], list[str]]

LISTS_MOST = 20_000
"""Package lists that are read; a root file system has a few thousand."""
_DPKG = "/var/lib/dpkg"
_MERGED = re.compile(r"/usr(/(?:lib|lib32|lib64|libx32|bin|sbin)/)")
_MD5_LINE = re.compile(rb"^([0-9a-f]{32})  (.+)$", re.MULTILINE)
_CONFFILE = re.compile(rb"^ (/\S+) ([0-9a-f]{32})\s*$")


class Shipped(NamedTuple):
    """What a package says of one file: `algorithm` as hashlib names it, the digest in hexadecimal, and who says so."""

    algorithm: str
    digest: str
    package: str


def shipped(paths: Iterable[str], read_file: ReadFile, list_dir: ListDir) -> dict[str, Shipped]:
    """For each of `paths` (absolute, as the guest writes them) that a package database knows: what it says."""
    wanted = dict.fromkeys(paths)
    found: dict[str, Shipped] = {}
    for source in (_dpkg, _apk, _python):
        for path, item in source(wanted, read_file, list_dir):
            found.setdefault(path, item)
    return found


def _aliases(paths: Iterable[str]) -> dict[str, str]:
    """Each path under the names that a package may use for it: /usr/lib/x is /lib/x to packages older than the merged /usr."""
    names = {}
    for path in paths:
        names[path] = path
        if _MERGED.match(path):
            names.setdefault(path.removeprefix("/usr"), path)
    return names


def _dpkg(paths: Iterable[str], read_file: ReadFile, list_dir: ListDir) -> Iterator[tuple[str, Shipped]]:
    names = {alias.lstrip("/").encode("utf-8", "surrogateescape"): path for alias, path in _aliases(paths).items()}
    lists = [name for name in list_dir(f"{_DPKG}/info") if name.endswith(".md5sums")]
    for name in lists[:LISTS_MOST]:
        data = read_file(f"{_DPKG}/info/{name}")
        for digest, path in _MD5_LINE.findall(data) if data else ():
            if path in names:
                yield names[path], Shipped("md5", digest.decode(), f"dpkg {name.removesuffix('.md5sums').partition(':')[0]}")
    status = read_file(f"{_DPKG}/status") if lists else None
    package = ""
    for line in status.splitlines() if status else ():
        if line.startswith(b"Package: "):
            package = line[9:].decode("utf-8", "replace")
        elif match := _CONFFILE.match(line):
            path = match[1].lstrip(b"/")
            if path in names:
                yield names[path], Shipped("md5", match[2].decode(), f"dpkg {package}")


def _apk(paths: Iterable[str], read_file: ReadFile, _list_dir: ListDir) -> Iterator[tuple[str, Shipped]]:
    names = _aliases(paths)
    for place in ("/lib/apk/db/installed", "/usr/lib/apk/db/installed"):
        data = read_file(place)
        package = folder = name = ""
        for line in data.decode("utf-8", "surrogateescape").splitlines() if data else ():
            if line.startswith("P:"):
                package = line[2:]
            elif line.startswith("F:"):
                folder = line[2:]
            elif line.startswith("R:"):
                name = line[2:]
            elif line.startswith("Z:Q1"):
                path = names.get(f"/{folder}/{name}" if folder else f"/{name}")
                digest = _hex(line[4:]) if path else ""
                if path and digest:
                    yield path, Shipped("sha1", digest, f"apk {package}")


def _python(paths: Iterable[str], read_file: ReadFile, list_dir: ListDir) -> Iterator[tuple[str, Shipped]]:
    homes: dict[str, list[str]] = {}
    for path in paths:
        match = re.match(r"(.*/(?:site|dist)-packages)/", path)
        if match:
            homes.setdefault(match[1], []).append(path)
    for home, inside in homes.items():
        wanted = {path.removeprefix(f"{home}/"): path for path in inside}
        for name in list_dir(home)[:LISTS_MOST]:
            data = read_file(f"{home}/{name}/RECORD") if name.endswith(".dist-info") else None
            for row in _rows(data) if data else ():
                if len(row) >= 2 and row[0] in wanted and row[1].startswith("sha256="):
                    digest = _hex(row[1].removeprefix("sha256="))
                    if digest:
                        yield wanted[row[0]], Shipped("sha256", digest, f"pip {name.removesuffix('.dist-info')}")


def _rows(data: bytes) -> Iterator[list[str]]:
    try:
        yield from csv.reader(data.decode("utf-8", "surrogateescape").splitlines())
    except csv.Error:
        return


def _hex(text: str) -> str:
    """Base64, plain or urlsafe, with or without padding, as hexadecimal; empty when it is none."""
    plain = text.strip().rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).hex()
    except (binascii.Error, ValueError):
        return ""
