"""What becomes of a record that a function raises for: the task stops, or it is skipped, or it is put aside. Pure.

`retries` are further attempts of that record alone. Before the first of them `backoff` passes, before each further one
twice as long, up to `backoff_max`, and always a random part less, so that what failed together does not come again
together: what raised because something outside was busy gets time. Meanwhile the records behind it in its partition
wait, for their order counts; other partitions go on. `backoff="0s"`: at once, where only the record can be to blame. A
function that is given many records is bisected first, so that only the one which is to blame is retried and put aside.
"""

from collections.abc import Sequence

import msgspec

from cluster.errors import InvalidApp
from cluster.processing.durations import duration_ns, written

RETRIES_MAX = 100
BACKOFF = "100ms"
BACKOFF_MAX = "10s"
DAY_NS = duration_ns("1d")
PARKED_KEYS_MAX = 10_000
"""Keys whose records are put aside by one task; beyond it the task stops."""


class OnError(msgspec.Struct, frozen=True, kw_only=True):
    """`how`: stop, skip or dead_letter. `topic` "": `<app>.<processor>.dead`. `backoff_ns` 0: retries come at once."""

    how: str = "stop"
    retries: int = 0
    topic: str = ""
    park_key: bool = False
    backoff_ns: int = duration_ns(BACKOFF)
    backoff_max_ns: int = duration_ns(BACKOFF_MAX)

    def wait_ns(self, failures: int) -> int:
        """At most so long between the failure with that number, from 1, and the next attempt."""
        return min(self.backoff_ns << min(failures - 1, 62), self.backoff_max_ns)


def stop(*, retries: int = 0, backoff: str = BACKOFF, backoff_max: str = BACKOFF_MAX) -> OnError:
    """The task stops at the record and says so; it goes on when there is new code. The default."""
    return _checked(OnError(retries=retries), backoff, backoff_max)


def skip(*, retries: int = 0, backoff: str = BACKOFF, backoff_max: str = BACKOFF_MAX) -> OnError:
    """The record is passed over and counted."""
    return _checked(OnError(how="skip", retries=retries), backoff, backoff_max)


def dead_letter(
    topic: str = "",
    *,
    retries: int = 3,
    park_key: bool = False,
    backoff: str = BACKOFF,
    backoff_max: str = BACKOFF_MAX,
) -> OnError:
    """The record goes to `topic`, as it was, with what happened in its headers, in the same commit.

    `park_key`: later records of its key go there, too, so that a redrive finds all of them in their order.
    """
    policy = OnError(how="dead_letter", retries=retries, topic=topic, park_key=park_key)
    return _checked(policy, backoff, backoff_max)


def _checked(policy: OnError, backoff: str, backoff_max: str) -> OnError:
    """InvalidApp: what was asked for makes no sense."""
    if not 0 <= policy.retries <= RETRIES_MAX:
        raise InvalidApp(f"on_error: {policy.retries} retries; from 0 to {RETRIES_MAX}")
    backoff_ns = duration_ns(backoff, "backoff of on_error")
    max_ns = duration_ns(backoff_max, "backoff_max of on_error")
    if max_ns > DAY_NS:
        raise InvalidApp(f"on_error: backoff_max is {backoff_max!r}; a record waits at most 1d for its next attempt")
    return msgspec.structs.replace(policy, backoff_ns=min(backoff_ns, max_ns), backoff_max_ns=max_ns)


def describe(policy: OnError) -> str:
    """For people: `dead_letter(fraud.dead, retries=3, backoff=100ms to 10s, park_key)`."""
    words: Sequence[str] = [policy.topic] if policy.topic else []
    if policy.retries:
        backoff = f"{written(policy.backoff_ns)} to {written(policy.backoff_max_ns)}" if policy.backoff_ns else "0s"
        words = [*words, f"retries={policy.retries}", f"backoff={backoff}"]
    words = [*words, *(["park_key"] * policy.park_key)]
    return f"{policy.how}({', '.join(words)})" if words else policy.how
