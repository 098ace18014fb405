"""Column names out of a CREATE TABLE statement as SQLite stores it: enough grammar to split it, none of the rest."""

from __future__ import annotations

import re
from itertools import pairwise

from snapscan.views.sqlite_record import Columns

_LONGEST_STATEMENT = 64 * 1024
_TOKEN = re.compile(rb"""\s+|--[^\n]*|/\*.*?\*/|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|'(?:[^']|'')*'|[\w$\x80-\xff]+|.""", re.DOTALL)
_CONSTRAINTS = frozenset((b"CONSTRAINT", b"PRIMARY", b"UNIQUE", b"CHECK", b"FOREIGN"))


def columns_of(statement: bytes) -> Columns:
    """The columns in the order in which records hold them; empty for what is no table, or is too odd to read."""
    definitions, tail = _definitions(_tokens(statement[:_LONGEST_STATEMENT]))
    names: list[bytes] = []
    keys: list[bytes] = []
    alias = -1
    for definition in definitions:
        words = [token.upper() for token in definition]
        if not words:
            continue
        if words[0] in _CONSTRAINTS:
            if b"PRIMARY" in words and b"(" in words:
                keys = [_plain(token) for token in definition[words.index(b"(") + 1 :] if re.match(rb'[\w"`\[$\x80-\xff]', token)]
            continue
        if _is_key(words):
            keys = [_plain(definition[0])]
            if words[1:2] == [b"INTEGER"]:
                alias = len(names)
        names.append(_plain(definition[0]))
    if [token.upper() for token in tail[:2]] == [b"WITHOUT", b"ROWID"]:
        first = [name for name in names if name.lower() in {key.lower() for key in keys}]
        return Columns(tuple(first + [name for name in names if name not in first]))
    if alias < 0 and len(keys) == 1:
        alias = _alias_of_constraint(definitions, keys[0], names)
    return Columns(tuple(names), alias)


def _is_key(words: list[bytes]) -> bool:
    return any(first == b"PRIMARY" and second == b"KEY" for first, second in pairwise(words))


def _alias_of_constraint(definitions: list[list[bytes]], key: bytes, names: list[bytes]) -> int:
    for definition in definitions:
        if _plain(definition[0]) == key and [token.upper() for token in definition[1:2]] == [b"INTEGER"] and key in names:
            return names.index(key)
    return -1


def _tokens(statement: bytes) -> list[bytes]:
    return [token for token in _TOKEN.findall(statement) if not token.isspace() and not token.startswith((b"--", b"/*"))]


def _definitions(tokens: list[bytes]) -> tuple[list[list[bytes]], list[bytes]]:
    """What stands between the commas of the outermost parentheses, and what follows them."""
    if [token.upper() for token in tokens[:1]] != [b"CREATE"] or b"(" not in tokens:
        return [], []
    definitions: list[list[bytes]] = [[]]
    depth = 0
    for number in range(tokens.index(b"("), len(tokens)):
        token = tokens[number]
        if token == b"(":
            depth += 1
            if depth == 1:
                continue
        elif token == b")":
            depth -= 1
            if depth == 0:
                return [definition for definition in definitions if definition], tokens[number + 1 :]
        if token == b"," and depth == 1:
            definitions.append([])
        else:
            definitions[-1].append(token)
    return [], []


def _plain(token: bytes) -> bytes:
    """A name without its quotes."""
    if token[:1] == b"[":
        return token[1:-1]
    quote = token[:1]
    return token[1:-1].replace(quote * 2, quote) if quote in (b'"', b"`", b"'") else token
