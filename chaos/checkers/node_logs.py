"""What nodes wrote into their logs and must not have: failed assertions, tracebacks, exceptions that nobody took.

A log is what a process printed: its trace, a JSON object a line, and between that whatever the interpreter and
libraries print when something is badly wrong. With one of these a run is not fine, whatever its history says.
"""

import re
from collections.abc import Collection, Container, Iterable

from chaos.checkers.anomaly import Anomaly
from chaos.checkers.traces import parsed

SEVERE = {"critical", "error"}
TOLD_OF_DAMAGE = frozenset({"copy_damaged", "replica_lost", "log_damaged", "vote_damaged", "task_state_damaged"})
"""Events of the level error that say that something was found which was done to the node's disk."""
TORN = "log_damaged"
"""Of these the one that a node rightly says, too, when the one before it ended in the middle of a write."""
FORGOT = "follower_forgot"
"""A leader says that a follower is without what it had acknowledged. Right of one that recovers, for it has found
damage; of any other only where files are replaced by older ones, or syncs do nothing."""
GARBLED = "Invalid encoding on "
"""So begins what gRPC says of metadata that is no text, as bits that flip on the way make it."""
TOLD_OF_THE_END = frozenset({"failed", "node_failed", "node_refused"})
"""Critical events of a node that ends by itself, for which there has to be a reason: its disk fails, say."""
PRINTED = (
    ("failed assertion", re.compile(r"\bAssertionError\b|\bassertion .*failed\b|\bCHECK failed\b", re.IGNORECASE)),
    (
        "unretrieved exception",
        re.compile(
            r"exception was never retrieved|^Exception ignored in|was never awaited|was destroyed but it is pending"
        ),
    ),
    ("traceback", re.compile(r"^Traceback \(most recent call last\)|^Fatal Python error|^Segmentation fault")),
)
UNEXPECTED = "unexpected event"
DETAIL_MAX = 300


def check_node_log(
    node: int, lines: Iterable[str], *, allowed: Collection[str] = frozenset(), ending: Container[int] = ()
) -> list[Anomaly]:
    """Everything that must not be there.

    `allowed`: events, by name, that may be severe, and GARBLED; never a failed assertion.
    `ending`: numbers of the lines of lives whose ends were expected, and may be told of.
    """
    found = []
    for number, line in enumerate(lines, start=1):
        told = parsed(line)
        may = {*allowed, *TOLD_OF_THE_END} if number in ending else allowed
        wrong = _printed(line) if told is None else _traced(told, line, may)
        if wrong:
            found.append(Anomaly(wrong, f"node {node}, line {number}: {line.strip()[:DETAIL_MAX]}"))
    return found


def _printed(line: str) -> str:
    """By what is wrong with a line that is no event; "" if nothing is."""
    return next((name for name, pattern in PRINTED if pattern.search(line)), "")


def _traced(told: dict[str, object], line: str, allowed: Collection[str]) -> str:
    if "AssertionError" in line and (told.get("level") in SEVERE or "exception" in told):
        return "failed assertion"
    if told["event"] in allowed or (told["event"] == FORGOT and told.get("recovering") is True):
        return ""
    if GARBLED in allowed and told["event"] == "library_log" and str(told.get("detail")).startswith(GARBLED):
        return ""
    if told.get("level") in SEVERE:
        return UNEXPECTED
    return "traceback" if "exception" in told else ""
