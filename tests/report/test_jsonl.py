from __future__ import annotations

import io
import json
from itertools import pairwise
from pathlib import Path

from snapscan.report.base import reporter

GOLDEN = Path(__file__).parent / "golden" / "sample.jsonl"

FIELDS = {
    "run": "tool version snapshot states rules_digest policy_digest started",
    "finding": "fingerprint rule name kind severity confidence redacted sightings",
    "sighting": "fingerprint rule snapshot state locator path offset length space_offset owner owner_state mode uid mtime attribution evidence",
    "ledger": "space start end outcome reason",
    "view": "space locator kind stored_bytes decoded_bytes outcome reason detail",
    "summary": "complete size_bytes swept absent excluded unread lost views gaps findings seconds exit reasons accepted",
}


def document(view):
    out = io.StringIO()
    reporter("jsonl").write(view, out)
    return out.getvalue()


def records(view):
    return [json.loads(line) for line in document(view).splitlines()]


def of_kind(view, kind):
    return [record for record in records(view) if record["record"] == kind]


def test_the_document_is_the_golden_one(sample):
    assert document(sample) == GOLDEN.read_text()


def test_every_record_has_exactly_the_fields_of_the_contract(sample):
    found = records(sample)
    assert {record["record"] for record in found} == set(FIELDS)
    for record in found:
        assert list(record) == ["record", "schema", *FIELDS[record["record"]].split()]
        assert record["schema"] == 1


def test_the_run_comes_first_the_summary_last_and_sightings_behind_their_finding(sample):
    found = records(sample)
    assert (found[0]["record"], found[-1]["record"]) == ("run", "summary")
    current = None
    for record in found:
        if record["record"] == "finding":
            current = (record["fingerprint"], record["rule"])
        elif record["record"] == "sighting":
            assert (record["fingerprint"], record["rule"]) == current


def test_a_finding_says_how_many_sightings_follow(sample):
    for finding in of_kind(sample, "finding"):
        places = [s for s in of_kind(sample, "sighting") if (s["fingerprint"], s["rule"]) == (finding["fingerprint"], finding["rule"])]
        assert finding["sightings"] == len(places)


def test_the_ledger_adds_up_to_the_size_in_its_rows_and_in_the_summary(sample):
    (summary,) = of_kind(sample, "summary")
    shares = [summary[name] for name in ("swept", "absent", "excluded", "unread", "lost")]
    assert sum(shares) == summary["size_bytes"] == sum(row["end"] - row["start"] for row in of_kind(sample, "ledger"))


def test_neighbours_of_one_outcome_are_one_ledger_row_whatever_their_detail(sample):
    rows = of_kind(sample, "ledger")
    for before, after in pairwise(rows):
        alike = all(before[name] == after[name] for name in ("space", "outcome", "reason"))
        assert not (alike and before["end"] == after["start"])


def test_whatever_a_name_holds_a_line_is_plain_ascii_and_the_name_comes_back(sample, hostile_name):
    text = document(sample)
    assert text.isascii()
    assert all(character == "\n" or " " <= character <= "~" for character in text)
    assert hostile_name in {record["path"] for record in of_kind(sample, "sighting")}


def test_places_without_an_inode_have_no_mode_and_no_uid(sample):
    free = next(record for record in of_kind(sample, "sighting") if record["owner"] == "free")
    assert (free["mode"], free["uid"], free["mtime"]) == (None, None, None)
    assert free["attribution"] == {"formerly": "/srv/old/.env", "offset": 16, "known_from": "journal"}


def test_a_clean_run_has_a_run_a_ledger_and_a_summary(clean):
    assert [record["record"] for record in records(clean)] == ["run", "ledger", "summary"]
    assert of_kind(clean, "summary")[0] | {"complete": True, "exit": 0, "gaps": [], "reasons": []} == of_kind(clean, "summary")[0]
