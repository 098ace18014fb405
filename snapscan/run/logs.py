"""Log lines of workers on their way to the foreman's handlers.

multiprocessing-logging prepares each record for the journey, but its shared queue is not used: a worker that is killed while it holds the
queue's lock silences every process for good and makes others hang at their exit (seen in 6 of 6 tries). Here each worker keeps its lines and
sends them over its own pipe, between parts of its result. Lines of a worker that dies are lost; nothing that matters travels in a log.
docs/decisions/0002-log-lines-travel-with-results.md
"""

from __future__ import annotations

import logging

from multiprocessing_logging import MultiProcessingHandler

from snapscan.run.messages import LogRecord

KEPT_MOST = 1000


class NoBytes(logging.Filter):
    """Drops a record that carries bytes: a value of an image must not get into a log by accident."""

    def filter(self, record: logging.LogRecord) -> bool:
        arguments = record.args if isinstance(record.args, tuple) else (record.args,)
        return not any(isinstance(item, bytes | bytearray | memoryview) for item in (record.msg, *arguments))


class WorkerLog(MultiProcessingHandler):  # type: ignore[misc]  # the package has no types
    """Collects this worker's records; `take` hands over what came since the last call."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)  # not the package's own: it would start a thread and make the queue that we avoid
        self._kept: list[LogRecord] = []
        self.addFilter(NoBytes())

    def install(self) -> None:
        """Take the place of every handler that was inherited from the foreman."""
        root = logging.getLogger()
        for handler in list(root.handlers):
            root.removeHandler(handler)
        root.addHandler(self)

    def _send(self, record: logging.LogRecord) -> None:
        if len(self._kept) < KEPT_MOST:
            self._kept.append(LogRecord(record.name, record.levelno, record.getMessage(), record.created, record.process or 0))

    def take(self) -> tuple[LogRecord, ...]:
        kept, self._kept = self._kept, []
        return tuple(kept)

    def close(self) -> None:
        logging.Handler.close(self)


def replay(records: tuple[LogRecord, ...]) -> None:
    """Foreman: give a worker's records to our own handlers."""
    for item in records:
        logger = logging.getLogger(item.name)
        if logger.isEnabledFor(item.level):
            record = logger.makeRecord(item.name, item.level, "", 0, item.message, (), None)
            record.created, record.process = item.created, item.process
            logger.handle(record)


def log_to(path: str, level: int) -> logging.Handler:
    """Write the run's log to a file of the case; returns the handler, to be removed at the end."""
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(NoBytes())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
    return handler
