"""Reads on from the first line of an armoured key (`follow: pem`): where it ends, and the one form it has however it was wrapped.

RFC 7468 and RFC 1421 (headers), RFC 4716 (four dashes, continued headers), RFC 9580 (OpenPGP, checksum line).
"""

from __future__ import annotations

import re

import msgspec

LONGEST_BYTES = 64 << 10

_BEGIN = re.compile(rb"(?:-----BEGIN |---- BEGIN )([A-Z0-9 ]{3,40}?)(?:-----| ----)")
_SPACE = re.compile(rb"(?:\s|\\[rnt])+")
_HEADER = re.compile(rb"(?:\s|\\[rnt])*[A-Za-z][A-Za-z-]{1,40}: (?:[^\r\n\\]|\\(?![rn])){0,1024}")
_NOT_BODY = re.compile(rb"[^A-Za-z0-9+/=]")


class Armour(msgspec.Struct, frozen=True):
    """`end` is one past the last byte that belongs to the block. `normal` is label and Base64 body without headers and white space:
    the same key, the same bytes, whether wrapped at 64 or 70, indented, or written in JSON with `\\n`. `whole` says the END line is there."""

    end: int
    normal: bytes
    whole: bool


def follow(data: bytes, start: int) -> Armour | None:
    """The block that begins at `start`; None if none does. At most 64 KiB are looked at; a block cut short is what there is of it."""
    data = data[start : start + LONGEST_BYTES]
    begin = _BEGIN.match(data)
    if begin is None:
        return None
    label = begin[1]
    stop = re.compile(rb"-{4,5} ?END " + re.escape(label) + rb" ?-{4,5}").search(data, begin.end())
    at = begin.end()
    while header := _HEADER.match(data, at):
        at = header.end()
    if stop is not None:
        body, end = data[at : max(at, stop.start())], stop.end()
    else:
        end = _end_of_body(data, at)
        body = data[at:end]
    return Armour(start + end, label + b":" + _NOT_BODY.sub(b"", _SPACE.sub(b"", body)), stop is not None)


def _end_of_body(data: bytes, at: int) -> int:
    """Without an END line: as far as the characters of a body go."""
    match = re.compile(rb"(?:[A-Za-z0-9+/=]|\s|\\[rnt])*").match(data, at)
    return match.end() if match else at
