from __future__ import annotations

import random
import shutil
import struct
import subprocess

import pytest

from snapscan.views.regf import Regf


class Hive:
    """A hive made by hand: cells one behind the other, places relative to the first bin."""

    def __init__(self) -> None:
        self.cells = bytearray(32)

    def cell(self, content: bytes) -> int:
        place = len(self.cells)
        size = (len(content) + 4 + 7) // 8 * 8
        self.cells += struct.pack("<i", -size) + content + bytes(size - 4 - len(content))
        return place

    def key(
        self, name: bytes, subkeys: int = 0xFFFFFFFF, values: tuple[int, ...] = (), *, flags: int = 0x20, count: int = 0, security: int = 0xFFFFFFFF
    ) -> int:
        values_place = self.cell(struct.pack(f"<{len(values)}I", *values)) if values else 0xFFFFFFFF
        head = struct.pack("<2sHQIIIIIIII", b"nk", flags, 0, 0, 0, count, 0, subkeys, 0xFFFFFFFF, len(values), values_place)
        return self.cell(head + struct.pack("<II", security, 0xFFFFFFFF) + bytes(20) + struct.pack("<HH", len(name), 0) + name)

    def value(self, name: bytes, kind: int, data: bytes) -> int:
        if len(data) <= 4:
            size, place = len(data) | 0x80000000, int.from_bytes(data.ljust(4, b"\0"), "little")
        elif len(data) <= 16_344:
            size, place = len(data), self.cell(data)
        else:
            pieces = [self.cell(data[at : at + 16_344] + bytes(4)) for at in range(0, len(data), 16_344)]
            places = self.cell(struct.pack(f"<{len(pieces)}I", *pieces))
            size, place = len(data), self.cell(struct.pack("<2sHI", b"db", len(pieces), places))
        return self.cell(struct.pack("<2sHIIIHH", b"vk", len(name), size, place, kind, 1, 0) + name)

    def fast(self, *keys: int) -> int:
        return self.cell(struct.pack("<2sH", b"lf", len(keys)) + b"".join(struct.pack("<I4s", key, b"hash") for key in keys))

    def bytes(self, root: int) -> bytes:
        size = (len(self.cells) + 4 + 4095) // 4096 * 4096
        free = size - len(self.cells)
        bins = bytearray(self.cells) + struct.pack("<i", free) + bytes(free - 4)
        bins[:32] = struct.pack("<4sIIQQI", b"hbin", 0, size, 0, 0, 0)
        base = struct.pack("<4sIIQIIIIIII", b"regf", 1, 1, 0, 1, 5, 0, 1, root, size, 1).ljust(508, b"\0")
        checksum = 0
        for (word,) in struct.iter_unpack("<I", base):
            checksum ^= word
        return (base + struct.pack("<I", checksum)).ljust(4096, b"\0") + bins


def wide(text: str) -> bytes:
    return (text + "\0").encode("utf-16-le")


def sample() -> bytes:
    hive = Hive()
    values = (hive.value(b"Password", 1, wide("hünter2")), hive.value(b"Port", 4, struct.pack("<I", 8080)), hive.value(b"Hosts", 7, wide("a\0b\0")))
    inner = hive.key("Größe".encode("utf-16-le"), values=(hive.value(b"", 2, wide("%PATH%")), hive.value(b"Skip", 3, b"binary")), flags=0)
    app = hive.key(b"App", hive.fast(inner), values)
    big = hive.key(b"Big", values=(hive.value(b"Long", 1, wide("x" * 20_000)), hive.value(b"Blob", 3, b"\x01\xff" * 10_000)))
    return hive.bytes(hive.key(b"ROOT", hive.fast(app, big), flags=0x2C))


