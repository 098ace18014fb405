"""QEMU's qcow2, versions 2 and 3: cluster map, backing and data files.

Source of the format: docs/interop/qcow2.txt of QEMU 7.2 (sections "Cluster mapping", "Extended L2 Entries"). All numbers are big-endian.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import numpy as np

from snapscan.model.errors import ParentRefused, ReadFault, SourceError
from snapscan.model.snapshot import SnapshotRef
from snapscan.model.space import Space
from snapscan.spaces.blockmap import BELOW, FAULT, PACKED, ZERO, BlockMap, Tables, table_runs
from snapscan.spaces.chain import Source
from snapscan.spaces.file import Int64, SourceFile, printable
from snapscan.spaces.inflate import inflate, unzstd
from snapscan.spaces.layers import LayeredSpace
from snapscan.spaces.qcow2_header import DATA_FILE, EXTENDED, Header, read_header, read_states

BACKING_KINDS = {b"raw": "raw", b"file": "raw", b"qcow2": "qcow2", b"vmdk": "vmdk", b"vpc": "vhd", b"vhdx": "vhdx", b"vdi": "vdi"}
L1_BYTES_MOST = 32 << 20
"""QEMU's own limit (QCOW_MAX_L1_SIZE)."""
L2_CACHE_BYTES = 32 << 20
SUBCLUSTERS = 32
LOST = 1
"""In our copy of the first table: a second table is named that cannot be used."""

_OFFSET = np.uint64(0x00FFFFFFFFFFFE00)
_PACKED_FLAG = np.uint64(1 << 62)
_COPIED_FLAG = np.uint64(1 << 63)
_SUBCLUSTER_BITS = np.arange(SUBCLUSTERS, dtype=np.uint64)


def open_qcow2(source: Source, state: str = "") -> Space:
    """The space of an image, in its active state or in the internal snapshot whose id or name is `state`. Raises SourceError."""
    file, label = source.file, printable(source.label)
    header = read_header(file, label)
    states = read_states(file, header)
    l1_offset, l1_entries, size_bytes = header.l1_offset, header.l1_entries, header.size_bytes
    if state:
        chosen = next((s for s in states if state in (s.id, s.name)), None)
        if chosen is None:
            raise SourceError("state-not-found", f"{label} has no internal snapshot {state!r}", hint=f"it has {[s.name for s in states]}")
        l1_offset, l1_entries, size_bytes = chosen.l1_offset, chosen.l1_entries, chosen.size_bytes or size_bytes
    elif states:
        header.notes.append(f"{len(states)} internal snapshots; the active state is read")
    l1 = _read_l1(file, header, l1_offset, l1_entries, size_bytes, label)
    sources = [source]
    parent = None
    try:
        data = file
        if header.incompatible & DATA_FILE:
            sources.append(source.named(header.data_file_name, "data file"))
            data = sources[-1].file
        if header.backing_name:
            parent = _open_backing(source, header, label)
    except (SourceError, ReadFault):
        for extra in sources[1:]:
            extra.file.close()
        raise
    clusters = Clusters(file, data, header, l1, size_bytes)
    parent_id = parent.snapshot.id if parent is not None else ""
    identity = f"{source.label}:{size_bytes}" + (f"%state:{state}" if state else "")
    snapshot = SnapshotRef("qcow2", identity, source.label, size_bytes, parent_id)
    return LayeredSpace(snapshot, [clusters], sources, parent=parent, notes=tuple(header.notes))


def _open_backing(source: Source, header: Header, label: str) -> Space:
    name = printable(header.backing_name.decode("utf-8", "surrogateescape"))
    if not header.backing_format:
        text = f"{label} needs {name} as its backing file and does not say in which format that is; guessing would let the guest choose"
        raise ParentRefused("parent-refused", text, hint=f"say it with: qemu-img rebase -u -b {name} -F FORMAT {label}")
    kind = BACKING_KINDS.get(header.backing_format)
    if kind is None:
        raise ParentRefused(
            "parent-refused", f"{label} has a backing file of the format {header.backing_format!r}, which we do not read as a backing file"
        )
    return source.parent(header.backing_name, kind, "backing file")


