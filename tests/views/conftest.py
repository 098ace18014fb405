"""Readers, a sink that remembers, and one call that opens a view and everything inside it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from snapscan.model.errors import MediaFault
from snapscan.model.locator import ViewStep
from snapscan.model.view import Budget, ViewLimits
from snapscan.views.walk import Fate, walk

Names = tuple[tuple[str, bytes], ...]


class BytesReader:
    """A Reader over bytes; those from `bad_from` up to `bad_to` cannot be read. Remembers the longest read."""

    def __init__(self, data: bytes, bad_from: int = 0, bad_to: int = 0) -> None:
        self._data = data
        self._bad = (bad_from, bad_to)
        self.longest_read = 0

    @property
    def size_bytes(self) -> int:
        return len(self._data)

    def read(self, offset: int, length: int) -> bytes:
        assert offset >= 0 and length >= 0
        self.longest_read = max(self.longest_read, length)
        if offset < self._bad[1] and offset + length > self._bad[0]:
            raise MediaFault("media-error", "the medium refused", offset=offset, length=length)
        return self._data[offset : offset + length]


class Seen:
    """A sink that keeps what it was given and checks the order of the calls."""

    def __init__(self) -> None:
        self.members: dict[Names, bytes] = {}
        self.whole: dict[Names, bool] = {}
        self.hints: dict[Names, int] = {}
        self.fates: list[Fate] = []
        self.parts = 0
        self.longest_part = 0
        self._now: Names | None = None

    def begin(self, steps: tuple[ViewStep, ...], size_hint: int) -> None:
        assert self._now is None, "members are interleaved"
        self._now = tuple((step.kind, step.member) for step in steps)
        assert self._now not in self.members, "the same steps were given twice"
        self.members[self._now] = b""
        self.whole[self._now] = False
        self.hints[self._now] = size_hint

    def data(self, data: bytes, last: bool) -> None:
        assert self._now is not None and not self.whole[self._now]
        assert type(data) is bytes
        self.members[self._now] += data
        self.whole[self._now] = last
        self.parts += 1
        self.longest_part = max(self.longest_part, len(data))

    def end(self, steps: tuple[ViewStep, ...], decoded_bytes: int) -> None:
        assert self._now == tuple((step.kind, step.member) for step in steps)
        assert decoded_bytes == len(self.members[self._now])
        self._now = None

    @property
    def named(self) -> dict[bytes, bytes]:
        """Content by the last step's name."""
        return {names[-1][1]: data for names, data in self.members.items()}

    @property
    def fate(self) -> Fate:
        """Of the outermost view."""
        return self.fates[0]


class Counting:
    """A sink that keeps nothing."""

    def __init__(self) -> None:
        self.decoded_bytes = 0

    def begin(self, steps: tuple[ViewStep, ...], size_hint: int) -> None:
        pass

    def data(self, data: bytes, last: bool) -> None:
        assert len(data) <= 1 << 20
        self.decoded_bytes += len(data)

    def end(self, steps: tuple[ViewStep, ...], decoded_bytes: int) -> None:
        pass


@pytest.fixture
def make_reader() -> Callable[..., BytesReader]:
    return BytesReader


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture
def look(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Seen]:
    """Open the view that bytes (or a reader) begin; limits by keyword."""
    folder: Path = tmp_path_factory.mktemp("spool")

    def _look(data: bytes | BytesReader, *, sink: object = None, **limits: float) -> Seen:
        reader = BytesReader(data) if isinstance(data, bytes) else data
        seen = Seen()
        budget = Budget(ViewLimits(**limits), reader.size_bytes)  # type: ignore[arg-type]
        seen.fates = walk(reader, reader.read(0, 512) if reader.size_bytes else b"", (), budget, sink or seen, spool_folder=folder)  # type: ignore[arg-type]
        assert not list(folder.iterdir()), "a spooled member has a name"
        return seen

    return _look


@pytest.fixture
def text() -> bytes:
    """2 MB that compress to about a quarter, the same in every run."""
    dice = random.Random(7)
    return b"".join(b"line %d: value %d\n" % (number, dice.randrange(10**9)) for number in range(70_000))
