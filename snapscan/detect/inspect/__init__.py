"""The second looks, in the order they are taken."""

from __future__ import annotations

from snapscan.detect.inspect.base import Found, Inspector
from snapscan.detect.inspect.pairs import PAIRS
from snapscan.detect.inspect.shadow import SHADOW

INSPECTORS: tuple[Inspector, ...] = (PAIRS, SHADOW)

__all__ = ["INSPECTORS", "Found", "Inspector"]
