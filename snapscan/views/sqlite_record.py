"""Records of SQLite (file format, section 2.1) and their text form: `column=value` pairs, a tab between, one row a line."""

from __future__ import annotations

import struct
from typing import NamedTuple

Value = int | float | bytes | str | None
"""`str` is a text of the database, its bytes as latin-1; `bytes` is a BLOB."""

_INTEGER_BYTES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)
"""Lengths of serial types 0 to 9; 7 is a float, 8 and 9 are the numbers 0 and 1."""

_MOST_COLUMNS = 32_767
_TEXT_CODECS = {2: "utf-16-le", 3: "utf-16-be"}

_KEY_COLUMNS = frozenset((b"key", b"name", b"option_name", b"setting", b"variable", b"parameter", b"property", b"option", b"config_key", b"k"))
_VALUE_COLUMNS = frozenset((b"value", b"option_value", b"val", b"data", b"content", b"setting_value", b"config_value", b"v"))


class Damaged(Exception):
    """Inside the SQLite modules only: a structure that points outside of what holds it."""


def varint(data: bytes, position: int) -> tuple[int, int]:
    """The number at `position`, big-endian base 128, at most nine bytes, and the position behind it. Raises Damaged at the end."""
    value = 0
    for index in range(8):
        if position >= len(data):
            raise Damaged("a number goes on past the end")
        byte = data[position]
        position += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, position
        if index == 7:
            break
    if position >= len(data):
        raise Damaged("a number goes on past the end")
    return value << 8 | data[position], position + 1


def decode(payload: bytes) -> list[Value]:
    """The values of one record. What a cut payload lacks is cut off, or left out. Raises Damaged."""
    header_bytes, position = varint(payload, 0)
    if header_bytes > len(payload) or header_bytes < position:
        raise Damaged("a record's header is longer than the record")
    at = header_bytes
    values: list[Value] = []
    while position < header_bytes:
        kind = payload[position]
        if kind < 0x80:
            position += 1
        else:
            kind, position = varint(payload, position)
        if kind >= 12:
            size = (kind - 12) >> 1
            content = payload[at : at + size]
            values.append(content.decode("latin-1") if kind & 1 else content)
        elif kind < 10:
            size = _INTEGER_BYTES[kind]
            values.append(_number(kind, payload[at : at + size]) if at + size <= len(payload) else None)
        else:
            raise Damaged(f"serial type {kind}")
        at += size
        if len(values) > _MOST_COLUMNS:
            raise Damaged("more columns than there can be")
    return values


def _number(kind: int, content: bytes) -> int | float | None:
    if kind == 0:
        return None
    if kind >= 8:
        return kind - 8
    if kind == 7:
        (number,) = struct.unpack(">d", content)
        return float(number)
    return int.from_bytes(content, "big", signed=True)


class Columns(NamedTuple):
    """What is known of a table's columns, in the order of the record."""

    names: tuple[bytes, ...] = ()
    rowid_alias: int = -1
    """The `INTEGER PRIMARY KEY`, stored as NULL: its value is the row's id. -1 where there is none."""

    def pair(self) -> tuple[int, int]:
        """(key column, value column) of a table of settings, (-1, -1) of any other."""
        key = next((number for number, name in enumerate(self.names) if name.lower() in _KEY_COLUMNS), -1)
        value = next((number for number, name in enumerate(self.names) if name.lower() in _VALUE_COLUMNS), -1)
        return (key, value) if key >= 0 and value >= 0 else (-1, -1)


def line(values: list[Value], rowid: int | None, columns: Columns, encoding: int, pair: tuple[int, int]) -> bytes:
    """One row as text. NULLs are left out. In a table of settings the value stands behind its key, `timeout=30`, where rules look for it."""
    names = columns.names
    key_column, value_column = pair
    if not (0 <= key_column < len(values) and 0 <= value_column < len(values) and type(values[key_column]) is str):
        key_column = value_column = -1
    cells = []
    for number, value in enumerate(values):
        if value is None:
            if number != columns.rowid_alias or rowid is None:
                continue
            value = rowid
        if number == key_column:
            continue
        text = as_text(value, encoding)
        if number == value_column:
            cells.append(as_text(values[key_column], encoding) + b"=" + text)
        elif number < len(names):
            cells.append(names[number] + b"=" + text)
        else:
            cells.append(text)
    if value_column >= 0 and values[value_column] is None:
        cells.append(as_text(values[key_column], encoding) + b"=")
    return b"\t".join(cells) + b"\n"


def as_text(value: Value, encoding: int) -> bytes:
    """A value as bytes: UTF-16 text as UTF-8, other text and BLOBs as they are stored. `encoding` as in the file header, 0 is unknown."""
    if type(value) is str:
        raw = value.encode("latin-1")
        codec = _TEXT_CODECS.get(encoding) or (_guess(raw) if encoding == 0 else None)
        return raw.decode(codec, "replace").encode() if codec else raw
    if type(value) is bytes:
        return value
    return b"" if value is None else repr(value).encode()


def _guess(raw: bytes) -> str | None:
    """UTF-16 by its NULs: every second byte of the first few characters."""
    head = raw[:16]
    if len(head) < 4 or len(head) % 2:
        return None
    if not any(head[1::2]) and all(head[0::2]):
        return "utf-16-le"
    return "utf-16-be" if not any(head[0::2]) and all(head[1::2]) else None
