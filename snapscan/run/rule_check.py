"""`rules check`: every rule keeps its own word, in all the ways in which a scan may meet its examples."""

from __future__ import annotations

import gzip
import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from snapscan.detect.chunk import Chunk, whole
from snapscan.detect.engine import Engine
from snapscan.detect.examples import fill
from snapscan.detect.match.hyperscan import HyperscanMatcher, compile_database, rejected
from snapscan.detect.match.pattern import Pattern
from snapscan.detect.match.plain import PlainMatcher
from snapscan.detect.redact import Fingerprinter
from snapscan.model.finding import Hit
from snapscan.model.rule import Rule
from snapscan.model.units import MIB, REACH_BYTES
from snapscan.model.view import Budget, ViewLimits
from snapscan.run.stream import StreamScanner
from snapscan.views.walk import walk

ORDINARY_BYTES = 16 * MIB
RAW_HITS_MOST = 4_000
"""Ends of one rule's first pass on the ordinary bytes: 250 a MiB. More cost time on every disk, whatever the exact stage makes of them."""
_SEED = "rules check"
_KEY = Fingerprinter(b"rules check: nothing is secret here")
_PAD = b"\n# " + b"filler line of plain words\n" * 400
"""More than two reaches of text that no rule matches."""


def check_rules(rules: Sequence[Rule]) -> list[str]:
    """One line `RULE: what is wrong` for each fault; empty when all is well."""
    faults: list[str] = []
    patterns = []
    for number, rule in enumerate(rules):
        pattern = Pattern(number, rule.pattern, rule.value)
        pattern.check()
        if reason := rejected(pattern):
            faults.append(f"{rule.id}: hyperscan does not take the pattern: {reason}")
        patterns.append(pattern)
    if faults:
        return faults
    fast = HyperscanMatcher(compile_database(patterns, []), patterns)
    plain = PlainMatcher(patterns)
    engine = Engine(rules, fast, _KEY)
    for rule in rules:
        faults += _rule_faults(rule, engine, fast, plain)
    ends = Counter(number for number, _ in fast.ends(ordinary_bytes()))
    for number, count in sorted(ends.items()):
        if count > RAW_HITS_MOST:
            faults.append(f"{rules[number].id}: {count} raw hits in {ORDINARY_BYTES // MIB} MiB of ordinary bytes; the most is {RAW_HITS_MOST}")
    return faults


def _rule_faults(rule: Rule, engine: Engine, fast: HyperscanMatcher, plain: PlainMatcher) -> Iterator[str]:
    for number, template in enumerate(rule.examples):
        data = b"\n" + fill(template, _SEED) + b"\n"
        where = f"{rule.id}: example {number + 1}"
        expected = _hits(engine.scan(whole(_PAD + data + _PAD)).hits, rule)
        if len(expected) != 1:
            yield f"{where} is found {len(expected)} times"
            continue
        if sorted(fast.scan(data).matches) != sorted(plain.scan(data).matches):
            yield f"{where}: the two matchers do not agree"
        value = expected[0].fingerprint
        yield from _ways(rule, where, data, value, engine)
    for number, template in enumerate(rule.counter_examples):
        data = _PAD + b"\n" + fill(template, _SEED) + b"\n" + _PAD
        if _hits(engine.scan(whole(data)).hits, rule):
            yield f"{rule.id}: counter-example {number + 1} is found"


def _ways(rule: Rule, where: str, data: bytes, value: str, engine: Engine) -> Iterator[str]:
    """Across a chunk border, as wide text, inside gzip."""
    padded = _PAD + data + _PAD
    for cut in (len(_PAD) + len(data) // 2, len(_PAD) + 2):
        if [hit.fingerprint for hit in _hits(_in_two(engine, padded, cut), rule)] != [value]:
            yield f"{where} is not found once across a chunk border"
    if "utf16" in rule.encodings:
        for encoding in ("utf-16-le", "utf-16-be"):
            text = padded.decode("latin-1").encode(encoding)
            found = [hit.fingerprint for hit in _hits(engine.scan(whole(text)).hits, rule) if hit.wide == 2]
            if found != [value]:
                yield f"{where} is not found once as {encoding}"
    if [hit.fingerprint for hit in _hits(_gunzipped(engine, gzip.compress(padded, mtime=0)), rule)] != [value]:
        yield f"{where} is not found once inside gzip"


def _hits(hits: list[Hit], rule: Rule) -> list[Hit]:
    return [hit for hit in hits if hit.rule == rule.id]


def _in_two(engine: Engine, data: bytes, cut: int) -> list[Hit]:
    """As two neighbouring chunks with the margins that the sweep gives them."""
    margin = 2 * REACH_BYTES
    view = memoryview(data)
    first = Chunk(view[: cut + margin], 0, 0, cut)
    base = max(0, cut - margin)
    second = Chunk(view[base:], base, cut - base, len(data) - base)
    return engine.scan(first).hits + engine.scan(second).hits


class _Collect:
    def __init__(self, engine: Engine) -> None:
        self.hits: list[Hit] = []
        self._stream = StreamScanner(engine)

    def begin(self, steps: object, size_hint: int) -> None:
        return

    def data(self, data: bytes, last: bool) -> None:
        for scanned in self._stream.feed(data):
            self.hits += scanned.hits

    def end(self, steps: object, decoded_bytes: int) -> None:
        for scanned in self._stream.finish():
            self.hits += scanned.hits


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size_bytes = len(data)

    def read(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]


def _gunzipped(engine: Engine, data: bytes) -> list[Hit]:
    sink = _Collect(engine)
    with tempfile.TemporaryDirectory(prefix="snapscan-") as folder:
        walk(_Bytes(data), data[:512], (), Budget(ViewLimits(), len(data)), sink, spool_folder=Path(folder))
    return sink.hits


def ordinary_bytes() -> bytes:
    """16 MiB that look like a disk and never change: prose, source, configuration, zeros, noise, in pages."""
    words = b"the of and a to in is you that it he for was on are with as his they be at one have this from or had by hot but some".split()
    code = [
        b"if (value == NULL) return -1;\n",
        b"static int name_%d(const char *key, size_t size)\n",
        b'    "key": "value", "password": null,\n',
        b"token = next(tokens)\n",
    ]
    out = bytearray()
    counter = 0
    while len(out) < ORDINARY_BYTES:
        noise = hashlib.sha512(counter.to_bytes(8, "little")).digest() * 64
        kind = counter % 4
        if kind == 0:
            page = b" ".join(words[byte % len(words)] for byte in noise[:1200])
        elif kind == 1:
            page = b"".join(code[byte % len(code)] for byte in noise[:160])
        elif kind == 2:
            page = b"".join(hashlib.sha512(noise[:8] + bytes([k])).digest() for k in range(64))
        else:
            page = bytes(4096)
        out += page[:4096].ljust(4096, b"\n")
        counter += 1
    return bytes(out[:ORDINARY_BYTES])
