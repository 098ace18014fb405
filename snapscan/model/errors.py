"""Every error a person can meet, drawn as a tree.

    SnapscanError                 what happened, to what, what to do next
     |- UsageError                exit 2    the command line, or a file the user wrote
     |   |- PolicyError  RuleError  LocatorError  ToolMissing
     |- SourceError               exit 4    the snapshot cannot be opened at all
     |   |- NotFound  AccessDenied  UnsupportedFormat  EncryptedVolume  ParentRefused  SourceChanged
     |- StoreError                exit 5    our own output failed
     |- ReadFault                 inside workers only: becomes a ledger row
         |- MediaFault  StructureFault  LimitReached

The rule: a fault in what we read becomes a ledger row; a fault in what we write ends the run.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class Exit(IntEnum):
    """Exit codes of the command; never reused for anything else."""

    CLEAN = 0
    FINDINGS = 1
    USAGE = 2
    INCOMPLETE = 3
    SOURCE = 4
    STORE = 5
    INTERRUPTED = 130


class SnapscanError(Exception):
    """Base of all our errors. `reference` is a stable word in kebab case, listed in docs/outputs.md."""

    exit_code: ClassVar[Exit] = Exit.USAGE

    def __init__(self, reference: str, message: str, *, hint: str = "") -> None:
        super().__init__(reference, message, hint)
        self.reference = reference
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        lines = [f"{self.reference}", f"  {self.message}"]
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.reference, self.message, self.hint))


def _rebuild(cls: type[SnapscanError], reference: str, message: str, hint: str) -> SnapscanError:
    error = cls.__new__(cls)
    SnapscanError.__init__(error, reference, message, hint=hint)
    return error


class UsageError(SnapscanError):
    """The command line, or a file that the user wrote, asks for something we cannot do."""


class PolicyError(UsageError):
    """A policy file is not what its schema says."""


class RuleError(UsageError):
    """A rule is wrong; the message names the file, the rule and the field."""


class LocatorError(UsageError):
    """A locator cannot be parsed, or leads nowhere."""


class ToolMissing(UsageError):
    """An optional package is needed; the hint is the pip line."""


class SourceError(SnapscanError):
    """The snapshot cannot be opened at all."""

    exit_code = Exit.SOURCE


class NotFound(SourceError):
    """No such snapshot, file or device."""


class AccessDenied(SourceError):
    """The source exists and we may not read it."""


class UnsupportedFormat(SourceError):
    """Recognised, and not read right by us or by any library we trust: refused with its reason."""


class EncryptedVolume(SourceError):
    """The container itself is encrypted."""


class ParentRefused(SourceError):
    """The image names a parent that we may not, or can not, open."""


class SourceChanged(SourceError):
    """The source is not the one that the case was begun with."""


class StoreError(SnapscanError):
    """Our own output failed: disk full, a newer store, a locked case."""

    exit_code = Exit.STORE


class ReadFault(SnapscanError):
    """Bytes `offset .. offset + length` of a space could not be read; the ledger gets a row with `reference` as reason."""

    def __init__(self, reference: str, message: str, *, offset: int, length: int, hint: str = "") -> None:
        super().__init__(reference, message, hint=hint)
        self.offset = offset
        self.length = length

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_fault, (type(self), self.reference, self.message, self.offset, self.length, self.hint))


def _rebuild_fault(cls: type[ReadFault], reference: str, message: str, offset: int, length: int, hint: str) -> ReadFault:
    return cls(reference, message, offset=offset, length=length, hint=hint)


class MediaFault(ReadFault):
    """The medium refused or ended early."""


class StructureFault(ReadFault):
    """The container's or filesystem's own structure is damaged at this place."""


class LimitReached(ReadFault):
    """A budget (bytes, depth, time, memory) was used up."""
