"""Files of ours that save work between runs: compiled rules, checked rules.

A file begins with the SHA-256 of the rest, and is believed only if that is right and the file is ours alone (owner, no group or world
write). A cache that cannot be written is no error.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


def read_cache(path: Path) -> bytes | None:
    """What `write_cache` wrote; None where there is no such file or it is not to be trusted."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if status.st_uid != os.getuid() or status.st_mode & 0o022:
            log.warning("rule cache %s is not ours alone; rules are compiled anew", path)
            return None
        data = file.read()
    if hashlib.sha256(data[32:]).digest() != data[:32]:
        log.warning("rule cache %s is damaged; rules are compiled anew", path)
        return None
    return data[32:]


def write_cache(path: Path, blob: bytes) -> None:
    """Put `blob` at `path`, mode 0600, whole or not at all."""
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(hashlib.sha256(blob).digest() + blob)
        draft.replace(path)
    except OSError as error:
        log.info("rule cache not written: %s", error)
