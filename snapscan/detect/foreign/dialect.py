"""From the pattern syntax of Go (RE2), Rust and PCRE to that of Python's `re` over bytes.

One pass over the text, atom by atom. Sources: github.com/google/re2/wiki/Syntax; docs.rs/regex, "Syntax"; pcre2pattern(3). What the three
read differently is refused, except: in verbose mode blanks inside a class do not count (Rust; the rules that use verbose mode are Rust's).

Two uses. For a *scan*, open repeats get a bound, and anchors become borders of a line: a sweep meets files in the middle of a disk, where
their beginnings have no mark. That finds more than the original, never less, but for what is longer than the bound. For a *value*
(`scan=False`) repeats stay open and anchors mean the ends of the value.
"""

from __future__ import annotations

import re

from snapscan.detect.foreign.refusal import Refused

LINE_START = r"(?<![^\r\n\x00])"
LINE_END = r"(?![^\r\n\x00])"
"""Also a NUL, which is what follows a file on most disks, and the end of what is read."""

_POSIX = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "digit": "0-9", "lower": "a-z", "upper": "A-Z", "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f",
    "space": r"\x09-\x0d\x20", "blank": r"\x09\x20", "punct": r"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e", "ascii": r"\x00-\x7f",
    "print": r"\x20-\x7e", "graph": r"\x21-\x7e", "cntrl": r"\x00-\x1f\x7f",
}  # fmt: skip
_CONTROL = {"a": r"\x07", "e": r"\x1b", "f": r"\x0c", "n": r"\n", "r": r"\r", "t": r"\t", "v": r"\x0b"}
_FLAGS = re.compile(r"\(\?([a-zA-Z]*)(?:-([a-zA-Z]+))?([:)])")
_NAMED = re.compile(r"\(\?P?<([A-Za-z_]\w*)>")
_REPEAT = re.compile(r"\{(\d+)(?:(,)(\d*))?\}")
_HEX = re.compile(r"\\x(?:\{([0-9A-Fa-f]{1,6})\}|([0-9A-Fa-f]{2}))")
_BLANKS = re.compile(r"(?:\\s|\\t|\\x20)|\[(?:\\[strn]|\\x20|\\x09)+\]")
BLANKS_MOST = 50
"""An open repeat of blanks gets no more than that, so that what stands between them may be longer."""
NESTED_MOST = 8
"""An open repeat of something with an open repeat inside gets no more than that: both together multiply."""
_CLASS_NAME = re.compile(r"\[:(\^?)([a-z]+):\]")


def translated(pattern: str, field: str, *, scan: bool, bound: int = 0) -> str:
    """`pattern` for `re`; `{n,}` may repeat `bound` times more than n. Raises Refused(field) for what cannot be said there."""
    return _Translator(pattern, field, scan, bound).all()


