"""The last task of a space: which of the files with findings are unchanged parts of an installed package."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from snapscan.detect.proof.packages import Shipped, shipped
from snapscan.maps.map_files import MapFiles
from snapscan.model.errors import ReadFault
from snapscan.model.owner import OwnerMap
from snapscan.model.reading import OwnerReader
from snapscan.model.units import GIB, MIB
from snapscan.run.messages import Part, ProofTask
from snapscan.run.opened import OpenSpace
from snapscan.run.sweep import Beat

FILE_BYTES = 4 * GIB
STEP_BYTES = 1 * MIB


def prove(opened: OpenSpace, task: ProofTask, beat: Beat) -> Iterator[Part]:
    """(path, package) of each file whose digest is the one its package shipped it with."""
    proofs: list[tuple[str, str]] = []
    for owners in opened.space_map.maps.values():
        files = MapFiles(owners, opened.space)
        known = shipped(task.paths, files.read_file, files.list_dir)
        for number, (path, item) in enumerate(sorted(known.items())):
            beat(number, number + 1)
            owner = files.find(path)
            if owner >= 0 and _is(opened, owners, owner, item):
                proofs.append((path, item.package))
    yield Part(task.id, 0, True, proofs=tuple(proofs))


def _is(opened: OpenSpace, owners: OwnerMap, owner: int, item: Shipped) -> bool:
    reader = OwnerReader(opened.space, owners, owner)
    if reader.size_bytes > FILE_BYTES:
        return False
    digest = hashlib.new(item.algorithm, usedforsecurity=False)
    try:
        for at in range(0, reader.size_bytes, STEP_BYTES):
            digest.update(reader.read(at, STEP_BYTES))
    except ReadFault:
        return False
    return digest.hexdigest() == item.digest
