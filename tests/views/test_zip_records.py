from __future__ import annotations

import io
import random
import zipfile

from snapscan.views import zip_records as records
from snapscan.views.cursor import Cursor


def archive(count: int, comment: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        target.comment = comment
        for number in range(count):
            target.writestr(f"name{number}", b"content %d" % number)
    return out.getvalue()


def test_the_directory_and_its_entries_are_found(make_reader):
    data = archive(3, b"a comment")
    cursor = Cursor(make_reader(data))
    directory = records.find_directory(cursor)
    assert directory == records.Directory(data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06"), 3, 0)
    entries = list(records.central_entries(cursor, directory))
    assert [entry.name for entry in entries] == [b"name0", b"name1", b"name2"]
    for entry in entries:
        local = records.local_header(cursor, entry.offset)
        assert local._replace(data=0) == entry
        assert data[local.data :].startswith(b"content")


def test_the_base_says_how_far_offsets_are_shifted(make_reader):
    data = archive(2)
    assert records.find_directory(Cursor(make_reader(b"#!/bin/sh\n" + data))).base == 10
    second = data.index(b"PK\x03\x04", 4)
    assert records.find_directory(Cursor(make_reader(data[second:]))).base == -second


def test_a_file_without_a_directory_has_none(make_reader):
    data = archive(2)
    assert records.find_directory(Cursor(make_reader(data[: data.index(b"PK\x05\x06")]))) is None
    assert records.find_directory(Cursor(make_reader(b"PK\x05\x06" + b"\xff" * 18))) is None
    assert records.find_directory(Cursor(make_reader(b""))) is None


def test_more_than_65535_members_are_counted_with_zip64(make_reader):
    data = archive(66_000)
    cursor = Cursor(make_reader(data))
    directory = records.find_directory(cursor)
    assert directory.members == 66_000 and directory.base == 0
    assert sum(1 for _ in records.central_entries(cursor, directory)) == 66_000


def test_a_directory_is_stepped_over_to_its_end(make_reader):
    data = archive(3, b"a comment")
    cursor = Cursor(make_reader(data + b"behind"), data.index(b"PK\x01\x02"))
    steps = 0
    while records.skip_directory(cursor):
        steps += 1
    assert steps == 4 and cursor.read(10) == b"behind"


def test_damage_in_records_never_raises(make_reader):
    dice = random.Random(5)
    good = archive(3)
    for _ in range(3000):
        data = bytearray(good)
        for _ in range(dice.randint(1, 6)):
            data[dice.randrange(len(data))] = dice.choice((0, 0xFF, dice.randrange(256)))
        cursor = Cursor(make_reader(bytes(data)))
        directory = records.find_directory(cursor)
        if directory is not None:
            list(records.central_entries(cursor, directory))
        records.local_header(cursor, dice.randrange(len(data)))
