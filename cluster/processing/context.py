"""`Ctx`: what a function may know and do beside its event and its state."""

import datetime as dt
from collections.abc import Callable
from typing import Any, NamedTuple

from cluster.errors import InvalidApp
from cluster.processing.draft import Draft
from cluster.processing.durations import duration_ns
from cluster.processing.event import datetime_ns, decode_key, ns_datetime
from cluster.processing.work import TimerClock

CLOCKS = {"event": TimerClock.EVENT, "processing": TimerClock.PROCESSING}


class Position(NamedTuple):
    """Where a record stands."""

    topic: str
    partition: int
    offset: int


class Ctx:
    """The context of one call. It is the same object every time: do not keep it.

    Instead of the machine's clock use `now`: it is in the commit, so a repetition sees the same.
    """

    __slots__ = ("_draft", "_identity", "_key_kind", "_timers", "_watermark")

    def __init__(
        self, draft: Draft, identity: str, key_kind: Any, timers: frozenset[str], watermark: Callable[[], int]
    ) -> None:
        self._draft = draft
        self._identity = identity
        self._key_kind = key_kind
        self._timers = timers
        self._watermark = watermark

    @property
    def now(self) -> dt.datetime:
        """The time of this work, in UTC."""
        return ns_datetime(self._draft.now_ns)

    @property
    def now_ns(self) -> int:
        """The same, in nanoseconds since 1970."""
        return self._draft.now_ns

    @property
    def time_ns(self) -> int:
        """The event time of the record; of a timer, when it was to fire."""
        return self._draft.time_ns

    @property
    def watermark_ns(self) -> int:
        """How far event time had come when this work began."""
        return self._watermark()

    @property
    def key(self) -> Any:
        """The current key, of the type of the field that it comes from; bytes where no field is known."""
        key = self._draft.current_key
        return None if key is None else decode_key(key, self._key_kind)

    @property
    def position(self) -> Position | None:
        """Where the record stands; None in a timer."""
        part = self._draft.part
        return None if part is None else Position(*part.position(self._draft.place))

    @property
    def idempotency_key(self) -> str:
        """The same for each repetition of this call, different for every other: for calls of foreign services."""
        name, value = self._draft.source()
        key = self._draft.current_key if name == "rr-timer" else None
        return f"{self._identity}/{value.decode()}" + ("" if key is None else f"/{key.hex()}")

    def emit(self, topic: Any, value: Any, *, key: object = None) -> None:
        """A value for one of the topics that the processor has in `to=`; `key`: instead of what its key would be."""
        name = topic if isinstance(topic, str) else topic.name
        number = self._draft.by_topic.get(name)
        if number is None:
            raise InvalidApp(f"emit: {name!r} is not among the topics of `to=`")
        self._draft.emit(number, value, key=key)

    def timer(
        self, name: str, *, after: str | None = None, at: dt.datetime | int | None = None, clock: str = "event"
    ) -> None:
        """Call `@<processor>.timer(name)` for this key: a length of time after the record's event time, or at a time.

        `clock`: "event" (when the watermark gets there), or "processing" (by `now`; then `after` counts from now). Set
        again it is moved. A time that has passed fires with the next work.
        """
        self._check(name)
        if clock not in CLOCKS:
            raise InvalidApp(f'timer {name!r}: clock {clock!r}; "event" or "processing"')
        if (after is None) == (at is None):
            raise InvalidApp(f"timer {name!r}: give either `after` or `at`")
        if at is not None:
            if isinstance(at, bool) or not isinstance(at, int | dt.datetime):
                raise InvalidApp(f"timer {name!r}: `at` is {at!r}; a datetime, or an int of ns since 1970")
            at_ns = at if isinstance(at, int) else datetime_ns(at)
        else:
            begin = self._draft.time_ns if clock == "event" else self._draft.now_ns
            at_ns = begin + duration_ns(after, f"timer {name!r}: after")
        self._draft.set_timer(self._keyed(name), name, at_ns, CLOCKS[clock])

    def cancel(self, name: str) -> None:
        """The timer of this key does not fire, if it was set."""
        self._check(name)
        self._draft.set_timer(self._keyed(name), name, None, TimerClock.EVENT)

    def _check(self, name: str) -> None:
        if name not in self._timers:
            raise InvalidApp(f"timer {name!r} has no function: write one with @<processor>.timer({name!r})")

    def _keyed(self, name: str) -> bytes:
        key = self._draft.current_key
        if key is None:
            raise InvalidApp(f"timer {name!r}: the record has no key")
        return key
