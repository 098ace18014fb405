"""Member names as steps of a locator: bounded, and each used once, so that a locator names one member."""

from __future__ import annotations

from hashlib import blake2b

from snapscan.model.locator import quote

LONGEST_NAME = 4096
"""PATH_MAX of Linux; a longer name is cut and its digest appended."""


def bounded(name: bytes) -> bytes:
    """`name`, cut to LONGEST_NAME bytes."""
    if len(name) <= LONGEST_NAME:
        return name
    return name[: LONGEST_NAME - 17] + b"~" + _digest(name).hex().encode()


def shown(name: bytes) -> str:
    """`name` in the detail of an outcome: printable, short."""
    return quote(name if len(name) <= 100 else name[:97] + b"...")


class Names:
    """The names given out in one view. tar and zip may hold a name twice: the second is called `name#2`, and so on, in stored order."""

    def __init__(self) -> None:
        # Digests: 200,000 members with names of 4 KiB would be 800 MB.
        self._next: dict[bytes, int] = {}

    def unique(self, name: bytes) -> bytes:
        """`name`, or the first of `name#2`, `name#3`, ... that was not given out before."""
        name = bounded(name)
        key = _digest(name)
        if key not in self._next:
            self._next[key] = 2
            return name
        while True:
            number = self._next[key]
            self._next[key] = number + 1
            candidate = name + b"#%d" % number
            candidate_key = _digest(candidate)
            if candidate_key not in self._next:
                self._next[candidate_key] = 2
                return candidate


def _digest(name: bytes) -> bytes:
    return blake2b(name, digest_size=8).digest()
