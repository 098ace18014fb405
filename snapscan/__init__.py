"""snapscan tells which secrets a VM snapshot carries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from snapscan.run.scan import ScanOptions, ScanResult, scan
    from snapscan.store.queries import Reader

__all__ = ["ScanOptions", "ScanResult", "open_case", "scan"]


def open_case(folder: str | Path) -> Reader:
    """A case for reading. Raises StoreError when the folder is none; the caller closes it."""
    from snapscan.store.store import Store

    return Store.open_read_only(Path(folder))


_PLACES = {"scan": "snapscan.run.scan", "ScanOptions": "snapscan.run.scan", "ScanResult": "snapscan.run.scan"}


def __getattr__(name: str) -> object:
    """The public names, loaded when first used: asking for the version must not load the matcher."""
    from importlib import import_module

    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
