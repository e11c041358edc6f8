"""A node's log: one event a line, on standard output, each with its time, level, name and node.

`json` for machines, `text` for people. What libraries log goes the same way (`library_log`), so that every line is one.
Events are a trace, not chatter: those that an operator should know are in `cluster/README.md`.
"""

import logging
import sys
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, WrappedLogger

from cluster.cli.log_choices import LEVELS
from cluster.meters import Meters

COUNTED = frozenset(LEVELS[2:])
_TRACES = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
"""Where something failed, as JSON, without what variables held there: that may be a secret, or somebody's record."""
UNHEARD = "ExecuteBatchError raised in core by servicer method", 'Failed "execute_batch"'
"""gRPC tells so, as an error, of an answer whose caller's connection broke before it heard that the call is over."""


class Logs:
    """How this process logs. `node`: 0 until the configuration was read. Warnings and worse are counted by `meters`."""

    def __init__(self, form: str, level: str) -> None:
        self.node = 0
        self.meters: Meters | None = None
        render: Any = structlog.processors.JSONRenderer()
        if form == "text":
            plain = structlog.dev.plain_traceback
            render = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=plain)
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                self._complete,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                *([_TRACES] if form == "json" else []),
                render,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=structlog.PrintLoggerFactory(sys.stdout),
            cache_logger_on_first_use=True,
        )
        logging.basicConfig(handlers=[_Library()], level=logging.WARNING, force=True)

    def _complete(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """Whose event it is; and count it."""
        del logger
        if self.node:
            event.setdefault("node", self.node)
        level = str(event.get("level", method))
        if self.meters is not None and level in COUNTED:
            self.meters.log_events[level, str(event["event"])] += 1
        return event


class _Library(logging.Handler):
    """What asyncio and others log, as one of our events."""

    def emit(self, record: logging.LogRecord) -> None:
        """See logging."""
        level, detail = record.levelname.lower(), record.getMessage()
        error = record.exc_info[1] if record.exc_info else None
        if detail.startswith(UNHEARD[0]) and UNHEARD[1] in str(error):
            level = "debug"
        log = getattr(structlog.get_logger(), level if level in LEVELS else "warning")
        log("library_log", library=record.name, detail=detail, **({"error": repr(error)} if error else {}))
