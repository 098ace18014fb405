"""An AWS key id and its secret, which stands near it without a name."""

from __future__ import annotations

from snapscan.detect.examples import fill
from snapscan.detect.inspect.pairs import inspect, wants
from snapscan.detect.rules import builtin_rules_folder, load_rules
from snapscan.model.finding import Hit

RULES = {rule.id: rule for rule in load_rules([builtin_rules_folder() / "secrets" / "aws.yml"])}
ID = fill("${akia:AKIA}", "seed")
SECRET = fill("${base64:40}", "seed").replace(b"/", b"7")


def hits(data: bytes) -> list[Hit]:
    start = data.find(ID)
    return [Hit("aws.access-key-id", start, 20, "f", "r", 1)] if start >= 0 else []


def spans(data: bytes) -> list[tuple[int, int, str]]:
    return [(found.start, found.length, found.rule_id) for found in inspect(b"", data, hits(data), RULES)]


def test_owner_with_a_key_id_is_wanted() -> None:
    assert wants(b"/a", b"", {"aws.access-key-id"})
    assert not wants(b"/a", b"", {"github.token"})


def test_secret_in_a_csv_without_a_name_is_found() -> None:
    data = b"User name,Access key ID,Secret access key\nops," + ID + b"," + SECRET + b"\n"
    assert spans(data) == [(data.find(SECRET), 40, "aws.secret-access-key")]


def test_secret_before_its_id_is_found() -> None:
    assert spans(SECRET + b"\n" + ID) == [(0, 40, "aws.secret-access-key")]


def test_the_nearest_secret_is_taken() -> None:
    other = fill("${base64:40}", "other").replace(b"/", b"7")
    data = other + b" " * 400 + ID + b" " + SECRET
    assert spans(data) == [(data.find(SECRET), 40, "aws.secret-access-key")]


def test_secret_out_of_reach_is_left() -> None:
    reach = RULES["aws.access-key-id"].pair_within
    assert spans(ID + b" " * reach + SECRET) == []
    assert len(spans(ID + b" " * (reach - 40) + SECRET)) == 1


def test_digests_paths_words_and_longer_runs_are_no_secrets() -> None:
    for near in (
        fill("${hex:40}", "seed"),
        b"usr/share/doc/libreoffice/common/READMEa",
        b"a" * 40,
        SECRET + b"x",
        b"AbcdefghijKlmnopqrstUvwxyzabcdEfghijklmn",
    ):
        assert spans(ID + b" " + near + b" ") == [], near


def test_the_found_value_says_how_near_the_id_is() -> None:
    (found,) = inspect(b"", ID + b"::" + SECRET, hits(ID), RULES)
    assert found.value == SECRET
    assert found.evidence[0].note == "2 bytes from a key id"


def test_many_ids_and_candidates_are_bounded() -> None:
    data = (ID + b"\n") * 20_000
    many = [Hit("aws.access-key-id", at * 21, 20, "f", "r", 1) for at in range(20_000)]
    assert inspect(b"", data, many, RULES) == []
