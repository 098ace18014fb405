"""Second looks: an owner read as a whole, by pure inspectors (pairs, artefacts) and by YARA."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from snapscan.detect.chunk import whole
from snapscan.detect.engine import Engine
from snapscan.detect.inspect import INSPECTORS
from snapscan.detect.match.yara import ITEM_BYTES, OVERLAP_BYTES
from snapscan.detect.redact import redact
from snapscan.detect.score import confidence_of
from snapscan.model.errors import ReadFault, RuleError
from snapscan.model.finding import Confidence, Evidence, Hit, Sighting
from snapscan.model.reading import OwnerReader
from snapscan.model.units import MIB
from snapscan.model.volume import Gap
from snapscan.run.attribute import sightings_of
from snapscan.run.messages import LookItem, LookTask, Part
from snapscan.run.opened import OpenSpace
from snapscan.run.setup import Setup
from snapscan.run.sweep import Beat

INSPECTED_BYTES = 1 * MIB
"""Credential files are small; a larger owner is inspected in windows of this size, overlapping by WINDOW_OVERLAP_BYTES."""
WINDOW_OVERLAP_BYTES = 64 * 1024
HEAD_BYTES = 512


def look_again(opened: OpenSpace, task: LookTask, setup: Setup, engine: Engine, beat: Beat) -> Iterator[Part]:
    """A part for each owner: what its inspectors and YARA find, as sightings of that owner."""
    for number, item in enumerate(task.items):
        beat(number, number + 1)
        gaps: list[Gap] = []
        notes: list[str] = []
        sightings: dict[tuple[str, str, str], Sighting] = {}
        owners = opened.owners(item.volume)
        if owners is not None:
            path = owners.path(item.owner)
            reader = OwnerReader(opened.space, owners, item.owner)
            try:
                for hit in (*_inspected(path, reader, item, setup, engine), *_yara(reader, item, setup, path, gaps, notes)):
                    for sighting in _placed(opened, reader, hit):
                        sightings.setdefault((sighting.fingerprint, sighting.rule, sighting.locator), sighting)
            except ReadFault as fault:
                gaps.append(Gap("look-unread", path.decode("utf-8", "backslashreplace"), fault.message, fault.offset, fault.offset + fault.length))
        yield Part(task.id, number, number == len(task.items) - 1, sightings=tuple(sightings.values()), gaps=tuple(gaps), notes=tuple(notes))


def _inspected(path: bytes, reader: OwnerReader, item: LookItem, setup: Setup, engine: Engine) -> Iterator[Hit]:
    rules = frozenset(item.rules)
    head = reader.read(0, HEAD_BYTES)
    if not any(inspector.wants(path, head, rules) for inspector in INSPECTORS):
        return
    for base, view in _windows(reader, INSPECTED_BYTES, WINDOW_OVERLAP_BYTES):
        data = bytes(view)
        wanted = [inspector for inspector in INSPECTORS if inspector.wants(path, data[:HEAD_BYTES], rules)]
        hits = engine.scan(whole(data)).hits if wanted else []
        for inspector in wanted:
            for found in inspector.inspect(path, data, hits, setup.by_id):
                rule = setup.by_id.get(found.rule_id)
                if rule is None:
                    continue
                fingerprint = setup.fingerprinter.of(rule.fingerprint_family, found.value)
                confidence = confidence_of(rule, list(found.evidence))
                yield Hit(found.rule_id, base + found.start, found.length, fingerprint, redact(found.value), int(confidence), found.evidence)


def _yara(reader: OwnerReader, item: LookItem, setup: Setup, path: bytes, gaps: list[Gap], notes: list[str]) -> Iterator[Hit]:
    if setup.yara is None or "yara" not in item.rules:
        return
    where = path.decode("utf-8", "backslashreplace")
    if reader.size_bytes > ITEM_BYTES:
        notes.append(f"{where} is larger than {ITEM_BYTES} bytes: YARA looked at it in windows, conditions on the whole file may not hold")
    for base, data in _windows(reader, ITEM_BYTES, OVERLAP_BYTES):
        try:
            matches = setup.yara.match(data)
        except RuleError as error:
            gaps.append(Gap("yara-failed", where, error.message, base, base + len(data)))
            continue
        for match in matches:
            value = bytes(data[match.start : match.start + match.length])
            yield Hit(
                rule=match.rule,
                start=base + match.start,
                length=match.length,
                fingerprint=setup.fingerprinter.of(match.rule, path + b"\0" + value),
                redacted=f"({match.length} bytes)",
                confidence=int(Confidence.MEDIUM),
                evidence=(Evidence("yara", "matched", 0, match.rule),),
            )


def _windows(reader: OwnerReader, most: int, overlap: int) -> Iterator[tuple[int, memoryview]]:
    """The owner's bytes, whole or in overlapping windows; each view is used before the next is asked for."""
    at = 0
    while True:
        buffer = bytearray(max(0, min(most, reader.size_bytes - at)))
        with memoryview(buffer) as view:
            reader.read_into(at, view)
            yield at, view
        if at + most >= reader.size_bytes:
            return
        at += most - overlap


def _placed(opened: OpenSpace, reader: OwnerReader, hit: Hit) -> Iterator[Sighting]:
    at = reader.place(hit.start)
    if at >= 0:
        yield from sightings_of(msgspec.structs.replace(hit, start=at), opened.space_map)
