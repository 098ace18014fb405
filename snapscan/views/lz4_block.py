"""LZ4 blocks (lz4_Block_format.md), without a frame around them, as the systemd journal stores them."""

from __future__ import annotations

from snapscan.views.verdict import Ended

_LEAST_MATCH = 4
_LONG = 15


def decode_block(data: bytes, decoded_bytes: int) -> bytes:
    """The content of one block, which is `decoded_bytes` long. Raises Ended when it is longer, shorter, or points before its start."""
    out = bytearray()
    at = 0
    try:
        while at < len(data):
            token = data[at]
            length, at = _length(data, at + 1, token >> 4)
            if at + length > len(data):
                raise Ended("damaged", "lz4: literals go on past the end")
            out += data[at : at + length]
            at += length
            if at == len(data):
                break
            distance = data[at] | data[at + 1] << 8
            length, at = _length(data, at + 2, token & 15)
            length += _LEAST_MATCH
            if not 0 < distance <= len(out) or len(out) + length > decoded_bytes:
                raise Ended("damaged", "lz4: a copy from before the start, or past the end")
            piece = out[-distance:][:length]
            out += (piece * (length // len(piece) + 1))[:length]
    except IndexError:
        raise Ended("damaged", "lz4: ends inside a sequence") from None
    if len(out) != decoded_bytes:
        raise Ended("damaged", f"lz4: {len(out)} bytes instead of {decoded_bytes}")
    return bytes(out)


def _length(data: bytes, at: int, length: int) -> tuple[int, int]:
    if length == _LONG:
        while True:
            byte = data[at]
            at += 1
            length += byte
            if byte != 255:
                break
    return length, at
