"""The views there are, in the order in which they are tried, and the bytes by which the sweep finds them inside other data."""

from __future__ import annotations

from snapscan.model.view import View
from snapscan.views.bzip2 import Bzip2
from snapscan.views.gzip import Gzip
from snapscan.views.sqlite import Sqlite, SqliteWal
from snapscan.views.tar import Tar
from snapscan.views.xz import Xz
from snapscan.views.zip import Zip
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
    Tar(),
)
"""Those with a magic at the start first; tar, which only has a checksum there, last."""

MAGICS: tuple[tuple[str, bytes, int], ...] = (
    ("gzip", rb"\x1f\x8b\x08[\x00-\x1f]", 4),
    ("zip", rb"PK\x03\x04", 4),
    ("xz", rb"\xfd7zXZ\x00", 6),
    ("zstd", rb"\x28\xb5\x2f\xfd", 4),
    ("bzip2", rb"BZh[1-9]1AY&SY", 10),
    ("sqlite", rb"SQLite format 3\x00", 16),
    ("sqlite-wal", rb"\x37\x7f\x06[\x82\x83]\x00\x2d\xe2\x18", 8),
    ("tar", rb"ustar[\x00 ]", 263),
)
"""(kind, pattern, bytes from the end of a match back to the view's start). A match is a hint: `recognise` decides on the 512 bytes there."""


def recognise(head: bytes) -> View | None:
    """The view that `head`, the first 512 bytes of some content, begins; None for content that is not encoded."""
    for view in VIEWS:
        if view.recognise(head):
            return view
    return None