def test_values_are_lines_of_path_name_and_value(look):
    seen = look(sample())
    lines = seen.named[b"values"].split(b"\n")
    assert lines[:4] == [
        b"\\App: Password = " + "hünter2".encode(),
        b"\\App: Port = 8080",
        b"\\App: Hosts = a b",
        b"\\App\\" + "Größe".encode() + b": (default) = %PATH%",
    ]
    assert lines[4:] == [b"\\Big: Long = " + b"x" * 20_000, b"\\Big: Blob = " + b"\x01\xff" * 10_000, b""]
    assert (seen.fate.outcome, seen.fate.reason) == ("opened", "")


@pytest.mark.skipif(shutil.which("hivexsh") is None, reason="needs hivexsh")
def test_a_hive_that_hivex_wrote_is_read(look, tmp_path):
    hive = Hive()
    security = hive.cell(struct.pack("<2sHIIII", b"sk", 0, 32, 32, 1, 4) + bytes(12))
    path = tmp_path / "hive"
    path.write_bytes(hive.bytes(hive.key(b"ROOT", flags=0x2C, security=security)))
    keys = "".join(
        f"cd \\\nadd Key{number}\ncd Key{number}\nsetval 2\nToken{number}\nstring:value {number}\nCount\ndword:{number}\n" for number in range(300)
    )
    done = subprocess.run(["hivexsh", "-w", str(path)], input=(keys + "commit\nquit\n").encode(), capture_output=True)
    assert done.returncode == 0, done.stderr
    seen = look(path.read_bytes())
    expected = {line for n in range(300) for line in (b"\\Key%d: Token%d = value %d" % (n, n, n), b"\\Key%d: Count = %d" % (n, n))}
    assert set(seen.named[b"values"].splitlines()) == expected
    assert (seen.fate.outcome, seen.fate.reason) == ("opened", "")


def test_lists_that_lead_back_end(look):
    hive = Hive()
    place = len(hive.cells)
    indirect = hive.cell(struct.pack("<2sHI", b"ri", 1, place))
    assert indirect == place
    first = hive.key(b"Loop", indirect)
    again = hive.fast(first, first, hive.key(b"Fine", values=(hive.value(b"a", 1, wide("good")),)))
    seen = look(hive.bytes(hive.key(b"ROOT", again)))
    assert seen.named[b"values"] == b"\\Fine: a = good\n" and seen.fate.reason == "damaged"


def test_a_key_below_itself_is_given_once(look):
    hive = Hive()
    data = hive.key(b"A", values=(hive.value(b"a", 1, wide("good")),))
    listed = hive.fast(data)
    struct.pack_into("<I", hive.cells, data + 4 + 28, listed)
    assert look(hive.bytes(hive.key(b"ROOT", listed))).named[b"values"] == b"\\A: a = good\n"


def test_a_cut_hive_gives_what_is_there(look):
    data = sample()
    seen = look(data[: 4096 + 1000])
    assert seen.fate.reason == "truncated" and seen.fate.outcome in ("partly", "refused")
    assert look(data[:100]).fate.reason == "truncated"


def test_sizes_out_of_range_are_refused(look):
    hive = Hive()
    value = hive.cell(struct.pack("<2sHIIIHH", b"vk", 1, 0x7FFFFFF0, 32, 1, 1, 0) + b"n")
    other = hive.value(b"fine", 1, wide("good"))
    seen = look(hive.bytes(hive.key(b"ROOT", values=(value, other))))
    assert seen.named[b"values"] == b": fine = good\n" and seen.fate.reason == "memory-limit"


def test_random_damage_never_raises(look):
    dice = random.Random(12)
    good = sample()
    for _ in range(300):
        data = bytearray(good[: dice.randrange(600, len(good))] if dice.random() < 0.2 else good)
        for _ in range(dice.randint(1, 8)):
            data[dice.randrange(4096, min(5200, len(data))) if len(data) > 4100 and dice.random() < 0.8 else dice.randrange(36, len(data))] = (
                dice.randrange(256)
            )
        look(bytes(data), seconds=5)


def test_recognition_leaves_transaction_logs_out():
    data = sample()
    assert Regf().recognise(data[:512]) and not Regf().recognise(data[:28] + b"\6" + data[29:512]) and not Regf().recognise(data[:40])
