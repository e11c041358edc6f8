"""What every replica has on its disk in the end, of some records: all have it, and it is one."""

from collections.abc import Iterable

from chaos.checkers.anomaly import Anomaly
from chaos.history import Event, Kind

HERE = {"held", "compacted"}
"""As `cluster.client.verifying.CopyState` has them: on disk and intact, or superfluous."""
TRIMMED = "trimmed"


def check_copies(events: Iterable[Event], *, retention: bool = False) -> list[Anomaly]:
    """Events `verify` {partition, offset, safe, verdict, copies [[node, state]…]}, after everybody has caught up.

    `retention`: the topic's limits may have deleted the record since it was read: then most of the copies say so.
    """
    found = []
    for event in events:
        if event.name != "verify" or event.kind is not Kind.OK:
            continue
        value = event.value
        all_states = [state for _, state in value["copies"]]
        states = set(all_states)
        if retention and 2 * all_states.count(TRIMMED) > len(all_states):
            continue
        if not value["safe"] or states - HERE:
            place = f"{value['partition']}@{value['offset']}"
            found.append(Anomaly("unsafe copy", f"{place}: {value['verdict']}: {value['copies']}"))
    return found
