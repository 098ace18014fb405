"""No planted secret, in no form, in anything that is written without --reveal: the case, its database and its WAL, maps, logs, console, reports."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote_from_bytes

import pytest

from snapscan.report.base import REPORTERS

pytestmark = pytest.mark.images

PART_BYTES = 12
"""A piece of a value that long gives away more than the four characters that may be shown."""


def forms(value: bytes) -> Iterator[tuple[str, bytes]]:
    """The value as it may stand in a file: as it is, widened, and in the usual encodings at every alignment; and the same of its middle."""
    middle = value[len(value) // 2 :][:PART_BYTES]
    for word, piece in (("value", value), ("part", middle)):
        yield word, piece
        yield f"{word} in UTF-16 LE", b"".join(bytes((byte, 0)) for byte in piece)
        yield f"{word} in UTF-16 BE", b"".join(bytes((0, byte)) for byte in piece)
        yield f"{word} in hex", piece.hex().encode()
        yield f"{word} in HEX", piece.hex().upper().encode()
        yield f"{word} in percent", b"".join(b"%%%02x" % byte for byte in piece)
        yield f"{word} in PERCENT", b"".join(b"%%%02X" % byte for byte in piece)
        yield f"{word} quoted", quote_from_bytes(piece, safe="").encode()
        yield f"{word} escaped", b"".join(b"\\x%02x" % byte for byte in piece)
        yield f"{word} reversed", piece[::-1]
        for shift in range(3):
            # Only the characters that the neighbours cannot change.
            text = base64.b64encode(bytes(shift) + piece)
            whole = text[(shift * 8 + 5) // 6 : (shift + len(piece)) * 8 // 6]
            yield f"{word} in Base64 at {shift}", whole
            yield f"{word} in Base64url at {shift}", whole.replace(b"+", b"-").replace(b"/", b"_")


def leaks(manifest, files: list[Path], texts: dict[str, str]) -> list[str]:
    """Which secret stands where in which form; never the value."""
    contents = {str(path): path.read_bytes() for path in files} | {name: text.encode() for name, text in texts.items()}
    found = []
    for secret in manifest["secrets"]:
        for form, needle in forms(secret["value"].encode("latin-1")):
            found += [f"{secret['how']} {secret['rule']}: {form} in {name}" for name, content in contents.items() if needle in content]
    return found


def files_below(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "key"]


def test_the_search_itself_sees_every_form():
    value = bytes(range(65, 91)) + bytes(range(48, 58))
    for form, needle in forms(value):
        assert len(needle) >= PART_BYTES, form
    inside = base64.b64encode(b"xy" + value + b"zzz")
    assert any(needle in inside for form, needle in forms(value) if "value in Base64 at 2" in form)
    manifest = {"secrets": [{"value": value.decode(), "how": "plain", "rule": "r"}]}
    assert leaks(manifest, [], {"out": "… " + value.hex()}) == ["plain r: value in hex in out", "plain r: part in hex in out"]
    assert leaks(manifest, [], {"out": value[:4].decode()}) == []


def test_no_secret_is_in_the_case_the_log_or_any_report(build, scanner, tmp_path):
    raw, manifest = build("small")
    texts = {}
    for number, progress in enumerate(("json", "plain")):
        options = ("--key-file", scanner.key_file, "--progress", progress)
        done = scanner.command("scan", raw, "--case", tmp_path / f"case{number}", *options)
        assert done.returncode == 1, done.stderr
        texts |= {f"stdout {progress}": done.stdout, f"stderr {progress}": done.stderr}
    for form in REPORTERS:
        done = scanner.command("report", tmp_path / "case0", "--format", form)
        assert done.returncode in (0, 1, 3), done.stderr
        assert done.stdout
        texts |= {f"report {form}": done.stdout, f"report {form} stderr": done.stderr}
    names = {path.name for path in files_below(tmp_path / "case0")}
    assert {"case.sqlite", "run.log", "blob.npy"} <= names, names
    assert leaks(manifest, files_below(tmp_path), texts) == []


@pytest.mark.parametrize("point", [0.5, 3, 6])
def test_no_secret_is_in_what_a_killed_scan_leaves_behind(point, build, scanner, tmp_path):
    """The database with its WAL, half-written maps, spooled members of archives."""
    raw, manifest = build("small")
    done = scanner.kill("foreman", [point], raw, tmp_path / "case")
    assert done.returncode == -9, done.stderr
    names = {path.name for path in files_below(tmp_path / "case")}
    assert "case.sqlite-wal" in names, names
    assert leaks(manifest, files_below(tmp_path), {"stdout": done.stdout, "stderr": done.stderr}) == []


def test_no_secret_is_in_what_show_says_without_reveal(build, scanner, tmp_path):
    raw, manifest = build("demo")
    scan = scanner.scan(raw)
    texts = {}
    for number, sighting in enumerate(scan.of("sighting")):
        done = scanner.command("show", scan.case, sighting["locator"])
        assert done.returncode == 0, done.stderr
        texts |= {f"show {number}": done.stdout + done.stderr}
    assert texts
    assert leaks(manifest, [], texts) == []


def test_no_secret_that_is_a_files_name_is_in_a_report(build, scanner, tmp_path):
    """A name is shown with what looks like a secret in it cut short, in paths and in locators."""
    from snapscan.detect.examples import fill

    token = fill("ghp_${github_checksum:30}", "a name")
    other = fill("hvs.${base62:24}", "what lies inside")
    root = tmp_path / "tree"
    root.mkdir()
    (root / f"backup-{token.decode()}").write_bytes(b"VAULT_TOKEN=" + other + b"\n")
    done = scanner.command("scan", root, "--case", tmp_path / "case", "--key-file", scanner.key_file)
    jsonl = scanner.command("report", tmp_path / "case", "--format", "jsonl")
    assert '"rule":"vault.token"' in jsonl.stdout
    manifest = {
        "secrets": [{"value": value.decode(), "how": "name", "rule": rule} for value, rule in ((token, "github.token"), (other, "vault.token"))]
    }
    texts = {"stdout": done.stdout, "stderr": done.stderr, "jsonl": jsonl.stdout}
    assert leaks(manifest, [tmp_path / "case" / "run.log"], texts) == []


def test_every_file_of_a_case_is_its_owners_alone(build, scanner):
    raw, _ = build("demo")
    case = scanner.scan(raw).case
    assert case.stat().st_mode & 0o777 == 0o700
    wide = [path.name for path in case.rglob("*") if path.is_file() and path.stat().st_mode & 0o077 and path.parent == case]
    assert wide == []
