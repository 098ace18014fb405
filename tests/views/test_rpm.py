from __future__ import annotations

import shutil
import struct
import subprocess

import pytest

from snapscan.views.rpm import Rpm

SPEC = """
Name: sample
Version: 1
Release: 1
Summary: a sample
License: none
BuildArch: noarch
%define _binary_payload {payload}
%description
A sample.
%install
mkdir -p %{{buildroot}}/etc
cp {source} %{{buildroot}}/etc/sample.conf
%files
/etc/sample.conf
"""


@pytest.mark.skipif(shutil.which("rpmbuild") is None, reason="needs rpmbuild")
@pytest.mark.parametrize("payload", ["w9.gzdio", "w3.zstdio", "w6.xzdio", "w9.bzdio"])
def test_a_package_is_read_to_the_bottom(look, tmp_path, text, payload):
    (tmp_path / "source").write_bytes(text)
    (tmp_path / "sample.spec").write_text(SPEC.format(payload=payload, source=tmp_path / "source"))
    command = [
        "rpmbuild",
        "-bb",
        "--quiet",
        "--define",
        f"_topdir {tmp_path}/top",
        "--define",
        f"_dbpath {tmp_path}/db",
        str(tmp_path / "sample.spec"),
    ]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "top" / "RPMS").rglob("*.rpm")
    data = path.read_bytes()
    seen = look(data)
    assert seen.named[b"./etc/sample.conf"] == text
    assert [fate.outcome for fate in seen.fates] == ["opened"] * 3
    for cut in (100, 200, 500, len(data) - 100):
        assert {fate.reason for fate in look(data[:cut]).fates} & {"truncated"}, cut


def test_headers_that_lie_end_the_view(look):
    lead = b"\xed\xab\xee\xdb" + bytes(92)
    seen = look(lead + b"\x8e\xad\xe8\x01" + bytes(4) + struct.pack(">II", 0xFFFFFFFF, 0xFFFFFFFF) + bytes(1000))
    assert (seen.fate.outcome, seen.fate.reason) == ("refused", "truncated")
    seen = look(lead + b"\x8e\xad\xe8\x01" + bytes(12) + bytes(1000))
    assert (seen.fate.outcome, seen.fate.reason) == ("refused", "damaged")
    assert not Rpm().recognise(lead + bytes(16))
