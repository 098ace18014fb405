"""What leaves a worker shows at most four characters, and never a value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapscan.detect.examples import fill
from snapscan.detect.redact import Fingerprinter, redact, redact_path, redact_text


def test_long_value_shows_four_characters_and_facts() -> None:
    assert redact(fill("ghp_${base62:36}", "seed")) == "ghp_… (40 characters, letters, digits and signs)"


def test_short_value_shows_facts_only() -> None:
    assert redact(b"hunter2") == "(7 characters, letters and digits)"
    assert redact(b"") == "(0 characters, nothing)"


@given(st.binary(max_size=200))
def test_text_is_printable_and_shows_no_five_characters_in_a_row(value: bytes) -> None:
    text = redact(value)
    assert text.isprintable()
    shown = text.split("… ")[0] if "… " in text else ""
    assert len(shown) <= 4
    assert bool(shown) == (len(value) >= 16)


def test_fingerprint_depends_on_key_family_and_value_alone() -> None:
    one, two = Fingerprinter(b"k" * 32), Fingerprinter(b"l" * 32)
    assert one.of("a", b"v") == Fingerprinter(b"k" * 32).of("a", b"v")
    assert len({one.of("a", b"v"), one.of("b", b"v"), one.of("a", b"w"), two.of("a", b"v"), one.of("a\0", b"v"), one.of("", b"av")}) == 6
    assert one.key_id != two.key_id
    assert len(one.of("a", b"v")) == 32


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="16"):
        Fingerprinter(b"short")


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("https://user:${password}@host/x", "https://user:…@host/x"),
        ("/srv/ghp_${base62:36}/a", "/srv/ghp_…/a"),
        ("mysql -u root --password=${password} db", "mysql -u root --password=… db"),
        ("https://host/?token=${base62:20}&a=1", "https://host/?token=…&a=1"),
        ("/var/lib/docker/overlay2/${hex:64}/diff", None),
        ("/usr/lib/python3/dist-packages/cryptography/hazmat/__init__.py", None),
        ("/usr/share/doc/libreoffice-common/README.Debian.gz", None),
        ("/usr/lib/x86_64-linux-gnu/libLLVMAMDGPUAsmParser.so.14", None),
    ],
)
def test_paths_and_arguments_keep_all_but_secrets(template: str, shown: str | None) -> None:
    text = fill(template, "seed").decode()
    assert redact_text(text) == (text if shown is None else shown)


def test_known_values_go_wherever_they_stand() -> None:
    assert redact_text("/home/hunter2/hunter2.txt", ["hunter2", ""]) == "/home/…/….txt"


def test_random_name_keeps_four_characters() -> None:
    text = redact_text(fill("/srv/${base62:40}.key", "seed").decode())
    assert text.endswith("….key")
    assert len(text) == len("/srv/") + 4 + len("….key")


@pytest.mark.parametrize(
    "path", ["/a/test_import_Curve25519.py", "/x/sk-learn-helpers-module.py", "/d/8f14e45fceea167a5a36dedd4bea2543", "/srv/npm_modules_cache"]
)
def test_names_of_files_are_shown_as_they_are(path):
    assert redact_path(path) == path


def test_token_in_a_file_name_is_hidden():
    token = fill("ghp_${github_checksum:30}", "path").decode()
    assert redact_path(f"/srv/{token}.txt/x") == "/srv/ghp_\u2026/x"
