"""Templates of examples: the same seed, the same bytes, and each generator makes what its name says."""

from __future__ import annotations

import base64
import re
import uuid

import pytest

from snapscan.detect.checks.checksum import github, gitlab, grafana, npm
from snapscan.detect.checks.decode import aws_account, bitlocker
from snapscan.detect.examples import ALPHABETS, fill, fill_marked
from snapscan.detect.rules import builtin_rules_folder, load_rules

RULE = load_rules([builtin_rules_folder() / "secrets" / "github.yml"])[0]


def test_seed_and_template_decide_the_bytes_for_ever() -> None:
    assert fill("${base36:32}", "one") == fill("${base36:32}", "one")
    assert fill("${base36:32}", "one") != fill("${base36:32}", "two")
    assert fill("${hex:16}", "snapscan") == b"e0c94d278e3c9747"


@pytest.mark.parametrize("name", ALPHABETS)
def test_alphabet_and_length_are_kept(name: str) -> None:
    made = fill(f"${{{name}:200}}", "seed")
    assert len(made) == 200
    assert set(made) <= set(ALPHABETS[name])
    assert len(set(made)) > len(ALPHABETS[name]) // 2


def test_marks_are_the_generated_pieces() -> None:
    data, marks = fill_marked("a=${hex:4}, b=${digits:3}!", "seed")
    assert [(start, end - start) for start, end in marks] == [(2, 4), (10, 3)]
    assert data[:2] == b"a="
    assert data.endswith(b"!")


@pytest.mark.parametrize("check", [github, npm])
def test_checksums_are_right(check: object) -> None:
    prefix = b"ghp_" if check is github else b"npm_"
    said = check(prefix + fill("${github_checksum:30}", "seed"), b"", RULE)  # type: ignore[operator]  # one of the two above
    assert said is not None
    assert said.outcome == "right"


def test_further_checksums_are_right() -> None:
    for check, template in ((gitlab, "${gitlab_checksum:glpat-,37}"), (grafana, "${grafana_checksum:32}"), (bitlocker, "${bitlocker:8}")):
        said = check(fill(template, "seed"), b"", RULE)
        assert said is not None
        assert said.outcome == "right", template


def test_key_id_holds_an_account() -> None:
    said = aws_account(fill("${akia:AKIA}", "seed"), b"", RULE)
    assert said is not None
    assert re.fullmatch(r"account \d{12}", said.note)


def test_uuid_is_a_random_one() -> None:
    assert uuid.UUID(fill("${uuid}", "seed").decode()).version == 4


def test_password_has_both_cases_a_digit_and_a_sign() -> None:
    made = fill("${password}", "seed").decode()
    assert len(made) == 16
    assert all(re.search(pattern, made) for pattern in ("[a-z]", "[A-Z]", "[0-9]", "[^A-Za-z0-9]"))


def test_base64_holds_what_stands_inside() -> None:
    assert re.fullmatch(rb"user:[0-9a-f]{8}", base64.b64decode(fill("${b64:user:${hex:8}}", "seed")))
    assert b"=" not in fill("${b64url:a}", "seed")
    assert base64.urlsafe_b64decode(fill(r"${b64url:{\}xyz}", "seed") + b"==") == b"{}xyz"


def test_armour_has_its_label_and_a_body() -> None:
    made = fill("${pem:EC PRIVATE KEY}", "seed")
    lines = made.splitlines()
    assert lines[0] == b"-----BEGIN EC PRIVATE KEY-----"
    assert lines[-1] == b"-----END EC PRIVATE KEY-----"
    assert len(base64.b64decode(b"".join(lines[1:-1]))) == 600


@pytest.mark.parametrize(
    ("template", "data"),
    [(r"a\nb\t\r\\n", b"a\nb\t\r\\n"), (r"\x00\xff", b"\0\xff"), ("$${HOME}/x", b"${HOME}/x"), ("$6$a} $b", b"$6$a} $b"), (r"C:\dir", rb"C:\dir")],
)
def test_what_is_no_generator_stays_or_is_escaped(template: str, data: bytes) -> None:
    assert fill(template, "seed") == data


@pytest.mark.parametrize("template", ["${nonsense:3}", "${hex}", "${hex:four}", "${hex:3"])
def test_a_broken_template_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"hex|nonsense"):
        fill(template, "seed")
