"""The policy of a run: limits, scope and gate, from the built-in values, a file and the command line, in this order.

    limits:
      task_bytes: 64MiB
      view: {decoded_bytes: 4GiB, depth: 8}
    scope:
      views: true
    gate:
      fail_on: high
      accept:
        - {kind: gap, reason: encrypted-volume, where: '*part:3*'}

Every field of the records below is a field of the file. Sizes and times take units (`64MiB`, `30s`).
"""

from __future__ import annotations

import hashlib
import types
import typing
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from snapscan.model.errors import PolicyError
from snapscan.model.finding import Confidence, Severity
from snapscan.model.mapping import MapLimits
from snapscan.model.units import GIB, MIB, parse_seconds, parse_size
from snapscan.model.view import ViewLimits

POLICY_FILE = "snapscan.yml"
NEVER = "never"
ENCODINGS = ("ascii", "utf16")
_HINT = "snapscan doctor --policy prints every field with its value"


class Limits(msgspec.Struct, frozen=True):
    """What a run may use up. Reaching a limit is recorded, and the run is not complete."""

    worker_memory_bytes: int = 2 * GIB
    """Address space of one worker."""
    task_bytes: int = 64 * MIB
    """Bytes of the space that one sweep task covers."""
    task_seconds: float = 600.0
    """A worker that is silent this long is replaced."""
    view: ViewLimits = ViewLimits()
    map: MapLimits = MapLimits()


class Scope(msgspec.Struct, frozen=True):
    """What is looked at."""

    views: bool = True
    encodings: tuple[str, ...] = ENCODINGS


class Acceptance(msgspec.Struct, frozen=True):
    """One thing that may stay unread without making the run incomplete; every field that is set must agree.

    `kind` is `ledger` (rows excluded, unread, lost), `view` (partly or refused; lost ones never pass) or `gap`; `reason` is the row's;
    `where` a shell pattern over the locator of a view, the place of a gap, or the name of the space of a ledger row;
    `most_bytes` bounds the stored bytes of a view or the length of a ledger row, 0 for no bound.
    """

    kind: str
    reason: str
    where: str = "*"
    most_bytes: int = 0


class GatePolicy(msgspec.Struct, frozen=True):
    """What makes a run fail, and what may be missing from a complete one. `fail_on` None (`never`): findings never fail it."""

    fail_on: Severity | None = Severity.LOW
    min_confidence: Confidence = Confidence.MEDIUM
    accept: tuple[Acceptance, ...] = ()


class RunPolicy(msgspec.Struct, frozen=True):
    """Everything that a user may decide about a run; passed as an argument, never global."""

    limits: Limits = Limits()
    scope: Scope = Scope()
    gate: GatePolicy = GatePolicy()

    def digest(self) -> str:
        """Changes when any value changes."""
        return hashlib.sha256(msgspec.json.encode(to_builtins(self), order="sorted")).hexdigest()


_ARCHIVES = tuple(Acceptance("view", reason) for reason in ("encrypted", "damaged", "truncated"))

SCAN_DEFAULTS = RunPolicy(gate=GatePolicy(fail_on=Severity.HIGH, accept=_ARCHIVES))
"""`scan` lets encrypted and damaged archives pass: every server has some. They are counted and listed all the same."""

GATE_DEFAULTS = RunPolicy()
"""`gate` accepts nothing that its policy does not name."""


def load_policy(path: Path | None, overrides: Mapping[str, object] | None = None, *, base: RunPolicy = SCAN_DEFAULTS) -> RunPolicy:
    """`base`, then the file, then `overrides` (`{"gate.fail_on": "high"}`; values as the file has them). A list replaces the one before it.

    Raises PolicyError naming the file and the field: `policy-missing`, `policy-syntax`, `policy-field`.
    """
    policy = base
    if path is not None:
        policy = merged(policy, _read(path), str(path))
    for field, value in (overrides or {}).items():
        tree: object = value
        for part in reversed(field.split(".")):
            tree = {part: tree}
        policy = merged(policy, tree, "command line")
    return policy


def merged(policy: RunPolicy, tree: object, source: str) -> RunPolicy:
    """The policy with the fields of `tree` (as read from YAML) replaced. Raises PolicyError `policy-field`."""
    return _merged(policy, tree, source, "")


