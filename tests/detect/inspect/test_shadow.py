"""Whose hash it is, how it was made, and whether the account is open."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapscan.detect.examples import fill
from snapscan.detect.inspect import INSPECTORS
from snapscan.detect.inspect.base import Found
from snapscan.detect.inspect.shadow import inspect, wants
from snapscan.detect.rules import builtin_rules_folder, load_rules

RULES = {rule.id: rule for rule in load_rules([builtin_rules_folder() / "artefacts"])}
YESCRYPT = "$y$j9T\\x24${base62:22}\\x24${base62:43}"
SHA512 = "$6\\x24${base62:8}\\x24${base62:86}"


def look(template: str, path: bytes = b"/etc/shadow") -> list[Found]:
    return inspect(path, fill(template, "seed"), (), RULES)


def test_inspectors_have_names_of_their_own() -> None:
    assert [item.name for item in INSPECTORS] == ["pairs", "shadow"]


@pytest.mark.parametrize("path", [b"/etc/shadow", b"/etc/shadow-", b"/etc/gshadow", b"/mnt/root/etc/shadow", b"/etc/security/opasswd"])
def test_password_files_are_wanted_by_name(path: bytes) -> None:
    assert wants(path, b"", ())


def test_deleted_password_file_is_wanted_by_its_first_line() -> None:
    assert wants(b"", b"root:*:19700:0:99999:7:::\n", ())
    assert not wants(b"/usr/share/doc/shadow", b"root is a user", ())
    assert not wants(b"/etc/hosts", b"127.0.0.1 localhost", ())


@pytest.mark.parametrize(
    ("template", "note"),
    [
        (f"root:{YESCRYPT}:19700:0:99999:7:::\n", "user root, yescrypt, open"),
        (f"ops:!{SHA512}:19700:0:99999:7:::\n", "user ops, SHA-512, locked"),
        ("old:$1\\x24${base62:8}\\x24${base62:22}:12000:0:99999:7:::\n", "user old, MD5, open"),
        ("bsd:$2b$10\\x24${base62:53}:12000:0:99999:7:::\n", "user bsd, bcrypt, open"),
        ("ancient:${base62:13}:9000:0:99999:7:::\n", "user ancient, DES, open"),
        ("HOST$:${base62:13}:9000:0:99999:7:::\n", "user HOST$, DES, open"),
    ],
)
def test_account_with_a_hash_is_described(template: str, note: str) -> None:
    (found,) = look(template)
    assert found.rule_id == "linux.password-hash"
    assert found.evidence[0].note == note
    assert fill(template, "seed")[found.start : found.start + found.length] == found.value
    assert not found.value.startswith(b"!")


def test_hash_is_the_value_that_the_sweep_finds() -> None:
    data = fill(f"root:{YESCRYPT}:19700:0:99999:7:::\nops:!{SHA512}:19700::::::\n", "seed")
    rule = RULES["linux.password-hash"]
    swept = [match.span(rule.value) for match in re.compile(rule.pattern.encode()).finditer(data)]
    assert [(found.start, found.start + found.length) for found in inspect(b"/etc/shadow", data, (), RULES)] == swept
    assert len(swept) == 2


def test_open_account_without_a_password_is_found_and_closed_ones_are_not() -> None:
    (found,) = look("root:*:19700:0:99999:7:::\nguest::19700:0:99999:7:::\nwww-data:!:19700::::::\n")
    assert (found.rule_id, found.value) == ("linux.shadow-empty", b"guest")


def test_group_without_a_password_is_ordinary() -> None:
    assert look("root:*::\nadm:!::syslog\nusers:::\n", b"/etc/gshadow") == []
    (found,) = look(f"wheel:{SHA512}:root:ops\n", b"/etc/gshadow")
    assert found.evidence[0].note == "group wheel, SHA-512, open"


@given(st.binary(max_size=500))
def test_no_bytes_raise_and_every_place_is_inside(data: bytes) -> None:
    for found in inspect(b"/etc/shadow", data, (), RULES):
        assert data[found.start : found.start + found.length] == found.value
