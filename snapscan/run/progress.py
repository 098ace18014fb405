"""How far a run is: a bar on a terminal, a plain line now and then, or JSON events. To stderr; a redrawn line needs no thread."""

from __future__ import annotations

import json
import time
from typing import Protocol, TextIO

import msgspec

from snapscan.model.units import size_text

PLAIN_SECONDS = 10.0
BAR_SECONDS = 0.2
_WIDTH = 24


class State(msgspec.Struct, frozen=True):
    """`stored_bytes` 0 while no source is opened; `on` says what each busy worker does."""

    stage: str
    done_bytes: int
    stored_bytes: int
    tasks_left: int
    hits: int
    on: tuple[str, ...] = ()


class Progress(Protocol):
    def show(self, state: State) -> None: ...

    def close(self, state: State) -> None: ...


class Silent:
    """Shows nothing."""

    def show(self, state: State) -> None:
        return

    def close(self, state: State) -> None:
        return


class _Timed:
    """Shows a state at most every `every` seconds, and the last one always."""

    every = PLAIN_SECONDS

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._began = time.monotonic()
        self._shown = self._began if self.every == PLAIN_SECONDS else 0.0

    def show(self, state: State) -> None:
        now = time.monotonic()
        if now - self._shown >= self.every:
            self._shown = now
            self._write(state, now - self._began, last=False)

    def close(self, state: State) -> None:
        self._write(state, time.monotonic() - self._began, last=True)

    def _write(self, state: State, seconds: float, *, last: bool) -> None:
        raise NotImplementedError


class Plain(_Timed):
    """A line every ten seconds."""

    def _write(self, state: State, seconds: float, *, last: bool) -> None:
        print(_line(state, seconds), file=self._out, flush=True)


class Bar(_Timed):
    """One line, drawn again."""

    every = BAR_SECONDS

    def _write(self, state: State, seconds: float, *, last: bool) -> None:
        share = state.done_bytes / state.stored_bytes if state.stored_bytes else 0.0
        filled = int(_WIDTH * share)
        print(f"\r[{'#' * filled}{'.' * (_WIDTH - filled)}] {_line(state, seconds)}\x1b[K", end="\n" if last else "", file=self._out, flush=True)


class Json(_Timed):
    """An object a line, every second."""

    every = 1.0

    def _write(self, state: State, seconds: float, *, last: bool) -> None:
        event = {"event": "end" if last else "progress", "seconds": round(seconds, 1), **msgspec.to_builtins(state)}
        print(json.dumps(event), file=self._out, flush=True)


def _line(state: State, seconds: float) -> str:
    rate = state.done_bytes / seconds if seconds > 0 else 0.0
    left = (state.stored_bytes - state.done_bytes) / rate if rate else 0.0
    parts = [state.stage, f"{size_text(state.done_bytes)} of {size_text(state.stored_bytes)}", f"{size_text(int(rate))}/s"]
    if state.done_bytes < state.stored_bytes and rate:
        parts.append(f"{left:.0f} s left")
    if state.tasks_left:
        parts.append(f"{state.tasks_left} tasks left")
    parts.append(f"{state.hits} hits")
    return ", ".join(parts)


def progress(kind: str, out: TextIO) -> Progress:
    """`bar`, `plain`, `json`, `off`; `auto` is a bar on a terminal, else plain lines."""
    if kind == "auto":
        kind = "bar" if out.isatty() else "plain"
    return {"bar": Bar, "plain": Plain, "json": Json}[kind](out) if kind != "off" else Silent()
