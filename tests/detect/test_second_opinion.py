"""What detect-secrets adds, and that it is loaded only when asked."""

from __future__ import annotations

import subprocess
import sys

import pytest

from snapscan.detect.examples import fill
from snapscan.detect.second_opinion import second_opinion


@pytest.mark.parametrize(
    ("template", "outcome"),
    [
        ("${base64:40}", "high-entropy"),
        ("${hex:40}", "high-entropy"),
        ("abcdefghijklmnopqrstuvwxyz", "sequential"),
        ("${uuid}", "uuid"),
        ("{secret}", "templated"),
        ("<secret>", "templated"),
        ("aaaaaaaaaaaabbbb", None),
        ("hunter2", None),
        ("", None),
    ],
)
def test_opinion(template: str, outcome: str | None) -> None:
    said = second_opinion(fill(template, "seed").decode())
    assert (said.outcome if said else None) == outcome


def test_detection_does_not_load_detect_secrets_until_asked() -> None:
    code = "import sys, snapscan.detect.score as s; assert 'detect_secrets' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
