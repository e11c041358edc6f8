"""What becomes of a record that a function raises for: the task stops, or it is skipped, or it is put aside. Pure.

`retries` are further attempts of that record alone, at once. A function that is given many records is bisected first,
so that only the one which is to blame is retried and put aside.
"""

from collections.abc import Sequence

import msgspec

from cluster.errors import InvalidApp

RETRIES_MAX = 100
PARKED_KEYS_MAX = 10_000
"""Keys whose records are put aside by one task; beyond it the task stops."""


class OnError(msgspec.Struct, frozen=True, kw_only=True):
    """`how`: stop, skip or dead_letter. `topic` "": `<app>.<processor>.dead`."""

    how: str = "stop"
    retries: int = 0
    topic: str = ""
    park_key: bool = False


def stop(*, retries: int = 0) -> OnError:
    """The task stops at the record and says so; it goes on when there is new code. The default."""
    return OnError(retries=_checked(retries))


def skip(*, retries: int = 0) -> OnError:
    """The record is passed over and counted."""
    return OnError(how="skip", retries=_checked(retries))


def dead_letter(topic: str = "", *, retries: int = 3, park_key: bool = False) -> OnError:
    """The record goes to `topic`, as it was, with what happened in its headers, in the same commit.

    `park_key`: later records of its key go there, too, so that a redrive finds all of them in their order.
    """
    return OnError(how="dead_letter", retries=_checked(retries), topic=topic, park_key=park_key)


def _checked(retries: int) -> int:
    if not 0 <= retries <= RETRIES_MAX:
        raise InvalidApp(f"on_error: {retries} retries; from 0 to {RETRIES_MAX}")
    return retries


def describe(policy: OnError) -> str:
    """For people: `dead_letter(fraud.dead, retries=3, park_key)`."""
    words: Sequence[str] = [policy.topic] if policy.topic else []
    words = [*words, *([f"retries={policy.retries}"] if policy.retries else []), *(["park_key"] * policy.park_key)]
    return f"{policy.how}({', '.join(words)})" if words else policy.how
