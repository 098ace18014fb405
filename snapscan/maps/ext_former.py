"""Puts together what is known of deleted files: places from the journal and dead inodes, names from the journal and directory slack."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snapscan.maps import ext_inodes as inode
from snapscan.maps.ext_deleted import LiveInode, former_names, free_pieces
from snapscan.maps.ext_directory import Entry
from snapscan.maps.ext_extents import BlockWalker, picked
from snapscan.maps.ext_groups import Groups
from snapscan.maps.ext_journal import open_journal
from snapscan.maps.ext_old_names import OldNames, add_inline_names, add_journal_names, directory_blocks
from snapscan.maps.ext_owners import OwnerCollector
from snapscan.maps.ext_remnants import OldInodes, inodes_with_runs, journal_copies, old_inodes
from snapscan.maps.ext_source import ExtSource
from snapscan.maps.ext_superblock import Superblock
from snapscan.model.mapping import FormerName
from snapscan.model.owner import OwnerMap


def former(
    source: ExtSource,
    sb: Superblock,
    groups: Groups,
    collector: OwnerCollector,
    slack_names: list[tuple[int, Entry]],
    free: NDArray[np.int64],
    owners: OwnerMap,
) -> tuple[FormerName, ...]:
    """Former names of the free runs (start, end in blocks). `slack_names` are (owner of the directory, deleted entry).

    Raises MapStopped when time is up.
    """
    if not len(free):
        return ()
    inode_of = _inode_of_owner(collector)
    names = OldNames()
    for owner, (number, name) in slack_names:
        names.add_remnant(number, inode_of[owner], name)
    found: list[OldInodes] = []
    if collector.dead:
        numbers = np.concatenate([number for number, _ in collector.dead])
        table = np.concatenate([inodes for _, inodes in collector.dead])
        found.append(inodes_with_runs(table, numbers, np.full(len(numbers), -1, dtype=np.int64), BlockWalker(source, sb.blocks)))
    journal = open_journal(source, sb, groups)
    if journal is not None:
        copies = journal_copies(source, journal)
        found += old_inodes(source, sb, groups, journal, copies)
        directories = directory_blocks(collector.directories, [inode_of[owner] for owner in collector.directories.which.tolist()])
        for old in found:
            names.add_generations(old)
        names.sort()
        for old in found:
            add_inline_names(old, names)
            runs = picked(old.runs, old.form[old.runs.which] == inode.DIRECTORY)
            for block, number in directory_blocks(runs, old.number[runs.which].tolist()).items():
                directories.setdefault(block, number)
        add_journal_names(source, journal, copies, directories, names, sb.inodes)

    def live(number: int) -> LiveInode:
        owner = collector.owner_of(number)
        return LiveInode(owner, int(collector.generation[number]) if owner >= 0 else 0)

    return tuple(former_names(free_pieces(found, free), names, live, owners, sb.block_bytes))


def _inode_of_owner(collector: OwnerCollector) -> dict[int, int]:
    """Owner -> inode number of every directory that has blocks."""
    numbers = np.flatnonzero(collector.owner_plus_one)
    owners = collector.owner_plus_one[numbers].astype(np.int64) - 1
    wanted = np.isin(owners, collector.directories.which)
    return dict(zip(owners[wanted].tolist(), numbers[wanted].tolist(), strict=True))
