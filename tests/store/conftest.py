from __future__ import annotations

import pytest

from snapscan.model.finding import Attribution, Evidence, Hit, Sighting
from snapscan.model.snapshot import SnapshotRef, SourceSpec, SourceStamp
from snapscan.store.store import Store

SIZE = 1 << 20


def make_hit(start, rule="acme.deploy-token"):
    return Hit(rule, start, 40, f"{start:064x}", "acme…", 1, (Evidence("entropy", "high", 1, "4.1 bits"),))


def make_sighting(start, rule="acme.deploy-token", **fields):
    values = {
        "fingerprint": f"{start:064x}", "rule": rule, "locator": f"raw:disk.img/ext4/srv/{start}@0+40", "path": f"/srv/{start}",
        "offset": 0, "length": 40, "space_offset": start, "owner": "file", "owner_state": "live", "mode": 0o100644, "uid": 1000,
        "mtime": 1_700_000_000, "redacted": "acme…", "confidence": 1, "attribution": Attribution(container="web"),
        "evidence": (Evidence("entropy", "high", 1),),
    }  # fmt: skip
    return Sighting(**(values | fields))


@pytest.fixture
def hit():
    return make_hit


@pytest.fixture
def sighting():
    return make_sighting


@pytest.fixture
def add_space():
    def add(store, size_bytes=SIZE):
        snapshot = SnapshotRef("raw", "guid-1", "disk.img", size_bytes)
        return store.add_space(snapshot, SourceSpec("/disk.img"), [SourceStamp("/disk.img", 1, 2, size_bytes, 3)], size_bytes)

    return add


@pytest.fixture
def case(tmp_path):
    return tmp_path / "disk.snapscan"


@pytest.fixture
def store(case):
    with Store.create(case, version="0.1", started="2026-01-01T00:00:00Z") as store:
        yield store
