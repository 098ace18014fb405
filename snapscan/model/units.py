"""Sizes and times as people write them: `64MiB`, `30s`."""

from __future__ import annotations

import re
from fractions import Fraction

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

REACH_BYTES = 4 * KIB
"""How far a match may extend from the byte it starts at, and how much context a check may look at."""

PAGE_BYTES = 4 * KIB
SECTOR_BYTES = 512

_SIZES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": KIB, "mib": MIB, "gib": GIB, "tib": 1 << 40}
_TIMES = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def parse_size(text: str) -> int:
    """`64MiB` -> 67108864. Raises ValueError, with the text in the message, for anything else."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)\s*", text)
    if match is None or match[2].lower() not in _SIZES:
        raise ValueError(f"not a size: {text!r} (write for example 64MiB)")
    return int(Fraction(match[1]) * _SIZES[match[2].lower()])  # exact: a float loses bytes from 8 PiB on


def parse_seconds(text: str) -> float:
    """`30s`, `2min` -> seconds. Raises ValueError, with the text in the message, for anything else."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)\s*", text)
    if match is None or match[2].lower() not in _TIMES:
        raise ValueError(f"not a time: {text!r} (write for example 30s)")
    return float(match[1]) * _TIMES[match[2].lower()]


def size_text(size_bytes: int) -> str:
    """1536 -> `1.5 KiB`; what fits below 1 KiB is printed in bytes."""
    for unit, factor in (("TiB", 1 << 40), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if abs(size_bytes) >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes} B"
