from __future__ import annotations

import msgspec
import pytest

from snapscan.model.errors import PolicyError
from snapscan.model.finding import Confidence, Severity
from snapscan.model.policy import GATE_DEFAULTS, SCAN_DEFAULTS, Acceptance, RunPolicy, flattened, load_policy, merged, to_builtins
from snapscan.model.units import GIB, MIB

TEXT = """
limits:
  worker_memory_bytes: 1GiB
  task_bytes: 16MiB
  view: {decoded_bytes: 1GiB, depth: 3, seconds: 1min}
  map:
    inodes: 1000
scope:
  views: false
  encodings: [ascii]
gate:
  fail_on: high
  min_confidence: low
  accept:
    - {kind: gap, reason: encrypted-volume, where: '*part:3*'}
    - {kind: ledger, reason: media-error, most_bytes: 4KiB}
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "snapscan.yml"
        path.write_text(text)
        return path

    return write


def test_every_table_of_a_file_is_read(write):
    policy = load_policy(write(TEXT))
    assert (policy.limits.worker_memory_bytes, policy.limits.task_bytes) == (GIB, 16 * MIB)
    assert (policy.limits.view.decoded_bytes, policy.limits.view.depth, policy.limits.view.seconds) == (GIB, 3, 60.0)
    assert policy.limits.view.ratio == SCAN_DEFAULTS.limits.view.ratio
    assert policy.limits.map.inodes == 1000
    assert (policy.scope.views, policy.scope.encodings) == (False, ("ascii",))
    assert (policy.gate.fail_on, policy.gate.min_confidence) == (Severity.HIGH, Confidence.LOW)
    assert policy.gate.accept == (Acceptance("gap", "encrypted-volume", "*part:3*"), Acceptance("ledger", "media-error", most_bytes=4096))


def test_without_a_file_the_built_in_values_hold():
    assert load_policy(None) == SCAN_DEFAULTS
    assert load_policy(None, base=GATE_DEFAULTS).gate.accept == ()
    assert (SCAN_DEFAULTS.gate.fail_on, SCAN_DEFAULTS.gate.min_confidence) == (Severity.HIGH, Confidence.MEDIUM)
    assert {item.reason for item in SCAN_DEFAULTS.gate.accept} == {"encrypted", "damaged", "truncated"}


@pytest.mark.parametrize("text", ["", "# nothing\n", "limits:\n", "gate:\n  # fail_on: high\n"])
def test_an_empty_file_changes_nothing(write, text):
    assert load_policy(write(text)) == SCAN_DEFAULTS


def test_the_command_line_wins_over_the_file(write):
    policy = load_policy(write(TEXT), {"gate.fail_on": "critical", "limits.view.depth": 5, "scope.views": True})
    assert (policy.gate.fail_on, policy.limits.view.depth, policy.scope.views) == (Severity.CRITICAL, 5, True)
    assert policy.gate.min_confidence == Confidence.LOW


def test_findings_can_be_kept_from_failing_a_run(write):
    assert load_policy(None, {"gate.fail_on": "never"}).gate.fail_on is None


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("limit: {}", "limit"),
        ("limits: {task_byte: 1}", "limits.task_byte"),
        ("limits: {task_bytes: many}", "limits.task_bytes"),
        ("limits: {task_bytes: -1}", "limits.task_bytes"),
        ("limits: {task_bytes: 1.5}", "limits.task_bytes"),
        ("limits: {task_bytes: true}", "limits.task_bytes"),
        ("limits: {task_seconds: .inf}", "limits.task_seconds"),
        ("limits: {task_seconds: .nan}", "limits.task_seconds"),
        ("limits: {view: 3}", "limits.view"),
        ("limits: {view: {seconds: 1 day}}", "limits.view.seconds"),
        ("scope: {views: 'no'}", "scope.views"),
        ("scope: {encodings: ascii}", "scope.encodings"),
        ("scope: {encodings: [ebcdic]}", "scope.encodings"),
        ("scope: {encodings: [[ascii]]}", "scope.encodings"),
        ("gate: {fail_on: grave}", "gate.fail_on"),
        ("gate: {fail_on: 3}", "gate.fail_on"),
        ("gate: {min_confidence: never}", "gate.min_confidence"),
        ("gate: {accept: [encrypted]}", "gate.accept[0]"),
        ("gate: {accept: [{kind: view}]}", "gate.accept[0].reason"),
        ("gate: {accept: [{kind: all, reason: x}]}", "gate.accept[0].kind"),
        ("gate: {accept: [{kind: view, reason: x, size: 1}]}", "gate.accept[0].size"),
        ("- 1", "the file"),
        ("1: 2", "1"),
    ],
)
def test_a_wrong_field_is_named_with_its_file(write, text, field):
    path = write(text)
    with pytest.raises(PolicyError) as error:
        load_policy(path)
    assert error.value.reference == "policy-field"
    assert f"{path}: {field} " in error.value.message


@pytest.mark.parametrize(("name", "reference"), [("missing.yml", "policy-missing"), ("bad.yml", "policy-syntax"), ("binary.yml", "policy-syntax")])
def test_a_file_that_can_not_be_read_is_named(tmp_path, name, reference):
    (tmp_path / "bad.yml").write_text("a: [")
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PolicyError) as error:
        load_policy(tmp_path / name)
    assert error.value.reference == reference
    assert name in error.value.message


def test_a_policy_can_be_written_out_and_read_back(write):
    policy = load_policy(write(TEXT), {"gate.fail_on": "never"})
    tree = msgspec.json.decode(msgspec.json.encode(to_builtins(policy)))
    assert merged(RunPolicy(), tree, "case") == policy
    assert flattened(policy)["limits.view.depth"] == 3
    assert flattened(policy)["gate.fail_on"] == "never"


def test_the_digest_changes_with_any_value_and_only_then():
    assert load_policy(None).digest() == SCAN_DEFAULTS.digest()
    digests = {load_policy(None, change).digest() for change in ({}, {"limits.view.depth": 3}, {"gate.fail_on": "low"}, {"scope.views": False})}
    assert len(digests) == 4
