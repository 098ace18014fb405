"""What is scanned: which snapshot, where it lies, and how we know that it stayed the same."""

from __future__ import annotations

import msgspec


class SnapshotRef(msgspec.Struct, frozen=True):
    """Names a snapshot in findings and reports.

    `kind` is the container's (`raw`, `qcow2`, `vmdk`, `folder`, ...); `id` is the disk's own identity where it has one
    (GPT disk GUID, filesystem UUID, container UUID or CID) and else the label with its size; `label` is the file's name.
    """

    kind: str
    id: str
    label: str
    size_bytes: int
    parent: str = ""
    taken_at: str = ""


class SourceSpec(msgspec.Struct, frozen=True):
    """All a worker needs to open a source by itself: no open file crosses a process.

    `path` is what the user typed, made absolute. `kind` is empty until detected by content; set, it forces the kind.
    `parents_from` are further folders in which parent images may lie.
    """

    path: str
    kind: str = ""
    parents_from: tuple[str, ...] = ()


class SourceStamp(msgspec.Struct, frozen=True):
    """One file behind a space, as it was when opened; a later difference means that the source changed during the scan."""

    path: str
    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
