"""How long after each fault sends were acknowledged again, from a history.

A fault of a minority is measured from its injection: what its partitions lost is the time until others lead. One that
hits more than a minority stops them as long as it lasts, so it is measured from its mend. It is the worst partition
that counts; 0 where nobody noticed. A window belongs to each fault that was under way, or over for less than `AFTER_S`,
when it began.
"""

from collections.abc import Iterable, Mapping, Sequence

from chaos.report.spans import Fault
from chaos.report.unavailability import Window

AFTER_S = 2.0
BEFORE_S = 0.5
"""A send that was under way when a fault was injected waits a little longer."""
NOTICED_S = 0.1


def recoveries(
    injected: Iterable[Fault], windows: Mapping[str, Sequence[Window]], nodes: int
) -> list[tuple[str, float]]:
    """Name and seconds of each fault that was mended, of a cluster of so many nodes. `windows`: from `NOTICED_S` up."""
    every = [window for mine in windows.values() for window in mine]
    found = []
    for fault in injected:
        if fault.end_s is None:
            continue
        minority = len(fault.nodes) <= (nodes - 1) // 2
        from_s = fault.start_s if minority else fault.end_s
        took_s = [
            window.end_s - max(from_s, window.start_s)
            for window in every
            if fault.start_s - BEFORE_S <= window.start_s <= fault.end_s + AFTER_S
        ]
        found.append((fault.name, max([0.0, *took_s])))
    return found
