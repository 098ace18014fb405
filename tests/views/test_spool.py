from __future__ import annotations

import errno
import os
import stat

import pytest

from snapscan.model.errors import StoreError
from snapscan.views.spool import MEMORY_BYTES, Spool


@pytest.mark.parametrize("size_bytes", [0, 1, MEMORY_BYTES, MEMORY_BYTES + 1, MEMORY_BYTES + 700_000])
def test_what_was_written_is_read_back(tmp_path, size_bytes):
    data = bytes(range(251)) * (size_bytes // 251 + 1)
    data = data[:size_bytes]
    with Spool(tmp_path) as spool:
        for start in range(0, size_bytes, 300_000):
            assert spool.write(data[start : start + 300_000])
        assert spool.size_bytes == size_bytes
        assert spool.read(0, size_bytes + 10) == data
        assert spool.read(size_bytes // 2, 100) == data[size_bytes // 2 :][:100]
        assert spool.read(size_bytes, 10) == spool.read(size_bytes + 99, 10) == b""


def test_the_file_has_no_name_and_is_ours_alone(tmp_path):
    with Spool(tmp_path) as spool:
        spool.write(bytes(MEMORY_BYTES + 1))
        assert list(tmp_path.iterdir()) == []
        status = os.fstat(spool._descriptor)
        assert stat.S_IMODE(status.st_mode) == 0o600
        assert status.st_dev == tmp_path.stat().st_dev
        descriptor = spool._descriptor
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_full_disk_is_said_and_other_errors_end_the_run(tmp_path, monkeypatch):
    with Spool(tmp_path) as spool:
        spool.write(bytes(MEMORY_BYTES + 1))

        def fail(number: int):
            def pwrite(*_):
                raise OSError(number, os.strerror(number))

            return pwrite

        monkeypatch.setattr(os, "pwrite", fail(errno.ENOSPC))
        assert spool.write(b"more") is False
        monkeypatch.setattr(os, "pwrite", fail(errno.EIO))
        with pytest.raises(StoreError, match="spool-failed"):
            spool.write(b"more")
        assert spool.size_bytes == MEMORY_BYTES + 1
