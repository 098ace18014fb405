from __future__ import annotations

import lzma
import os
import random
import struct
import subprocess
from pathlib import Path

import pytest
import zstandard

from snapscan.views.journal import Journal

REMOTE = Path("/lib/systemd/systemd-journal-remote")
VALUES = {
    1: lambda data: lzma.compress(data),
    2: lambda data: struct.pack("<Q", len(data)) + literal_block(data),
    4: lambda data: zstandard.compress(data),
}


def literal_block(data: bytes) -> bytes:
    """An LZ4 block of literals only."""
    assert len(data) >= 15
    left = len(data) - 15
    return b"\xf0" + b"\xff" * (left // 255) + bytes([left % 255]) + data


def data_object(payload: bytes, flags: int, compact: bool = False) -> bytes:
    size = (72 if compact else 64) + len(payload)
    return struct.pack("<BB6xQ", 1, flags, size) + bytes(56 if compact else 48) + payload + bytes(-size % 8)


def journal(*objects: bytes, flags: int = 0, ahead: int = 4096) -> bytes:
    arena = b"".join(objects) + bytes(ahead)
    return b"LPKSHHRH" + struct.pack("<II", 0, flags) + bytes(72) + struct.pack("<QQ", 256, len(arena)) + bytes(152) + arena


@pytest.mark.skipif(not REMOTE.exists(), reason="needs systemd-journal-remote")
@pytest.mark.parametrize("compact", ["0", "1"])
def test_long_values_of_a_real_journal_are_given(look, tmp_path, compact):
    entries = []
    for number in range(20):
        message = f"message {number} " + f"word{number} " * 200 * (number % 3)
        entries.append(f"__REALTIME_TIMESTAMP={1700000000000000 + number}\n_BOOT_ID={'1' * 32}\nMESSAGE={message}\n\n")
    path = tmp_path / "a.journal"
    environment = {**os.environ, "SYSTEMD_JOURNAL_COMPACT": compact}
    done = subprocess.run([REMOTE, "-o", str(path), "-"], input="".join(entries).encode(), capture_output=True, env=environment)
    if done.returncode:
        pytest.skip("systemd-journal-remote does not run here")
    seen = look(path.read_bytes())
    values = seen.named[b"values"].splitlines()
    assert values == [f"MESSAGE=message {n} ".encode() + f"word{n} ".encode() * 200 * (n % 3) for n in range(20) if n % 3]
    assert (seen.fate.outcome, seen.fate.reason) == ("opened", "")


@pytest.mark.parametrize("compression", VALUES)
@pytest.mark.parametrize("compact", [False, True])
def test_each_compression_is_undone(look, compression, compact):
    long = b"MESSAGE=" + b"abc " * 1000
    pack = VALUES[compression]
    data = journal(
        data_object(pack(long), compression, compact),
        data_object(b"PLAIN=1", 0, compact),
        data_object(pack(b"SECOND=" + long), compression, compact),
        flags=compact << 4,
    )
    seen = look(data)
    assert seen.named == {b"values": long + b"\nSECOND=" + long + b"\n"}
    assert (seen.fate.outcome, seen.fate.reason) == ("opened", "")


def test_a_journal_without_compressed_values_has_no_member(look):
    seen = look(journal(data_object(b"PLAIN=1", 0)))
    assert seen.members == {} and seen.fate.outcome == "opened"


def test_a_damaged_value_costs_no_other(look):
    bad = bytearray(zstandard.compress(b"x" * 1000))
    bad[6] ^= 0xFF
    good = data_object(zstandard.compress(b"GOOD=" + b"y" * 1000), 4)
    seen = look(journal(data_object(bytes(bad), 4), good, data_object(b"?" * 50, 8), good))
    assert seen.named[b"values"].count(b"GOOD=") == 2
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "unsupported")


def test_cut_and_damaged_journals_say_so(look):
    data = journal(*[data_object(zstandard.compress(b"V=" + bytes([65 + n]) * 1000), 4) for n in range(10)])
    seen = look(data[: 256 + 300])
    assert b"V=AAA" in seen.named[b"values"] and seen.fate.reason == "truncated"
    assert look(journal(data_object(b"a", 0), b"\x01" + bytes(15))).fate.reason == "damaged"
    assert look(journal(struct.pack("<BB6xQ", 1, 4, 2**63))).fate.reason == "truncated"
    assert look(journal(flags=0x100)).fate.reason == "unsupported"
    assert look(journal(data_object(struct.pack("<Q", 2**40) + b"\0" * 20, 2))).fate.reason == "memory-limit"


def test_random_damage_never_raises(look):
    dice = random.Random(12)
    good = journal(*[data_object(pack(b"V=" + b"text " * 200), flag) for flag, pack in VALUES.items()])
    for _ in range(400):
        data = bytearray(good[: dice.randrange(300, len(good))] if dice.random() < 0.2 else good)
        for _ in range(dice.randint(1, 5)):
            data[dice.randrange(8, len(data)) if dice.random() < 0.7 else dice.randrange(256, 280)] = dice.randrange(256)
        look(bytes(data), seconds=5)


def test_recognition_looks_at_the_header_s_length():
    assert Journal().recognise(journal()[:512])
    assert not Journal().recognise(b"LPKSHHRH" + bytes(500)) and not Journal().recognise(b"LPKSHHRH")
