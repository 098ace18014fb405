"""The committed transactions of a journal that was not emptied, as an overlay for the map: nothing is written anywhere.

Follows fs/jbd2/recovery.c of the Linux kernel: the log is read from its start while sequence numbers and checksums fit, a transaction counts
when its commit block is there, a block is not replayed from transactions up to the one that revokes it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snapscan.maps.ext_checksum import crc32c, crc32c_rows
from snapscan.maps.ext_journal import BlockType, Journal, JournalFeature, Tag, block_head
from snapscan.maps.ext_source import ExtSource
from snapscan.maps.ext_superblock import Superblock
from snapscan.model.errors import ReadFault

_FAST_COMMIT_HEAD = 9  # EXT4_FC_TAG_HEAD
_BATCH = 1024


class Copy(NamedTuple):
    """The copy of a filesystem block at journal block `place`."""

    place: int
    sequence: int
    tag: Tag


class Log(NamedTuple):
    """The newest committed copy of each block, and the sequence number that the next transaction would have."""

    copies: dict[int, Copy]
    next_sequence: int


def overlay_journal(source: ExtSource, sb: Superblock, journal: Journal, where: str) -> None:
    """Lay the committed transactions over `source`. What cannot be replayed becomes a gap `dirty-log`."""
    if not journal.start:
        return
    log = _committed(source, journal)
    blocks = {b: c for b, c in log.copies.items() if b < min(sb.blocks, source.size_bytes // sb.block_bytes)}
    good = _verified(source, journal, blocks)
    if len(good) < len(log.copies):
        source.trouble.gap("dirty-log", where, f"{len(log.copies) - len(good)} blocks of the journal are damaged and were not replayed")
    source.overlay({block: (int(journal.places[copy.place]), copy.tag.escaped) for block, copy in good.items()})
    source.trouble.note(f"the journal was not empty: {len(good)} blocks were read from it")
    if _has_fast_commits(source, journal, log.next_sequence):
        source.trouble.gap("dirty-log", where, "fast commits follow the journal's last transaction; they are not replayed")


def _not_later(first: int, second: int) -> bool:
    """Whether sequence number `first` comes at or before `second`; they wrap at 2**32."""
    return (second - first) & 0xFFFFFFFF < 0x80000000


def _committed(source: ExtSource, journal: Journal) -> Log:
    transactions: list[list[Copy]] = []
    revoked: dict[int, int] = {}
    pending: list[Copy] = []
    pending_revoked: list[int] = []
    sequence, index = journal.sequence, journal.start
    left = journal.last - journal.first
    while left > 0:
        source.check_time(0.3)
        try:
            block = journal.read(source, index)
        except ReadFault:
            break
        head = block_head(block)
        if head is None or head[1] != sequence or head[0] not in (BlockType.DESCRIPTOR, BlockType.COMMIT, BlockType.REVOKE):
            break
        kind = BlockType(head[0])
        if not journal.intact(block, kind):
            source.trouble.note("the journal ends in a block whose checksum is wrong")
            break
        steps = 1
        if kind == BlockType.DESCRIPTOR:
            tags = journal.tags(block)
            pending += [Copy(journal.following(index, k + 1), sequence, tag) for k, tag in enumerate(tags)]
            steps += len(tags)
        elif kind == BlockType.REVOKE:
            pending_revoked += journal.revoked(block)
        else:
            transactions.append(pending)
            revoked.update(dict.fromkeys(pending_revoked, sequence))
            pending, pending_revoked = [], []
            sequence = sequence + 1 & 0xFFFFFFFF
        index = journal.following(index, steps)
        left -= steps
    copies = {
        copy.tag.block: copy
        for transaction in transactions
        for copy in transaction
        if not (copy.tag.block in revoked and _not_later(copy.sequence, revoked[copy.tag.block]))
    }
    return Log(copies, sequence)


def _verified(source: ExtSource, journal: Journal, copies: dict[int, Copy]) -> dict[int, Copy]:
    """The copies that can be read and whose checksums are right."""
    good: dict[int, Copy] = {}
    listed = sorted(copies.items(), key=lambda item: item[1].place)
    for at in range(0, len(listed), _BATCH):
        source.check_time(0.4)
        batch: list[tuple[int, Copy]] = []
        raw: list[bytes] = []
        for block, copy in listed[at : at + _BATCH]:
            try:
                raw.append(journal.read(source, copy.place))
            except ReadFault:
                continue
            batch.append((block, copy))
        if not journal.checked:
            good.update(batch)
            continue
        # the sum is that of the copy as it lies in the journal, before an escaped block gets its first bytes back
        rows = np.array([np.frombuffer(data, dtype=np.uint8) for data in raw])
        seeds = [crc32c(copy.sequence.to_bytes(4, "big"), journal.seed) for _, copy in batch]
        sums = crc32c_rows(rows, np.array(seeds, dtype=np.uint32)).tolist() if batch else []
        mask = 0xFFFFFFFF if journal.features & JournalFeature.CSUM_V3 else 0xFFFF
        good.update(item for item, total in zip(batch, sums, strict=True) if total & mask == item[1].tag.checksum)
    return good


def _has_fast_commits(source: ExtSource, journal: Journal, sequence: int) -> bool:
    first = journal.last + 1  # j_fc_first of the kernel: the block between belongs to neither
    if not journal.features & JournalFeature.FAST_COMMIT or first >= len(journal.places):
        return False
    try:
        block = journal.read(source, first)
    except ReadFault:
        return True
    tag, length = int.from_bytes(block[:2], "little"), int.from_bytes(block[2:4], "little")
    return tag == _FAST_COMMIT_HEAD and length >= 8 and int.from_bytes(block[8:12], "little") == sequence
