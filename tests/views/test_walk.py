from __future__ import annotations

import gzip
import io
import struct
import tarfile
import tracemalloc
import zipfile
import zlib

import pytest

from snapscan.model.errors import StoreError
from snapscan.model.locator import ViewStep
from snapscan.model.view import Budget, ViewLimits
from snapscan.views.spool import MEMORY_BYTES, Spool
from snapscan.views.walk import walk


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members:
            target.writestr(name, content)
    return out.getvalue()


def tarred(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as target:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            target.addfile(info, io.BytesIO(content))
    return out.getvalue()


def gzip_of_zeros(size_bytes: int) -> bytes:
    """A gzip of so many zeros, made by repeating 64 MiB of them."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = compressor.compress(bytes(64 << 20)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block * (size_bytes >> 26) + b"\x03\0" + struct.pack("<II", 0, size_bytes & 0xFFFFFFFF)


def test_a_zip_in_a_tar_gz_in_a_zip_is_read_to_the_bottom(look, text):
    inner = zipped(("deep.txt", text))
    tar = tarred(("inner.zip", inner), ("plain", b"in the tar"))
    outer = zipped(("site.tgz", gzip.compress(tar)), ("readme", b"in the zip"))
    seen = look(outer)
    site = ("zip", b"site.tgz")
    assert seen.members == {
        (site,): seen.members[(site,)],
        (site, ("gzip", b"")): tar,
        (site, ("gzip", b""), ("tar", b"inner.zip")): inner,
        (site, ("gzip", b""), ("tar", b"inner.zip"), ("zip", b"deep.txt")): text,
        (site, ("gzip", b""), ("tar", b"plain")): b"in the tar",
        (("zip", b"readme"),): b"in the zip",
    }
    assert gzip.decompress(seen.members[(site,)]) == tar
    assert [(fate.kind, len(fate.steps), fate.outcome) for fate in seen.fates] == [
        ("zip", 0, "opened"),
        ("gzip", 1, "opened"),
        ("tar", 2, "opened"),
        ("zip", 3, "opened"),
    ]
    assert all(seen.whole.values())


def test_content_that_is_no_view_has_no_fate(look):
    seen = look(b"PASSWORD=x\n" * 100)
    assert seen.fates == [] and seen.members == {}
    assert look(b"").fates == []


def test_steps_of_the_caller_come_first(make_reader, tmp_path, counting):
    data = zipped(("a", b"content"))
    begun = []
    counting.begin = lambda steps, hint: begun.append((steps, hint))
    (fate,) = walk(make_reader(data), data[:512], (ViewStep("base64"),), Budget(ViewLimits(), len(data)), counting, spool_folder=tmp_path)
    assert begun == [((ViewStep("base64"), ViewStep("zip", b"a")), 7)]
    assert fate.steps == (ViewStep("base64"),) and fate.stored_bytes == len(data)


def test_views_deeper_than_the_limit_have_a_fate_and_are_not_opened(look):
    data = b"the core"
    for level in range(10):
        data = gzip.compress(data, level % 9 + 1)
    seen = look(data)
    assert len(seen.members) == 8
    assert [fate.reason for fate in seen.fates] == [""] * 8 + ["depth-limit"]
    last = seen.fates[-1]
    assert (last.kind, last.outcome, last.decoded_bytes, len(last.steps)) == ("gzip", "refused", 0, 8)


def test_the_depth_limit_can_be_one(look):
    data = gzip.compress(gzip.compress(gzip.compress(b"x")))
    seen = look(data, depth=1)
    assert [(fate.reason, len(fate.steps)) for fate in seen.fates] == [("", 0), ("depth-limit", 1)]


def test_a_truncated_tar_gz_gives_the_members_before_the_cut(look, text):
    data = gzip.compress(tarred(("first", b"1" * 1000), ("second", text)))
    seen = look(data[: len(data) // 2])
    tar_members = {names[-1][1]: content for names, content in seen.members.items() if names[-1][0] == "tar"}
    assert tar_members[b"first"] == b"1" * 1000
    assert text.startswith(tar_members[b"second"]) and len(tar_members[b"second"]) > len(text) // 3
    assert [(fate.kind, fate.outcome, fate.reason) for fate in seen.fates] == [("gzip", "partly", "truncated"), ("tar", "partly", "truncated")]


def test_a_member_bigger_than_the_memory_part_is_spooled_to_a_nameless_file(look, tmp_path):
    big = bytes(range(256)) * (MEMORY_BYTES // 256 + 4096)
    seen = look(gzip.compress(tarred(("big", big), ("small", b"behind")), 1))
    assert seen.named[b"big"] == big and seen.named[b"small"] == b"behind"
    assert [fate.outcome for fate in seen.fates] == ["opened", "opened"]


def test_a_bomb_of_ten_gibibytes_stops_within_budget_and_constant_memory(look, counting):
    bomb = gzip_of_zeros(10 << 30)
    tracemalloc.start()
    try:
        seen = look(bomb, sink=counting, decoded_bytes=256 << 20)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "expansion-limit")
    assert (256 << 20) <= counting.decoded_bytes <= (256 << 20) + (256 << 10)
    assert peak_bytes < 4 << 20


def test_a_bomb_of_nested_archives_shares_one_budget(look, counting):
    layer = zipped(*((f"zeros{number}", bytes(4 << 20)) for number in range(16)))
    for _ in range(3):
        layer = zipped(*((f"{number}.zip", layer) for number in range(16)))
    seen = look(layer, sink=counting, decoded_bytes=32 << 20)
    assert (32 << 20) <= counting.decoded_bytes <= (33 << 20)
    assert seen.fate.outcome == "partly" and {fate.reason for fate in seen.fates} == {"expansion-limit"}


def test_a_nested_view_that_the_budget_leaves_no_room_for_has_a_fate(look):
    inner = gzip.compress(bytes(300_000), 0)
    seen = look(zipped(("a.gz", inner)), decoded_bytes=len(inner) - 1)
    assert [(fate.kind, fate.outcome, fate.reason) for fate in seen.fates] == [
        ("zip", "partly", "expansion-limit"),
        ("gzip", "refused", "expansion-limit"),
    ]


def test_no_time_left_refuses_a_view_and_gives_nothing(look, text):
    seen = look(gzip.compress(text), seconds=-1)
    assert seen.members == {}
    assert (seen.fate.outcome, seen.fate.reason) == ("refused", "time-limit")


def test_time_that_runs_out_stops_a_view_that_decodes_nothing(look):
    empty = gzip.compress(b"")
    seen = look(empty * 200_000, seconds=0.05)
    assert seen.fate.reason == "time-limit"


def test_a_full_disk_refuses_the_inner_view_and_the_scan_goes_on(look, monkeypatch):
    monkeypatch.setattr(Spool, "write", lambda self, data: False)
    seen = look(zipped(("a.gz", gzip.compress(b"x")), ("b", b"fine")))
    assert seen.named[b"b"] == b"fine"
    assert [(fate.kind, fate.reason) for fate in seen.fates] == [("zip", ""), ("gzip", "memory-limit")]


def test_a_spool_folder_that_is_missing_ends_the_run(make_reader, tmp_path, counting):
    data = gzip.compress(tarred(("big", bytes(MEMORY_BYTES + 1))))
    with pytest.raises(StoreError, match="spool-failed"):
        walk(make_reader(data), data[:512], (), Budget(ViewLimits(), len(data)), counting, spool_folder=tmp_path / "missing")


def test_what_a_sink_raises_is_passed_on(make_reader, tmp_path, counting):
    data = zipped(("a", b"content"))

    def refuse(data: bytes, last: bool) -> None:
        raise KeyboardInterrupt

    counting.data = refuse
    with pytest.raises(KeyboardInterrupt):
        walk(make_reader(data), data[:512], (), Budget(ViewLimits(), len(data)), counting, spool_folder=tmp_path)
