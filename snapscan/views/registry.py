"""The views there are, in the order in which they are tried, and the bytes by which the sweep finds them inside other data."""

from __future__ import annotations

from snapscan.model.view import View
from snapscan.views.ar import Ar
from snapscan.views.bzip2 import Bzip2
from snapscan.views.cpio import Cpio
from snapscan.views.git import GitBundle, GitPack
from snapscan.views.gzip import Gzip
from snapscan.views.journal import Journal
from snapscan.views.mail import Mail
from snapscan.views.pdf import Pdf
from snapscan.views.regf import Regf
from snapscan.views.rpm import Rpm
from snapscan.views.sqlite import Sqlite, SqliteWal
from snapscan.views.tar import Tar
from snapscan.views.xz import Xz
from snapscan.views.zip import Zip
from snapscan.views.zlib_stream import Zlib
from snapscan.views.zstd import Zstd

HEAD_BYTES = 512
"""What `recognise` wants to see: tar's magic and checksum are within the first 512 bytes."""


def _begins_a_view(head: bytes) -> bool:
    return recognise(head) is not None


VIEWS: tuple[View, ...] = (
    Gzip(),
    Zip(),
    Xz(),
    Zstd(),
    Bzip2(),
    Sqlite(_begins_a_view),
    SqliteWal(_begins_a_view),
    GitPack(),
    GitBundle(),
    Zlib(),
    Ar(),
    Cpio(),
    Rpm(),
    Journal(),
    Regf(),
    Mail(),
    Pdf(),
    Tar(),
)
"""Those with a magic at the start first; tar, which only has a checksum there, last."""

_DYNAMIC = b"[" + b"".join(rb"\x%02x" % (lengths << 3 | 4 | last) for lengths in range(30) for last in (0, 1)) + b"]"
"""First byte of a dynamic deflate block (RFC 1951, 3.2.7): at most 29 further length codes."""

MAGICS: tuple[tuple[str, bytes, int], ...] = (
    ("gzip", rb"\x1f\x8b\x08[\x00-\x1f]", 4),
    ("zip", rb"PK\x03\x04", 4),
    ("xz", rb"\xfd7zXZ\x00", 6),
    ("zstd", rb"\x28\xb5\x2f\xfd", 4),
    ("bzip2", rb"BZh[1-9]1AY&SY", 10),
    ("sqlite", rb"SQLite format 3\x00", 16),
    ("sqlite-wal", rb"\x37\x7f\x06[\x82\x83]\x00\x2d\xe2\x18", 8),
    ("git-pack", rb"PACK\x00\x00\x00[\x02\x03]", 8),
    ("git-bundle", rb"# v[23] git bundle\n", 16),
    # What git writes loose: fastest compression, and a fixed block that begins with the object's type, or a dynamic block.
    ("zlib", rb"\x78\x01(?:[\x4a\x4b]\xca\xc9|[\x2a\x2b]\x29\x4a|[\x4a\x4b]\xce\xcf|[\x2a\x2b]\x49\x4c|" + _DYNAMIC + rb"..)", 5),
    ("ar", rb"!<arch>\n", 8),
    ("cpio", rb"07070[12][0-9A-Fa-f]{104}|070707[0-7]{70}", 110),
    ("rpm", rb"\xed\xab\xee\xdb[\x03\x04]", 5),
    ("journal", rb"LPKSHHRH", 8),
    ("regf", rb"regf[\x00-\xff]{16}\x01\x00\x00\x00[\x00-\xff]{4}\x00\x00\x00\x00\x01\x00\x00\x00", 36),
    # Only headers that come once in a message, so that a deleted one is carved once; each alternative is 14 bytes long.
    ("mail", rb"Return-Path: <|Delivered-To: |From MAILER-DA|From - [A-Z][a-z]{2} [A-Z][a-z]{2}", 14),
    ("pdf", rb"%PDF-[0-9]\.[0-9]", 8),
    ("tar", rb"ustar[\x00 ]", 263),
)
"""(kind, pattern, bytes from the end of a match back to the view's start). A match is a hint: `recognise` decides on the 512 bytes there."""


def recognise(head: bytes) -> View | None:
    """The view that `head`, the first 512 bytes of some content, begins; None for content that is not encoded."""
    for view in VIEWS:
        if view.recognise(head):
            return view
    return None
