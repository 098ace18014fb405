"""Takes a field of a foreign rule as what it has to be. A wrong type is refused like any other thing that cannot be honoured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snapscan.detect.foreign.refusal import Refused


def text_of(table: Mapping[str, Any], field: str) -> str:
    """Empty when it is not there."""
    value = table.get(field, "")
    if not isinstance(value, str):
        raise Refused(field, "is not a text")
    return value


def number_of(table: Mapping[str, Any], field: str) -> float:
    """0 when it is not there; never negative."""
    value = table.get(field, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise Refused(field, "is not a number from 0 upwards")
    return float(value)


def texts_of(table: Mapping[str, Any], field: str) -> list[str]:
    """Empty when it is not there."""
    value = table.get(field) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Refused(field, "is not a list of texts")
    return value
