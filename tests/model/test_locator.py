from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapscan.model.errors import LocatorError
from snapscan.model.locator import FILESYSTEMS, Locator, ViewStep, parse, quote, unquote

ALL_BYTES = bytes(range(256))

names = st.binary(max_size=40)
components = st.binary(min_size=1, max_size=20).map(lambda b: b.replace(b"/", b"_"))
volume_names = components.map(lambda b: b.decode("utf-8", "surrogateescape"))
steps = st.tuples(st.sampled_from(["part", "lvm", "disk", "raid"]), volume_names).map(lambda s: f"{s[0]}:{s[1]}")
views = st.lists(st.builds(ViewStep, st.sampled_from(["gzip", "zip", "tar", "sqlite"]), names), max_size=3).map(tuple)
places = {
    "label": names,
    "state": names,
    "views": views,
    "offset": st.integers(0, 2**63 - 1),
    "length": st.integers(0, 2**40),
    "in_space": st.booleans(),
}
on_disks = st.builds(
    Locator,
    kind=st.sampled_from(["qcow2", "raw", "vmdk", "ebs"]),
    volume=st.lists(steps, max_size=3).map("/".join),
    filesystem=st.sampled_from(sorted(FILESYSTEMS)),
    path=st.lists(names.map(lambda b: b.replace(b"/", b"_")), max_size=4).map(b"/".join),
    **places,
)
in_folders = st.builds(Locator, kind=st.just("folder"), path=st.lists(components, min_size=1, max_size=4).map(b"/".join), **places)


@given(on_disks | in_folders)
def test_every_locator_is_parsed_back_to_the_same_record_and_the_same_line(locator):
    line = str(locator)
    assert line.isprintable()
    assert " " not in line
    assert parse(line) == locator
    assert str(parse(line)) == line


@given(st.binary(max_size=200))
def test_quoted_bytes_come_back_exactly(name):
    assert unquote(quote(name)) == name


def test_a_name_of_every_byte_value_survives_in_each_part_of_a_locator():
    name = ALL_BYTES.replace(b"/", b"")
    locator = Locator(
        kind="qcow2", label=ALL_BYTES, state=ALL_BYTES, volume="lvm:" + name.decode("utf-8", "surrogateescape"), filesystem="ext4",
        path=b"/".join((name, ALL_BYTES)), views=(ViewStep("zip", ALL_BYTES),), offset=1, length=2,
    )  # fmt: skip
    assert parse(str(locator)) == locator


@pytest.mark.parametrize(
    ("line", "path", "filesystem", "volume", "in_space"),
    [
        ("qcow2:disk.qcow2/part:1/ext4/srv/app/.env@118+40", b"srv/app/.env", "ext4", "part:1", False),
        ("qcow2:disk.qcow2/part:1/ext4/free@0x4412000+40", b"free", "ext4", "part:1", True),
        ("raw:disk.img/ext4/etc/shadow@0+9", b"etc/shadow", "ext4", "", False),
        ("raw:disk.img/part:2/lvm:vg0-root/xfs/root/.ssh/id@0+9", b"root/.ssh/id", "xfs", "part:2/lvm:vg0-root", False),
        ("folder:app/ext4/notes@0+9", b"ext4/notes", "", "", False),
        ("folder:app/part:1/notes@0+9", b"part:1/notes", "", "", False),
        ("folder:app/srv/ext4@0+9", b"srv/ext4", "", "", False),
    ],
)
def test_the_parts_of_a_line_are_told_apart(line, path, filesystem, volume, in_space):
    locator = parse(line)
    assert (locator.path, locator.filesystem, locator.volume, locator.in_space) == (path, filesystem, volume, in_space)
    assert str(locator) == line


def test_the_state_and_the_views_are_read():
    locator = parse("qcow2:disk.qcow2%state:before%20upgrade/part:1/ext4/a.zip!zip:db%2Fx.sql!gzip:@9+4")
    assert locator.state == b"before upgrade"
    assert locator.views == (ViewStep("zip", b"db/x.sql"), ViewStep("gzip", b""))
    assert locator.path == b"a.zip"


def test_control_characters_and_bidi_overrides_do_not_reach_a_terminal():
    assert quote("a\u202eb\x1b[31m".encode()) == "a%E2%80%AEb%1B[31m"


def test_readable_names_stay_readable():
    assert quote("Übersicht-日本.txt".encode()) == "Übersicht-日本.txt"


@pytest.mark.parametrize(
    "line",
    [
        "", "x", "qcow2:disk", "qcow2:disk@", "qcow2:disk@1", "qcow2:disk@1+", "qcow2:disk@-1+2", "qcow2:disk@0xZZ+2", "qcow2:a%zz@1+2",
        "qcow2:a/b%4@1+2", "qcow2:a/b!zip@1+2", "qcow2:a/b@1+2@3+4", "qcow2:a@1+2\n", "qcow2:a@\u0661+2", "Qcow2:a@1+2", "/etc/passwd",
    ],
)  # fmt: skip
def test_what_is_not_a_locator_is_refused_by_name(line):
    with pytest.raises(LocatorError) as error:
        parse(line)
    assert error.value.reference == "locator-syntax"


@given(st.text(max_size=60))
def test_no_text_makes_the_parser_fail_in_another_way(text):
    try:
        parse(text)
    except LocatorError:
        pass
