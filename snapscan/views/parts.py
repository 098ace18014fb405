"""Decoded chunks -> the parts of a member: the one place where bytes are counted, joined, and the last part is marked."""

from __future__ import annotations

from collections.abc import Iterator

from snapscan.model.errors import ReadFault
from snapscan.model.units import KIB
from snapscan.model.view import Part
from snapscan.views.verdict import Ended, Verdict

PART_BYTES = 256 * KIB
"""Parts are this long or a little longer, below 1 MiB; it fits a core's cache, and the matcher is as fast on it as on larger blocks (measured).

Only a member that is shorter has a shorter first part, so the first part is enough to recognise what the member is.
"""


def parts(chunks: Iterator[bytes], verdict: Verdict, what: str = "") -> Iterator[Part]:
    """Give `chunks`, each at most PART_BYTES long, within the budget; `what` names the member in the outcome's detail.

    An empty chunk is a decoder's sign of life: the clock is looked at, nothing is given. Tiny chunks are joined.
    The chunk that reaches a limit is still given, so that no decoded byte is lost. Without a fault the last part is marked.
    """
    held: bytes | None = None
    waiting: list[bytes] = []
    waiting_bytes = 0
    whole = False
    while True:
        try:
            chunk = next(chunks)
        except StopIteration:
            whole = True
            break
        except Ended as end:
            verdict.fault(end.reason, f"{what}{end.detail}")
            break
        except ReadFault as fault:
            verdict.fault("damaged", f"{what}{fault.message}")
            break
        within = verdict.decoded(len(chunk))
        waiting.append(chunk)
        waiting_bytes += len(chunk)
        if waiting_bytes >= PART_BYTES:
            if held is not None:
                yield Part(held)
            held = b"".join(waiting)
            waiting, waiting_bytes = [], 0
        if not within:
            break
    if waiting_bytes:
        if held is not None:
            yield Part(held)
        held = b"".join(waiting)
    if whole or held:
        yield Part(held or b"", last=whole)