def _read_l1(file: SourceFile, header: Header, at: int, entries: int, size_bytes: int, label: str) -> Int64:
    """The places of the L2 tables, 0 for none; only as many as the size needs, which the file must hold."""
    entry_bytes = 16 if header.incompatible & EXTENDED else 8
    covered = (1 << header.cluster_bits) * ((1 << header.cluster_bits) // entry_bytes)
    needed = -(-size_bytes // covered)
    if entries < needed:
        raise SourceError("damaged-container", f"{label} claims {size_bytes} bytes, and its first table has {entries} of {needed} entries")
    if needed * 8 > L1_BYTES_MOST:
        raise SourceError("damaged-container", f"{label} claims {size_bytes} bytes, for which its first table would be larger than any writer makes")
    if at % (1 << header.cluster_bits) or at + needed * 8 > file.size_bytes:
        raise SourceError(
            "damaged-container", f"the first table of {label} lies outside the file", hint="scan it with the kind raw to sweep what is there"
        )
    return (np.frombuffer(file.read(at, needed * 8), dtype=">u8").astype(np.uint64) & _OFFSET).astype(np.int64)


class Clusters(BlockMap):
    """The cluster map of one state; a unit is a cluster, or a subcluster with extended L2 entries."""

    def __init__(self, file: SourceFile, data: SourceFile, header: Header, l1: Int64, size_bytes: int) -> None:
        cluster = 1 << header.cluster_bits
        self._extended = bool(header.incompatible & EXTENDED)
        self._external = data is not file
        self._table_clusters = cluster // (16 if self._extended else 8)
        self._per_cluster = SUBCLUSTERS if self._extended else 1
        table_units = self._table_clusters * self._per_cluster
        super().__init__(data, size_bytes, cluster // self._per_cluster, group_bytes=cluster, table_units=table_units)
        self._image = file
        self._cluster = cluster
        self._zero_flag = np.uint64(1 if header.version >= 3 else 0)
        self._l1 = _without_lost(l1, cluster, file.size_bytes)
        self._zstd = header.compression == 1
        self._units = -(-size_bytes // self.unit_bytes)
        self._size_bits = header.cluster_bits - 8  # width of the length field in a compressed cluster's descriptor
        self._l2: OrderedDict[int, np.ndarray] = OrderedDict()
        self._l2_most = max(2, L2_CACHE_BYTES // cluster)

    def tables(self) -> Iterator[Tables]:
        return table_runs(self._l1 != 0, self._l1 == LOST, self.table_units, self._units)

    def places(self, first: int, end: int) -> Int64:
        parts: list[Int64] = []
        at = first
        while at < end:
            table, inside = divmod(at, self.table_units)
            stop = min(end, (table + 1) * self.table_units)
            parts.append(self._places_in(int(self._l1[table]), inside, inside + stop - at))
            at = stop
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _places_in(self, table_at: int, first: int, end: int) -> Int64:
        """Places of units `first .. end` of one L2 table."""
        if table_at == 0:
            return np.full(end - first, BELOW, dtype=np.int64)
        if table_at == LOST:
            return np.full(end - first, FAULT, dtype=np.int64)
        table = self._table(table_at)
        if not self._extended:
            return table[first:end]
        low, high = first // self._per_cluster, -(-end // self._per_cluster)
        places = self._extended_places(table[2 * low : 2 * high], high - low)
        return places[first - low * SUBCLUSTERS : end - low * SUBCLUSTERS]

    def _plain_places(self, entries: np.ndarray) -> Int64:
        hosts, packed, empty = self._parse(entries)
        places = np.where(empty, BELOW, hosts)
        places[entries & self._zero_flag != 0] = ZERO
        places[packed] = PACKED - (entries[packed] & np.uint64((1 << 62) - 1)).astype(np.int64)
        return _filled(places, self._table_clusters)

    def _extended_places(self, entries: np.ndarray, clusters: int) -> Int64:
        """One place per subcluster: bit i of the second word is "data here", bit 32 + i "reads as zeros"."""
        whole = len(entries) // 2
        descriptors, bitmaps = entries[0 : 2 * whole : 2], entries[1 : 2 * whole : 2]
        hosts, packed, empty = self._parse(descriptors)
        data = (bitmaps[:, None] >> _SUBCLUSTER_BITS & np.uint64(1)).astype(bool)
        zero = (bitmaps[:, None] >> (_SUBCLUSTER_BITS + np.uint64(32)) & np.uint64(1)).astype(bool)
        places = np.full((whole, SUBCLUSTERS), BELOW, dtype=np.int64)
        located = hosts[:, None] + np.arange(SUBCLUSTERS, dtype=np.int64) * self.unit_bytes
        located[hosts < 0] = FAULT
        located[empty] = FAULT  # "data here" without a place
        places = np.where(data, located, places)
        places[zero] = ZERO
        places[zero & data] = FAULT  # the specification forbids both bits
        places[packed] = (PACKED - (descriptors[packed] & np.uint64((1 << 62) - 1)).astype(np.int64))[:, None]
        return _filled(places.reshape(-1), clusters * SUBCLUSTERS)

    def _parse(self, entries: np.ndarray) -> tuple[Int64, np.ndarray, np.ndarray]:
        """(host offset or FAULT, is compressed, has no place) of each descriptor."""
        hosts = (entries & _OFFSET).astype(np.int64)
        packed = entries & _PACKED_FLAG != 0
        empty = hosts == 0
        if self._external:  # offset 0 of a data file is a place like any other, marked by the copied flag
            empty &= entries & _COPIED_FLAG == 0
        hosts[hosts % self._cluster != 0] = FAULT
        return hosts, packed, empty & ~packed

    def _table(self, at: int) -> np.ndarray:
        """The L2 table at `at`, as far as the file holds it: places of its clusters, or with extended entries the bare entries (a place for
        each of the subclusters would need sixteen times their memory)."""
        known = self._l2.get(at)
        if known is None:
            raw = self._image.read(at, self._cluster)
            entries = np.frombuffer(raw[: len(raw) // 8 * 8], dtype=">u8").astype(np.uint64)
            known = entries if self._extended else self._plain_places(entries)
            self._l2[at] = known
            if len(self._l2) > self._l2_most:
                self._l2.popitem(last=False)
        return known

    def unpack(self, code: int) -> bytes:
        """A compressed cluster: offset in the low bits, number of further 512-byte sectors above them."""
        shift = 62 - self._size_bits
        at = code & ((1 << shift) - 1)
        length = ((code >> shift) + 1) * 512 - (at & 511)
        data = self._image.read(at, length)  # the last sector may end behind the file
        return unzstd(data, self._cluster) if self._zstd else inflate(data, self._cluster, -12)


def _without_lost(l1: Int64, cluster_bytes: int, file_bytes: int) -> Int64:
    """The first table with LOST for second tables that are misplaced, or outside the file, or named a second time.

    No writer uses a second table twice in one state; allowed, a small file could claim petabytes of stored clusters.
    """
    l1 = l1.copy()
    present = np.flatnonzero(l1)
    repeated = np.ones(len(present), dtype=bool)
    repeated[np.unique(l1[present], return_index=True)[1]] = False
    l1[present[repeated | (l1[present] % cluster_bytes != 0) | (l1[present] >= file_bytes)]] = LOST
    return l1


def _filled(places: Int64, count: int) -> Int64:
    """Units whose entries the file no longer holds are faults."""
    if len(places) == count:
        return places
    return np.concatenate([places, np.full(count - len(places), FAULT, dtype=np.int64)])