def to_builtins(policy: RunPolicy) -> dict[str, Any]:
    """The policy as its file would say it, severities and confidences as words; `merged(RunPolicy(), to_builtins(p), "") == p`."""
    result = _builtins(policy)
    assert isinstance(result, dict)
    return result


def flattened(policy: RunPolicy) -> dict[str, object]:
    """Every field by its full name (`limits.view.depth`), as the file would say it."""
    flat: dict[str, object] = {}

    def walk(tree: Mapping[str, Any], prefix: str) -> None:
        for key, value in tree.items():
            if isinstance(value, Mapping):
                walk(value, f"{prefix}{key}.")
            else:
                flat[prefix + key] = value

    walk(to_builtins(policy), "")
    return flat


def _read(path: Path) -> object:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PolicyError("policy-missing", f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise PolicyError("policy-syntax", f"{path} is not YAML: {error}") from error


S = TypeVar("S", bound=msgspec.Struct)


def _merged(record: S, tree: object, source: str, prefix: str) -> S:
    """`record` with the values of `tree`, of which every key must be a field of it."""
    if tree is None:  # an empty file, or a table whose lines are all comments
        return record
    if not isinstance(tree, Mapping):
        raise _wrong(source, prefix.rstrip(".") or "the file", "is not a table of fields")
    types_of = typing.get_type_hints(type(record))
    changes: dict[str, object] = {}
    for key, value in tree.items():
        field = f"{prefix}{key}"
        if key not in types_of:
            raise _wrong(source, field, f"is not known; known here: {', '.join(types_of)}")
        current = getattr(record, key)
        if isinstance(current, msgspec.Struct):
            changes[key] = _merged(current, value, source, f"{field}.")
        else:
            changes[key] = _value(value, types_of[key], source, field)
    return msgspec.structs.replace(record, **changes)


def _value(value: object, wanted: Any, source: str, field: str) -> object:
    """`value` as the type of its field, or PolicyError."""
    name = field.rpartition(".")[2]
    options = wanted.__args__ if isinstance(wanted, types.UnionType) else (wanted,)
    if value == NEVER and type(None) in options:
        return None
    word_type = next((option for option in options if isinstance(option, type) and issubclass(option, IntEnum)), None)
    if word_type is not None:
        if not isinstance(value, str) or value.upper() not in word_type.__members__:
            words = [member.name.lower() for member in word_type] + ([NEVER] if type(None) in options else [])
            raise _wrong(source, field, f"must be one of {', '.join(words)}, not {value!r}")
        return word_type[value.upper()]
    if typing.get_origin(wanted) is tuple:
        return _values(value, wanted.__args__[0], source, field)
    try:
        if isinstance(value, str) and name.endswith("bytes"):
            value = parse_size(value)
        elif isinstance(value, str) and name.endswith("seconds"):
            value = parse_seconds(value)
        result = msgspec.convert(value, wanted)
    except (ValueError, msgspec.ValidationError) as error:
        raise _wrong(source, field, f"is wrong: {error}") from error
    if isinstance(result, int | float) and not isinstance(result, bool) and not (0 <= result < 2**63):
        raise _wrong(source, field, f"must be from 0 to 2^63, not {value!r}")
    return result


def _values(value: object, wanted: Any, source: str, field: str) -> tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(source, field, "must be a list")
    if wanted is Acceptance:
        return tuple(_acceptance(item, source, f"{field}[{number}]") for number, item in enumerate(value))
    for item in value:
        if item not in ENCODINGS:
            raise _wrong(source, field, f"holds {item!r}; known: {', '.join(ENCODINGS)}")
    return tuple(dict.fromkeys(value))


def _acceptance(item: object, source: str, field: str) -> Acceptance:
    result = _merged(Acceptance("", ""), item, source, f"{field}.")
    if result.kind not in ("ledger", "view", "gap"):
        raise _wrong(source, f"{field}.kind", f"must be one of ledger, view, gap, not {result.kind!r}")
    if not result.reason:
        raise _wrong(source, f"{field}.reason", "is missing: name the reason that may pass")
    return result


def _wrong(source: str, field: str, message: str) -> PolicyError:
    return PolicyError("policy-field", f"{source}: {field} {message}", hint=_HINT)


def _builtins(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        return {name: _builtins(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Severity | Confidence):
        return value.word
    if isinstance(value, tuple):
        return [_builtins(item) for item in value]
    return NEVER if value is None else value
