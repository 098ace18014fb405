from __future__ import annotations

import random

from snapscan.maps.lvm_text import items, number, parse_text, section, word


def test_sections_assignments_lists_and_comments_are_read() -> None:
    text = '# made by hand\nvg0 {\n\tid = "Ab-1"\n\tseqno = 3\n\tstatus = ["READ", "WRITE"]\n'
    text += '\tpv { stripes = [\n"pv0", 0\n] tags=[] } # end\n}\ncreation_host = "a\\"b"'
    parsed = parse_text(text)
    group = section(parsed, "vg0")
    assert (word(group, "id"), number(group, "seqno"), items(group, "status")) == ("Ab-1", 3, ["READ", "WRITE"])
    assert items(section(group, "pv"), "stripes") == ["pv0", 0]
    assert word(parsed, "creation_host") == 'a"b'


def test_wrong_types_and_missing_names_give_nothing() -> None:
    parsed = parse_text("a = 1 b { } c = [1] d = -5")
    assert (section(parsed, "a"), number(parsed, "b"), word(parsed, "c"), items(parsed, "a"), number(parsed, "d", 7)) == ({}, 0, "", [], 7)


def test_damaged_text_never_raises() -> None:
    chance = random.Random(5)
    for _ in range(300):
        parse_text("".join(chance.choices('{}[]=,"# \nab1\\', k=200)))
    parse_text("a {" * 100_000)
    parse_text('"' * 99_999)
    parse_text("a = [" + "1," * 100_000)
    parse_text('"' + '\\"' * 500_000)  # quadratic if an open string were looked at from each quote
