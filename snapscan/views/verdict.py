"""What went wrong while one view was opened, and whether its budget lets it go on.

An archive can have an encrypted member, then a damaged one, then hit a limit. `Outcome` has room for one reason, and a policy may accept
encrypted archives: the reason that matters most must be the one it sees, so a weightier reason takes the place of an earlier one.
"""

from __future__ import annotations

from collections import Counter

from snapscan.model.view import Budget, Outcome

_WEIGHTS = {"encrypted": 1, "damaged": 2, "truncated": 3, "unsupported": 4, "memory-limit": 5}
_LIMIT_WEIGHT = 6
_LONGEST_DETAIL = 300


class Ended(Exception):
    """Inside this package only: a stream stopped before its end. All bytes decoded before were given."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class Verdict:
    """Writes into the view's Outcome at once, so that it is right even if the receiver walks away."""

    def __init__(self, budget: Budget, outcome: Outcome) -> None:
        self.budget = budget
        self.outcome = outcome
        self.stopped = False
        """A limit was reached: the view gives no further byte."""
        self._counts: Counter[str] = Counter()
        self._details: dict[str, str] = {}

    def fault(self, reason: str, detail: str) -> None:
        """Count one fault; the outcome names the weightiest reason, its first detail, and how many others there were."""
        self._counts[reason] += 1
        self._details.setdefault(reason, detail[:_LONGEST_DETAIL])
        main = max(self._counts, key=lambda word: _WEIGHTS.get(word, _LIMIT_WEIGHT))
        others = [f"{main} {self._counts[main] - 1} more"] if self._counts[main] > 1 else []
        others += [f"{word} {count}" for word, count in self._counts.items() if word != main]
        self.outcome.reason = ""
        self.outcome.stop(main, self._details[main] + (f" (also: {', '.join(others)})" if others else ""))

    def note(self, detail: str) -> None:
        """A remark that is no fault, shown unless there is one."""
        if not self.outcome.reason:
            self.outcome.detail = detail

    def decoded(self, size_bytes: int) -> bool:
        """Count decoded bytes, which the caller gives in any case; zero asks for the time alone. False when the view must stop."""
        self.outcome.decoded_bytes += size_bytes
        if self._counts and size_bytes:
            self.outcome.outcome = "partly"
        return self._within(self.budget.spend(size_bytes))

    def member(self) -> bool:
        """Count a member, whether or not it has content. False when the view must stop."""
        return self._within(self.budget.member()) and self.decoded(0)

    def _within(self, reason: str) -> bool:
        if reason and not self.stopped:
            self.stopped = True
            self.fault(reason, f"stopped after {self.outcome.decoded_bytes} decoded bytes of this view")
        return not self.stopped
