"""How long after each fault sends were acknowledged again, from a history.

A window without acknowledgements counts from its beginning: what a fault of a minority costs is the time until others
lead. One of more than a minority may stop a partition as long as it lasts, so a window that outlasts it counts from its
mend. It is the worst partition that counts; 0 where nobody noticed. A window belongs to each fault that was under way,
or over for less than `AFTER_S`, when it began.
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
        took_s = [
            window.seconds
            if minority or window.end_s <= fault.end_s
            else window.end_s - max(fault.end_s, window.start_s)
            for window in every
            if fault.start_s - BEFORE_S <= window.start_s <= fault.end_s + AFTER_S
        ]
        found.append((fault.name, max([0.0, *took_s])))
    return found
