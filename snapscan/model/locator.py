"""A locator names bytes: one printable line, parsed back by `snapscan show`.

    qcow2:disk.qcow2/part:1/ext4/srv/app/.env@118+40              bytes of an owner, by its path
    qcow2:disk.qcow2%state:one/part:1/ext4/a.zip!zip:db.sql@9+4   bytes of a member of a view of it
    qcow2:disk.qcow2/part:1/ext4/free@0x4412000+40                a place in the space, and what kind of place it is

An offset in hexadecimal is an offset in the space; a decimal one counts in the owner or in the decoded member.
The characters `/ ! @ % +`, those below 0x21, 0x7f and every byte that is not UTF-8 are percent-encoded inside names, so the line can be
split at its separators without a look at what lies between them; bytes come back exactly.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from snapscan.model.errors import LocatorError

_UNSAFE = re.compile(rb"[\x00-\x20/!@%+\x7f]")
_UNSAFE_IN_PATH = re.compile(rb"[\x00-\x20!@%+\x7f]")
_STEPS = re.compile(r"^(part|lvm|disk|raid):")


@lru_cache(maxsize=4096)
def quote(name: bytes) -> str:
    """A name of any bytes as locator text. UTF-8 stays readable; control characters and separators are percent-encoded."""
    return _quoted(name, _UNSAFE)


def _quoted(name: bytes, unsafe: re.Pattern[bytes]) -> str:
    text = unsafe.sub(lambda m: b"%%%02X" % m[0][0], name).decode("utf-8", "surrogateescape")
    return text if text.isprintable() else "".join(_quote_character(c) for c in text)


def _quote_character(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"%{ord(character) - 0xDC00:02X}"
    if character.isprintable():
        return character
    return "".join(f"%{byte:02X}" for byte in character.encode())


def unquote(text: str) -> bytes:
    """The bytes behind `quote`d text. Raises LocatorError for a broken escape."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise LocatorError("locator-syntax", f"a % that is not followed by two hexadecimal digits in {text!r}")
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda m: bytes([int(m[1], 16)]), text.encode("utf-8", "surrogateescape"))


class ViewStep(msgspec.Struct, frozen=True):
    """One decoding: `kind` (`gzip`, `zip`, `tar`, ...) and the member's name inside it, empty where there is only one."""

    kind: str
    member: bytes = b""


class Locator(msgspec.Struct, frozen=True):
    """See the module's head. `path` is the owner's path without its leading slash, or the word for a place when `in_space` is set."""

    kind: str
    label: bytes
    state: bytes = b""
    volume: str = ""
    filesystem: str = ""
    path: bytes = b""
    views: tuple[ViewStep, ...] = ()
    offset: int = 0
    length: int = 0
    in_space: bool = False

    def __str__(self) -> str:
        text = f"{self.kind}:{quote(self.label)}"
        if self.state:
            text += f"%state:{quote(self.state)}"
        for step in filter(None, self.volume.split("/")):
            word, _, name = step.partition(":")
            text += f"/{word}:{quote(name.encode('utf-8', 'surrogateescape'))}"
        if self.filesystem:
            text += f"/{self.filesystem}"
        if self.path:
            text += "/" + _quoted(self.path, _UNSAFE_IN_PATH)
        for view in self.views:
            text += f"!{view.kind}:{quote(view.member)}"
        return f"{text}@{hex(self.offset) if self.in_space else self.offset}+{self.length}"


FILESYSTEMS = frozenset(
    [
        "ext2",
        "ext3",
        "ext4",
        "xfs",
        "btrfs",
        "ntfs",
        "fat",
        "exfat",
        "apfs",
        "ufs",
        "vmfs",
        "squashfs",
        "cramfs",
        "jffs2",
        "swap",
        "iso9660",
        "hfs+",
        "f2fs",
        "refs",
        "zfs",
        "luks",
        "bitlocker",
        "md",
    ]
)
"""The words that may stand for a filesystem in a locator. A folder has none: its files follow the label."""


def parse(text: str) -> Locator:
    """The locator behind a line. `str(parse(line)) == line` for every line we print. Raises LocatorError."""
    match = re.fullmatch(r"([a-z0-9-]+):([^/!@%]*(?:%(?!state:)[^/!@%]*)*)(?:%state:([^/!@]+))?([^@]*)@(0x[0-9a-f]+|[0-9]+)\+([0-9]+)", text)
    if match is None:
        raise LocatorError("locator-syntax", f"not a locator: {text!r}", hint="for example qcow2:disk.qcow2/part:1/ext4/srv/app/.env@118+40")
    body, *view_texts = match[4].split("!")
    parts = body.split("/")[1:] if body else []
    volume: list[str] = []
    while match[1] != "folder" and parts and _STEPS.match(parts[0]):
        word, _, name = parts.pop(0).partition(":")
        volume.append(f"{word}:{unquote(name).decode('utf-8', 'surrogateescape')}")
    filesystem = parts.pop(0) if match[1] != "folder" and parts and parts[0] in FILESYSTEMS else ""
    views = []
    for item in view_texts:
        kind, colon, member = item.partition(":")
        if not colon:
            raise LocatorError("locator-syntax", f"a view without a kind in {text!r}")
        views.append(ViewStep(kind, unquote(member)))
    return Locator(
        kind=match[1],
        label=unquote(match[2]),
        state=unquote(match[3]) if match[3] else b"",
        volume="/".join(volume),
        filesystem=filesystem,
        path=b"/".join(unquote(part) for part in parts),
        views=tuple(views),
        offset=int(match[5], 0) if match[5].startswith("0x") else int(match[5]),
        length=int(match[6]),
        in_space=match[5].startswith("0x"),
    )
