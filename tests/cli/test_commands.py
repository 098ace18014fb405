"""Every command on a small folder: what it prints, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def scanned(snapscan, tree: Path):
    done = snapscan("scan", tree, "--case", "case", "--progress", "off")
    assert done.code == 1, done.err
    return done


def test_scan_names_the_file_and_shows_no_value(snapscan, tree, token) -> None:
    done = scanned(snapscan, tree)
    assert "/srv/app.env" in done.out
    assert "ghp_…" in done.out
    assert token not in done.out + done.err
    assert "WHAT WAS NOT READ" in done.out


def test_report_gives_the_same_document_as_the_scan(snapscan, tree, tmp_path) -> None:
    scan = snapscan("scan", tree, "--case", "case", "--format", "jsonl", "--output", "a.jsonl", "--progress", "off")
    report = snapscan("report", "case", "--format", "jsonl")
    assert scan.code == 1 and report.code == 0
    assert (tmp_path / "a.jsonl").read_text() == report.out
    assert (tmp_path / "a.jsonl").stat().st_mode & 0o777 == 0o600


def test_show_reads_the_bytes_again_and_reveals_only_when_asked(snapscan, tree, token) -> None:
    scanned(snapscan, tree)
    rows = [json.loads(line) for line in snapscan("report", "case", "--format", "jsonl").out.splitlines()]
    (sighting,) = [row for row in rows if row["record"] == "sighting"]
    hidden = snapscan("show", "case", sighting["locator"])
    assert hidden.code == 0 and token not in hidden.out
    assert snapscan("show", "case", sighting["locator"], "--reveal").out.strip() == token


def test_show_says_what_is_wrong_with_a_locator(snapscan, tree) -> None:
    scanned(snapscan, tree)
    for locator in ("nonsense", "raw:other/x@1+2", "folder:tree/not/there@1+2", "folder:tree/srv/app.env@9999+5"):
        done = snapscan("show", "case", locator)
        assert done.code == 2 and "error: locator-" in done.err, locator


def test_ledger_adds_up(snapscan, tree) -> None:
    scanned(snapscan, tree)
    done = snapscan("ledger", "case")
    assert done.code == 0
    assert " = size " in done.out and "!=" not in done.out


def test_map_goes_both_ways(snapscan, tree) -> None:
    scanned(snapscan, tree)
    by_path = snapscan("map", "case", "/srv/app.env")
    assert by_path.code == 0
    place = by_path.out.split(" at ")[1].split()[0]
    assert "/srv/app.env" in snapscan("map", "case", place).out
    assert snapscan("map", "case", "/no/such").code == 2
    assert snapscan("map", "case", "what").code == 2


def test_fail_on_decides_the_exit_code(snapscan, tree) -> None:
    assert snapscan("scan", tree, "--case", "a", "--fail-on", "critical", "--progress", "off").code == 0
    assert snapscan("scan", tree, "--case", "b", "--fail-on", "never", "--progress", "off").code == 0
    assert snapscan("scan", tree, "--case", "c", "--fail-on", "low", "--progress", "off").code == 1


def test_gate_passes_only_the_clean(snapscan, tree, tmp_path) -> None:
    clean = tmp_path / "clean"
    clean.mkdir()
    (clean / "a.txt").write_text("hello\n")
    assert "gate: pass" in snapscan("gate", clean).out
    failed = snapscan("gate", tree)
    assert failed.code == 1 and "gate: fail" in failed.out
    scanned(snapscan, tree)
    assert snapscan("gate", "case").code == 1
    assert not list(tmp_path.glob("*.snapscan"))


def test_rules_are_listed_and_own_rules_checked(snapscan, tmp_path) -> None:
    assert len(snapscan("rules", "list").out.splitlines()) >= 60
    good = tmp_path / "good.yml"
    text = (
        "- {id: acme.token, name: Acme, kind: secret, severity: high, pattern: '\\bacme_([a-z0-9]{20})\\b', value: 1, why: W., fix: F.,\n"
        "   references: ['https://acme.example'], examples: ['acme_${base36:20}'], counter_examples: ['acme_x']}\n"
    )
    good.write_text(text)
    assert snapscan("rules", "check", good).code == 0
    bad = tmp_path / "bad.yml"
    bad.write_text(text.replace("acme_${base36:20}", "acme_${base36:5}"))
    done = snapscan("rules", "check", bad)
    assert done.code == 2 and "acme.token: example 1 is found 0 times" in done.out
    broken = tmp_path / "broken.yml"
    broken.write_text(text.replace("severity", "sevrity"))
    done = snapscan("rules", "check", broken)
    assert done.code == 2 and "sevrity" in done.err and "acme.token" in done.err


def test_own_rules_take_part_in_a_scan(snapscan, tree, tmp_path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(
        "- {id: acme.token, name: Acme, kind: secret, severity: high, pattern: '\\bacme_([a-z0-9]{20})\\b', value: 1, why: W., fix: F.,\n"
        "   references: ['https://acme.example'], examples: ['acme_${base36:20}'], counter_examples: ['acme_x']}\n"
    )
    (tree / "acme.txt").write_text("acme_k3j5h2k3j4h5k2j3h4k5\n")
    done = snapscan("scan", tree, "--rules", rules, "--case", "case", "--progress", "off")
    assert "acme.token" in done.out and "/acme.txt" in done.out


def test_yara_rules_take_part_in_a_scan(snapscan, tree, tmp_path) -> None:
    folder = tmp_path / "yara"
    folder.mkdir()
    (folder / "a.yar").write_text(
        'rule atomic { meta: severity = "high" name = "Atomic" strings: $a = "a rare phrase" wide ascii condition: $a }\n'
        "rule slow { condition: filesize == 33 }\n"
        'rule silent { strings: $a = "not there at all" condition: $a }\n'
    )
    (tree / "one.bin").write_bytes(b"\0" * 5000 + b"a rare phrase" + b"\0" * 10)
    (tree / "two.bin").write_bytes("a rare phrase".encode("utf-16-le"))
    (tree / "three.bin").write_bytes(b"x" * 33)
    done = snapscan("scan", tree, "--yara", folder, "--case", "case", "--format", "jsonl", "--progress", "off")
    rows = [json.loads(line) for line in done.out.splitlines()]
    found = sorted((row["rule"], row["path"], row["offset"]) for row in rows if row["record"] == "sighting" and row["rule"].startswith("yara."))
    assert found == [("yara.atomic", "/one.bin", 5000), ("yara.atomic", "/two.bin", 0), ("yara.slow", "/three.bin", 0)]


def test_broken_yara_rules_are_named(snapscan, tree, tmp_path) -> None:
    (tmp_path / "a.yar").write_text("rule { nonsense")
    done = snapscan("scan", tree, "--yara", tmp_path / "a.yar", "--case", "case")
    assert done.code == 2 and "yara-syntax" in done.err


def test_doctor_tells_what_is_here_and_what_a_policy_comes_to(snapscan, tmp_path) -> None:
    assert "rules: " in snapscan("doctor").out
    (tmp_path / "p.yml").write_text("limits: {task_bytes: 1MiB}\n")
    lines = snapscan("doctor", "--policy", "p.yml").out.splitlines()
    assert any(line.startswith("limits.task_bytes") and "1048576" in line and line.endswith("p.yml") for line in lines)
    assert any(line.startswith("gate.fail_on") and "high" in line and line.endswith("built-in") for line in lines)


def test_progress_in_three_forms(snapscan, tree) -> None:
    for form, mark in (("plain", "hits"), ("json", '"event": "end"'), ("bar", "[#")):
        assert mark in snapscan("scan", tree, "--case", form, "--progress", form).err
    assert snapscan("scan", tree, "--case", "off", "--progress", "off").err.strip() == "case: off"


def test_a_pair_is_joined_by_the_second_look(snapscan, tree, tmp_path) -> None:
    from snapscan.detect.examples import fill

    text = fill("User,${akia:AKIA},${base64:40}\n", "pair 3")
    (tree / "keys.csv").write_bytes(text)
    done = snapscan("scan", tree, "--case", "case", "--format", "jsonl", "--progress", "off")
    rows = [json.loads(line) for line in done.out.splitlines()]
    rules = {row["rule"] for row in rows if row["record"] == "sighting" and row["path"] == "/keys.csv"}
    assert rules == {"aws.access-key-id", "aws.secret-access-key"}


def test_shadow_entries_are_named_by_the_second_look(snapscan, tree) -> None:
    from snapscan.detect.examples import fill

    (tree / "etc").mkdir()
    entry = b"root:$6$" + fill("${base62:16}", "salt") + b"$" + fill("${base62:86}", "hash") + b":19000:0:99999:7:::\nbin:*:19000:0:99999:7:::\n"
    (tree / "etc" / "shadow").write_bytes(entry)
    done = snapscan("scan", tree, "--case", "case", "--format", "jsonl", "--progress", "off")
    rows = [json.loads(line) for line in done.out.splitlines()]
    notes = [item["note"] for row in rows if row["record"] == "sighting" and row["path"] == "/etc/shadow" for item in row["evidence"]]
    assert any("root" in note for note in notes), rows


@pytest.mark.parametrize(
    "arguments", [["scan"], ["scan", "a", "--resume", "b", "--case", "c"], ["nonsense"], ["scan", "--workers", "0", "x"], ["report"]]
)
def test_usage_errors_are_exit_2(snapscan, arguments) -> None:
    assert snapscan(*arguments).code == 2


def test_existing_case_is_not_overwritten(snapscan, tree) -> None:
    scanned(snapscan, tree)
    done = snapscan("scan", tree, "--case", "case")
    assert done.code == 5 and "case-exists" in done.err
