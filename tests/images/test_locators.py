"""Every locator of a report leads back to the bytes that it names: what `snapscan show --reveal` prints is what was planted."""

from __future__ import annotations

import pytest

from snapscan.detect.redact import Fingerprinter
from snapscan.model.errors import LocatorError
from snapscan.model.locator import parse
from snapscan.run.resolve import bytes_at, open_record, record_of
from snapscan.store.store import Store

pytestmark = pytest.mark.images


def test_every_locator_of_a_planted_secret_leads_to_its_value(build, scanner):
    raw, manifest = build("small")
    scan = scanner.scan(raw)
    key = Fingerprinter(scanner.key_file.read_bytes())
    values = {key.of(s["family"], s["named_by"].encode("latin-1")): s for s in manifest["secrets"]}
    wrong = []
    with Store.open_read_only(scan.case) as case:
        for sighting in scan.of("sighting"):
            secret = values.get(sighting["fingerprint"])
            if secret is None or (secret["how"] == "borders" and sighting["offset"] % 7):
                continue
            locator = parse(sighting["locator"])
            assert str(locator) == sighting["locator"]
            opened = open_record(case, record_of(case, locator))
            try:
                value = bytes_at(opened, locator)
            except LocatorError as error:
                wrong.append(f"{secret['number']} {secret['how']}: {sighting['locator']}: {error.reference}")
                continue
            finally:
                opened.close()
            wanted = secret["value"].encode("latin-1")
            if value not in (wanted, b"\0".join(bytes((byte,)) for byte in wanted)):
                wrong.append(f"{secret['number']} {secret['how']}: {sighting['locator']}: other bytes")
    assert "\n".join(wrong) == ""


def test_show_prints_the_value_only_when_told_to_reveal_it(build, scanner):
    raw, manifest = build("demo")
    scan = scanner.scan(raw)
    (secret,) = [s for s in manifest["secrets"] if s["how"] == "plain" and s["rule"] == "github.token"]
    (sighting,) = [s for s in scan.of("sighting") if s["rule"] == "github.token"]
    assert secret["value"] in scanner.command("show", scan.case, sighting["locator"], "--reveal").stdout
    assert secret["value"] not in scanner.command("show", scan.case, sighting["locator"]).stdout
