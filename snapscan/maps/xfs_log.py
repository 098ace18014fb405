"""Whether an XFS log was left clean: its last record says so. Source: fs/xfs/libxfs/xfs_log_format.h and xfs_log_recover.c."""

from __future__ import annotations

import numpy as np

from snapscan.maps.map_task import MapTask

BLOCK = 512
LOG_BYTES_MOST = 2 << 30
"""The largest log that XFS makes is just under 2 GiB."""
_MAGIC = 0xFEEDBABE
_CHUNK = 8 << 20
_UNMOUNT = 0x20


def is_clean(task: MapTask, start: int, length: int) -> bool | None:
    """True if the newest record of the log is the mark of an unmount; None if no record was found. Raises MapStopped.

    Each 512-byte block begins with the number of its round through the log (in a record's header it follows the magic), so the newest
    record is the last one of the highest round.
    """
    newest = (-1, -1)
    for at in range(0, min(length, LOG_BYTES_MOST), _CHUNK):
        task.visit()
        raw = task.read(start + at, min(_CHUNK, length - at))
        words = np.frombuffer(raw[: len(raw) // BLOCK * BLOCK], dtype=">u4").reshape(-1, BLOCK // 4)
        for k in np.flatnonzero(words[:, 0] == _MAGIC).tolist():
            newest = max(newest, (int(words[k, 1]), start + at + k * BLOCK))
    if newest[0] < 0:
        return None
    header = task.read(newest[1], BLOCK)
    # of the record header: the number of operations at 40, the size of a header at 320 where the log is of version 2
    operations = int.from_bytes(header[40:44], "big")
    version, header_bytes = int.from_bytes(header[8:12], "big"), int.from_bytes(header[320:324], "big")
    blocks = max(1, -(-header_bytes // (32 << 10))) if version & 2 else 1
    operation = task.read(newest[1] + blocks * BLOCK, 12)
    return operations == 1 and len(operation) == 12 and bool(operation[9] & _UNMOUNT)
