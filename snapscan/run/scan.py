"""The public call: prepares rules, case and crew, and lets the driver run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from snapscan import __version__
from snapscan.detect.match.yara import YaraMatcher
from snapscan.detect.rules import builtin_rule_folders, builtin_rules_folder, load_rules_cached
from snapscan.model.errors import UsageError
from snapscan.model.policy import to_builtins
from snapscan.run.driver import Driver, now
from snapscan.run.options import ScanOptions, ScanResult
from snapscan.run.progress import Progress, Silent
from snapscan.run.setup import Setup, cache_folder, user_key
from snapscan.store.store import Store


def scan(
    sources: Sequence[str | Path],
    options: ScanOptions | None = None,
    *,
    progress: Progress | None = None,
    spawned: Callable[[int, int], None] | None = None,
) -> ScanResult:
    """Scan sources into one case. Raises UsageError, SourceError (when no source could be opened) and StoreError.

    Forks: call it from a process with one thread.
    """
    options = options or ScanOptions()
    cache = cache_folder() if options.rule_cache else None
    rules = load_rules_cached([*builtin_rule_folders(), *options.rules], cache)
    case = options.case or Path(default_case(sources))
    with tempfile.TemporaryDirectory(prefix="snapscan-") as temporary:
        yara = YaraMatcher([builtin_rules_folder() / "yara", *options.yara])
        setup = Setup(rules, user_key(options.key_file), options.policy.limits, cache, Path(temporary), yara)
        store = _open_case(case, options, setup)
        try:
            return Driver(store, setup, sources, options, progress or Silent(), spawned).run()
        finally:
            empty = not options.resume and not store.spaces()
            store.close()
            if empty:  # it holds nothing, and would be in the way of the next try
                shutil.rmtree(case, ignore_errors=True)


def default_case(sources: Sequence[str | Path]) -> str:
    """`NAME.snapscan` in the current folder, after the first source."""
    name = Path(os.path.abspath(sources[0])).name if sources else "case"  # noqa: PTH100  # lexical: the name as it was typed
    return f"{name or 'root'}.snapscan"


def _open_case(case: Path, options: ScanOptions, setup: Setup) -> Store:
    digest = setup.run_digest(msgspec.json.encode(to_builtins(options.policy)["scope"]))
    facts = {
        "version": __version__, "rules_digest": setup.rules_digest, "policy_digest": options.policy.digest(), "run_digest": digest,
        "key_id": setup.fingerprinter.key_id, "policy": to_builtins(options.policy),
    }  # fmt: skip
    if not options.resume:
        store = Store.create(case, started=now(), **facts)
        store.add_rules(setup.rules)
        store.add_rules(setup.yara.records() if setup.yara else [])
        return store
    store = Store.open(case)
    if store.meta().get("run_digest") != digest:
        store.close()
        raise UsageError("case-digest", f"{case} was begun with other rules, limits or another key", hint="scan again into a new case (--case)")
    return store


__all__ = ["ScanOptions", "ScanResult", "default_case", "scan"]
