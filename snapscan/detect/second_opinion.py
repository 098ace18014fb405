"""What detect-secrets says of one value: its entropy plugins and heuristic filters, as pure functions on a quoted value.

The only module that imports detect_secrets, and only when first asked: the import costs 0.14 s and 30 MB. `scan_line` and the settings
object are never used: the first ignores the entropy limits, the second is a singleton.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from snapscan.model.finding import Evidence

_HEX = re.compile(r"[0-9a-fA-F]+")
_BASE64_LIMIT = 4.0
_HEX_LIMIT = 3.0
"""Shannon limits, in bits a character. detect-secrets itself takes 4.5 and 3.0; 4.5 needs more than 23 distinct characters, which short
values cannot have."""
_SHORTEST = 12


@cache
def _asked() -> tuple[Callable[[str], float], Callable[[str], bool], Callable[[str], bool], Callable[[str], bool]]:
    from detect_secrets.filters.heuristic import is_potential_uuid, is_sequential_string, is_templated_secret
    from detect_secrets.plugins.high_entropy_strings import Base64HighEntropyString

    return Base64HighEntropyString(limit=4.5).calculate_shannon_entropy, is_sequential_string, is_potential_uuid, is_templated_secret


def prepare() -> None:
    """Import now what the first question would import: before a fork, so that not every worker pays for it."""
    _asked()


def second_opinion(value: str) -> Evidence | None:
    """One word on `value`: against a sequence, a UUID or a template; for high entropy; None if there is nothing to say."""
    if not value:
        return None
    entropy_of, is_sequential, is_uuid, is_templated = _asked()
    if is_templated(value):
        return Evidence("second-opinion", "templated", -2)
    if is_sequential(value):
        return Evidence("second-opinion", "sequential", -2)
    if is_uuid(value):
        return Evidence("second-opinion", "uuid", -1)
    if len(value) < _SHORTEST:
        return None
    is_hex = _HEX.fullmatch(value) is not None
    if entropy_of(value) >= (_HEX_LIMIT if is_hex else _BASE64_LIMIT):
        return Evidence("second-opinion", "high-entropy", 2)
    return None