class _Translator:
    def __init__(self, text: str, field: str, scan: bool, bound: int) -> None:
        self.text = text
        self.field = field
        self.scan = scan
        self.bound = bound
        self.at = 0
        self.out: list[str] = []
        self.verbose = self.lines = False
        self.opened: list[str] = []
        """Flag groups that we opened at this level for a `(?i)` in the middle; they are closed, and opened again, at each `|`."""
        self.outer: list[tuple[bool, bool, list[str], bool]] = []
        self.repeatable = False
        self.last = ""
        """The atom that a repeat would be of, where its text matters; empty for a group."""
        self.open_inside = self.open_group = False
        """An open repeat stands at this level; in the group just closed."""
        self.leading: set[str] = set()
        """Flags in front of a whole pattern: `re` and our first pass know them there, and see the sequence behind them."""

    def all(self) -> str:
        while self.at < len(self.text):
            self.step(self.text[self.at])
        if self.outer:
            raise self.refused("a bracket is not closed")
        self.out.append(")" * len(self.opened))
        flags = f"(?{''.join(sorted(self.leading))})" if self.leading else ""
        return flags + "".join(self.out)

    def refused(self, reason: str) -> Refused:
        return Refused(self.field, reason)

    def step(self, char: str) -> None:
        if self.verbose and char.isspace():
            self.at += 1
        elif self.verbose and char == "#":
            end = self.text.find("\n", self.at)
            self.at = len(self.text) if end < 0 else end + 1
        elif char == "\\":
            self.escape()
        elif char == "[":
            self.atom(self.character_class(), 0)
        elif char == "(":
            self.open()
        elif char == ")":
            self.close()
        elif char == "|":
            self.out.append(")" * len(self.opened) + "|" + "".join(self.opened))
            self.at += 1
            self.repeatable = False
        elif char in "*+?" or (char == "{" and _REPEAT.match(self.text, self.at)):
            self.repeat(char)
        elif char in "^$":
            self.anchor(char == "^", whole=not self.lines)
            self.at += 1
        else:
            self.atom("." if char == "." else _literal(char), 1)

    def atom(self, text: str, length: int) -> None:
        self.out.append(text)
        self.at += length
        self.repeatable = True
        self.last = text
        self.open_group = False

    def anchor(self, start: bool, *, whole: bool) -> None:
        if self.scan:
            self.out.append(LINE_START if start else LINE_END)
        elif whole:
            self.out.append(r"\A" if start else r"\Z")
        else:
            self.out.append("(?m:^)" if start else "(?m:$)")
        self.repeatable = False

    def repeat(self, char: str) -> None:
        if not self.repeatable:
            raise self.refused(f"nothing that {char!r} could repeat stands before it")
        least, most = {"*": (0, -1), "+": (1, -1), "?": (0, 1)}.get(char, (0, 0))
        self.at += 1
        if char == "{":
            match = _REPEAT.match(self.text, self.at - 1)
            assert match
            least = int(match[1])
            most = least if not match[2] else int(match[3]) if match[3] else -1
            self.at = match.end()
        if most < 0 and self.scan:
            most = least + min(self.bound, BLANKS_MOST if _BLANKS.fullmatch(self.last) else NESTED_MOST if self.open_group else self.bound)
            self.open_inside = True
        self.out.append("?" if (least, most) == (0, 1) else f"{{{least}}}" if least == most else f"{{{least},{most if most >= 0 else ''}}}")
        if self.text.startswith("?", self.at):
            self.out.append("?")
            self.at += 1
        elif self.text.startswith("+", self.at):
            raise self.refused("holds a possessive repeat")
        self.repeatable = False

    def open(self) -> None:
        if self.text.startswith("(?#", self.at):
            end = self.text.find(")", self.at)
            self.at = len(self.text) if end < 0 else end + 1
            return
        name = _NAMED.match(self.text, self.at)
        flags = _FLAGS.match(self.text, self.at)
        if name:
            self.enter(f"(?P<{name[1]}>", name.end())
        elif flags:
            self.flags(flags)
        elif look := next((item for item in ("(?=", "(?!", "(?<=", "(?<!") if self.text.startswith(item, self.at)), ""):
            self.enter(look, self.at + len(look))
        elif self.text.startswith("(?", self.at) or self.text.startswith("(*", self.at):
            raise self.refused(f"holds {self.text[self.at : self.at + 4]!r}")
        else:
            self.enter("(", self.at + 1)

    def enter(self, text: str, at: int) -> None:
        self.outer.append((self.verbose, self.lines, self.opened, self.open_inside))
        self.opened = []
        self.open_inside = False
        self.out.append(text)
        self.at = at
        self.repeatable = False

    def flags(self, match: re.Match[str]) -> None:
        on, off = match[1], match[2] or ""
        if strange := set(on + off) - set("ismxu"):
            raise self.refused(f"holds the flag {sorted(strange)[0]!r}")
        if match[3] == ":":
            self.enter("", match.end())
        self.verbose = (self.verbose or "x" in on) and "x" not in off
        self.lines = (self.lines or "m" in on) and "m" not in off
        ours = "".join(flag for flag in "is" if flag in on)
        without = "".join(flag for flag in "is" if flag in off)
        group = f"(?{ours}{'-' if without else ''}{without}:"
        if match[3] == ":":
            self.out.append(group)
        elif self.scan and not self.out and not self.outer and not without:
            self.leading |= set(ours)
        elif ours or without:
            self.opened.append(group)
            self.out.append(group)
        self.at = match.end()
        self.repeatable = False

    def close(self) -> None:
        if not self.outer:
            raise self.refused("a bracket is closed that was not opened")
        self.out.append(")" * len(self.opened) + ")")
        self.open_group = self.open_inside
        self.verbose, self.lines, self.opened, outside = self.outer.pop()
        self.open_inside = outside or self.open_group
        self.at += 1
        self.repeatable = True
        self.last = ""

    def escape(self) -> None:
        char = self.text[self.at + 1 : self.at + 2]
        if char in ("A", "z", "Z"):
            self.anchor(char == "A", whole=True)
            self.at += 2
        elif char in ("b", "B"):
            if self.text.startswith("{", self.at + 2):
                raise self.refused("holds a word border of one side only")
            self.out.append(f"\\{char}")
            self.at += 2
            self.repeatable = False
        elif char == "Q":
            end = self.text.find(r"\E", self.at)
            end = len(self.text) if end < 0 else end
            self.atom("".join(map(_literal, self.text[self.at + 2 : end])), end + 2 - self.at)
        else:
            self.atom(*self.escaped())

    def escaped(self) -> tuple[str, int]:
        """The character or class that the escape here stands for, and its length in the source; the same inside and outside of `[]`."""
        char = self.text[self.at + 1 : self.at + 2]
        if match := _HEX.match(self.text, self.at):
            code = int(match[1] or match[2], 16)
            if code > 0x7F:
                raise self.refused(f"holds {match[0]}: a byte to some tools, a letter of several bytes to others")
            return f"\\x{code:02x}", len(match[0])
        if char and char in "dDwWsS":
            return f"\\{char}", 2
        if char in _CONTROL:
            return _CONTROL[char], 2
        if char and char.isascii() and not char.isalnum():
            return _literal(char), 2
        raise self.refused(f"holds the escape \\{char}")

    def character_class(self) -> str:
        """The class that begins here; `at` is set behind it. Written anew, so that `re` reads no `[`, `-` or `&&` of it otherwise."""
        self.at += 1
        parts = ["[", ""]
        if self.text.startswith("^", self.at):
            parts[1] = "^"
            self.at += 1
        first = True
        while first or not self.text.startswith("]", self.at):
            if self.at >= len(self.text):
                raise self.refused("a class is not closed")
            if self.verbose and self.text[self.at].isspace():
                self.at += 1
                continue
            low = self.member()
            first = False
            shorthand = len(low) == 2 and low[1] in "dDwWsS"
            if not shorthand and self.text.startswith("-", self.at) and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                low += f"-{self.member()}"
            parts.append(low)
        self.at += 1
        return "".join(parts) + "]"

    def member(self) -> str:
        char = self.text[self.at]
        if char == "[" and (name := _CLASS_NAME.match(self.text, self.at)):
            if name[1] or name[2] not in _POSIX:
                raise self.refused(f"holds the class {name[0]}")
            self.at = name.end()
            return _POSIX[name[2]]
        if char == "[" and self.verbose:
            raise self.refused("holds a class within a class")
        if self.text.startswith(("&&", "--", "~~"), self.at) and self.verbose:
            raise self.refused("holds an operation on classes")
        if char == "\\":
            if self.text.startswith(r"\b", self.at):
                self.at += 2
                return r"\x08"
            text, length = self.escaped()
            self.at += length
            return text
        if not char.isascii():
            raise self.refused(f"holds {char!r} in a class, which is several bytes")
        self.at += 1
        return _literal(char)


def _literal(char: str) -> str:
    """One character as `re` reads it anywhere, in verbose mode and inside a class too; several bytes become a group."""
    if char.isascii():
        return char if char.isalnum() or char == "_" else f"\\x{ord(char):02x}"
    return "(?:" + "".join(f"\\x{byte:02x}" for byte in char.encode()) + ")"
