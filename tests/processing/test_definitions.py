"""What is wrong with an app is said when it is defined, by name; what is right becomes plain values."""

import datetime as dt
import functools
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import msgspec
import pytest

from cluster.errors import InvalidApp
from cluster.processing.app import App
from cluster.processing.context import Ctx
from cluster.processing.event import Event
from cluster.processing.handles import MapState, State, Table
from cluster.processing.policies import dead_letter
from cluster.processing.processor import ALL
from cluster.processing.spec import InputKind, Kind, ProcessorSpec
from cluster.processing.topics import Topic
from cluster.processing.windows import Window


class Order(Event):
    """An order."""

    day: dt.date
    who: str
    sku: str
    n: int


class Alert(Event):
    """Something else."""

    who: str


def one(order: Order) -> None:
    """Takes an order."""


def alarm(order: Order) -> Alert | None:
    """Gives an alert."""


def alarms(order: Order) -> Iterator[Alert]:
    """Gives some."""
    yield Alert(order.who)


def wrong_event(alert: Alert) -> None:
    """Takes what the topic does not hold."""


def wrong_list(alerts: list[Alert]) -> None:
    """The same, many."""


def no_annotation(order) -> None:
    """Does not say what it takes."""


def no_event() -> None:
    """Takes nothing."""


def state_first(total: State[int], order: Order) -> None:
    """The event comes first."""


def nothing_known(order: Order, clock: dt.date) -> None:
    """Wants what nobody hands over."""


def bare_state(order: Order, total: State) -> None:
    """Does not say what it holds."""


def odd_state(order: Order, total: State[Callable[[], int]]) -> None:
    """Holds what cannot be stored."""


def deep_state(order: Order, total: "State[dict[str, Money]]") -> None:
    """Cannot be kept either."""


def keyed(order: Order, total: State[int]) -> None:
    """Wants a key."""


def keyed_map(order: Order, seen: MapState[str, int]) -> None:
    """Wants a key."""


def many_keyed(orders: list[Order], total: State[int]) -> None:
    """Many keys, one state."""


def priced(order: Order, prices: Table[float]) -> None:
    """Wants a table."""


def defaulted(order: Order, *more: int) -> None:
    """Takes a number of things."""


async def asked(order: Order) -> None:
    """Is awaited."""


def in_window(window: Window, orders: list[Order]) -> int:
    """Counts."""
    return len(orders) + window.start_ns


def pair(left: Order, right: Alert) -> None:
    """Takes one of each."""


async def yielding(order: Order) -> AsyncIterator[Alert]:
    """Gives results as it goes."""
    yield Alert(order.who)


class Unfinished(Event):
    """Has a field of a type that nobody has written."""

    who: str
    lines: "list[Line]"  # type: ignore[name-defined]  # noqa: F821


class Made(NamedTuple):
    """What `make` makes."""

    app: App
    orders: Topic
    keyless: Topic
    alerts: Topic


def make() -> tuple[App, Topic, Topic, Topic]:
    """An app with a topic that has a key, one that has none, and one of alerts."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who", time="day")
    keyless = app.topic("keyless", Order)
    return app, orders, keyless, app.topic("alerts", Alert, key="who")


WRONG = {
    r"shop\.wrong_event: it takes Alert, and topic 'orders' holds Order": lambda m: m.app.processor(m.orders)(
        wrong_event
    ),
    r"shop\.wrong_list: it takes list\[.*Alert\], and topic 'orders'": lambda m: m.app.processor(m.orders)(wrong_list),
    r"shop\.no_annotation: parameter 'order' has no annotation": lambda m: m.app.processor(m.orders)(no_annotation),
    r"shop\.no_event: it takes the event first": lambda m: m.app.processor(m.orders)(no_event),
    r"shop\.state_first: it takes the event first": lambda m: m.app.processor(m.orders)(state_first),
    r"shop\.nothing_known: nothing can be handed to parameter 'clock'": lambda m: m.app.processor(m.orders)(
        nothing_known
    ),
    r"shop\.bare_state: parameter 'total' needs its types|nothing can be handed": lambda m: m.app.processor(m.orders)(
        bare_state
    ),
    r"shop\.odd_state: 'total' holds .*cannot be encoded": lambda m: m.app.processor(m.orders)(odd_state),
    r"shop\.deep_state: 'total' holds .*Money.*cannot be encoded": lambda m: m.app.processor(m.orders)(deep_state),
    r"shop\.keyed: parameter 'total' needs a key, and topic 'keyless' has none": lambda m: m.app.processor(m.keyless)(
        keyed
    ),
    r"shop\.keyed_map: parameter 'seen' needs a key": lambda m: m.app.processor(m.keyless)(keyed_map),
    r"shop\.many_keyed: 'total' is of one key, and a list has many": lambda m: m.app.processor(m.orders)(many_keyed),
    r"shop\.priced: unknown table 'prices'; the app has none": lambda m: m.app.processor(m.orders)(priced),
    r"shop\.defaulted: parameter 'more' is given by position": lambda m: m.app.processor(m.orders)(defaulted),
    r"shop\.alarm: it returns Alert and has no topic": lambda m: m.app.processor(m.orders)(alarm),
    r"shop\.alarms: it returns Alert, and topic 'orders' holds Order": lambda m: m.app.processor(m.orders, to="orders")(
        alarms
    ),
    r"shop\.one, key: Order has no field 'customer'; it has day, who": lambda m: m.app.processor(
        m.orders, key="customer"
    )(one),
    r"shop\.one: start 'yesterday'": lambda m: m.app.processor(m.orders, start="yesterday")(one),
    r"shop\.one: until 'soon'": lambda m: m.app.processor(m.orders, until="soon")(one),
    r"shop\.one: version 0; a whole number from 1": lambda m: m.app.processor(m.orders, version=0)(one),
    r"shop\.one: concurrency is for async": lambda m: m.app.processor(m.orders, concurrency=4)(one),
    r"shop\.one: its source is 'orders'": lambda m: m.app.processor("orders")(one),
    r"shop: to= 'no good'": lambda m: m.app.processor(m.orders, to="no good")(one),
    r"shop\.one: it takes the Window and a list": lambda m: m.app.window(m.orders, tumbling="1d")(one),
    r"shop\.in_window: it returns int and has no topic": lambda m: m.app.window(m.orders, tumbling="1d")(in_window),
    r"shop\.in_window: a window needs a key": lambda m: m.app.window(m.keyless, tumbling="1d", to="n")(in_window),
    r"shop: window: one of tumbling": lambda m: m.app.window(m.orders, tumbling="1d", session="1h"),
    r"shop: window: size is 'a day'; write a number and a unit": lambda m: m.app.window(m.orders, tumbling="a day"),
    r"shop: window: the step is at most the size": lambda m: m.app.window(m.orders, hopping=("1m", "1h")),
    r"late=\"update\" with a lateness": lambda m: m.app.window(m.orders, tumbling="1d", late="update"),
    r"a session that was given out is not updated": lambda m: m.app.window(
        m.orders, session="1h", late="update", lateness="1h"
    ),
    r"shop: join: within is '0s'": lambda m: m.app.join(m.orders, m.alerts, within="0s")(pair),
    r"shop\.pair: it takes Alert, and topic 'orders'": lambda m: m.app.join(m.orders, m.orders, within="1h")(pair),
    r"shop\.pair: a join needs a key, and topic 'keyless'": lambda m: m.app.join(m.keyless, m.alerts, within="1h")(
        pair
    ),
    r"topic 'new', time: Order\.who is .*a time is": lambda m: m.app.topic("new", Order, time="who"),
    r"topic 'new', key: Order has no field 'name'": lambda m: m.app.topic("new", Order, key="name"),
    r"topic 'orders' is there already": lambda m: m.app.topic("orders", Alert),
    r"topic 'a b': a name is": lambda m: m.app.topic("a b", Order),
    r"on_error: -1 retries": lambda m: m.app.processor(m.orders, on_error=dead_letter(retries=-1)),
    r"shop\.yielding: an async function returns what it has, .* it does not yield": lambda m: m.app.processor(
        m.orders, to="alerts"
    )(yielding),
    r"shop\.two: a function is wanted, and .*Processor": lambda m: m.app.processor(m.orders, name="two")(
        m.app.processor(m.orders)(one)
    ),
    r"shop\.part: a function is wanted, and .*partial": lambda m: m.app.processor(m.orders, name="part")(
        functools.partial(one)
    ),
    r"shop: processor 'one\.rekey': .* re-keys for 'one'": lambda m: m.app.processor(m.orders, name="one.rekey")(one),
    r"shop\.one: start '2026-13-01'; .* a time \(ISO 8601\)": lambda m: m.app.processor(m.orders, start="2026-13-01")(
        one
    ),
    r"shop\.one: start datetime": lambda m: m.app.processor(m.orders, start=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))(
        one
    ),
    r"shop\.one: until '2026-02-30'": lambda m: m.app.processor(m.orders, until="2026-02-30")(one),
    r"shop\.one: version '2'; a whole number from 1": lambda m: m.app.processor(m.orders, version="2")(one),
    r"shop\.one: tasks None; a whole number from 0": lambda m: m.app.processor(m.orders, tasks=None)(one),
    r"shop\.one: key \['who'\]; a field's name, or ALL": lambda m: m.app.processor(m.orders, key=["who"])(one),
    r"shop\.one: on_error <function dead_letter .*; one of stop\(\), skip\(\), dead_letter\(\)": lambda m: (
        m.app.processor(m.orders, on_error=dead_letter)(one)
    ),
    r"shop\.one: dead_letter 'no good': a name is": lambda m: m.app.processor(
        m.orders, on_error=dead_letter("no good")
    )(one),
    r"shop\.one: dead letters to 'orders', which it reads": lambda m: m.app.processor(
        m.orders, on_error=dead_letter("orders")
    )(one),
    r"shop\.in_window: late records to 'orders', which it reads": lambda m: m.app.window(
        m.orders, tumbling="1d", late_to=m.orders, to="n"
    )(in_window),
    r"shop: window: hopping is \('1h',\); a size and a step": lambda m: m.app.window(m.orders, hopping=("1h",)),
    r"shop: window: hopping is '1h'; a size and a step": lambda m: m.app.window(m.orders, hopping="1h"),
    r"topic 'new': disorder is '9000d'; at most 7300d": lambda m: m.app.topic("new", Order, disorder="9000d"),
    r"shop: window: session is '9000d'; at most 7300d": lambda m: m.app.window(m.orders, session="9000d"),
    r"shop\.one is there already": lambda m: (m.app.processor(m.orders)(one), m.app.processor(m.orders)(one)),
}


@pytest.mark.parametrize("message", list(WRONG))
def test_what_is_wrong_is_said_at_once(message: str) -> None:
    """Each with the name of the function and of what does not fit."""
    with pytest.raises(InvalidApp, match=message):
        WRONG[message](Made(*make()))


class Money:
    """A class of the author's, which JSON knows nothing of."""


class Priced(Event):
    """Has one, deep within."""

    lines: dict[str, list[tuple[Money, int]]]


@pytest.mark.parametrize("event", [Unfinished, Order | Alert, dict[str, Order | Alert], Money, Priced])
def test_a_type_that_nothing_can_be_decoded_as_is_refused(event: object) -> None:
    """When the app is described, since a class may be written behind the topic; not when the first record comes."""
    app = App("shop")

    @app.processor(app.topic("new", event), to="seen")
    def look(event: bytes) -> bytes:
        return event

    @app.processor(app.topics["new"], name="other")
    def other(event: event) -> None:  # type: ignore[valid-type]
        """Wants it decoded."""

    with pytest.raises(InvalidApp, match=r"shop\.other: events of topic 'new' cannot be decoded: "):
        app.specs()


def test_a_timer_that_fits_nothing_is_refused() -> None:
    """Its state is the processor's, or a mistake; and one that nobody wrote cannot be set."""
    app, orders, _, _ = make()
    work = app.processor(orders)(keyed)

    with pytest.raises(
        InvalidApp, match=r"shop\.keyed, timer 'ring': keyed has no state 'count' of that type; it has total"
    ):

        @work.timer("ring")
        def ring(count: State[int]) -> None:
            """Another name."""


def test_an_app_as_plain_values() -> None:
    """Specs can be stored and come back; a key that is not the source's makes a stage of its own in front."""
    app, orders, _, alerts = make()
    prices = app.table("prices", float, key="")

    @app.processor(
        orders, key="sku", to=[alerts, "audit"], on_error=dead_letter(park_key=True), version=2, start="-24h"
    )
    def stock(order: Order, left: State[int], prices: Table[float], ctx: Ctx) -> Alert | None:
        """Some."""

    @app.window(orders, key=ALL, tumbling="1d", late_to="late", to="days")
    def days(window: Window, orders: list[Order]) -> int:
        """Some."""
        return len(orders) + window.start_ns

    rekey, main, rekey_days, counted = app.specs()

    assert prices.name == "prices"
    assert ("stock.rekey", Kind.REKEY, "sku", "stock", False) == (
        rekey.name, rekey.kind, rekey.rekeys, rekey.rekeys_for, rekey.watermarks)  # fmt: skip
    assert "-24h" == rekey.inputs[0].start
    assert ["__rekey.shop.stock.2", "shop.stock.dead"] == [output.topic for output in rekey.outputs]
    assert [
        ("__rekey.shop.stock.2", InputKind.STREAM, "sku", True, "earliest"),
        ("prices", InputKind.TABLE, "", False, "earliest"),
        ("shop.stock.dead", InputKind.PARKED, "", False, "earliest"),
    ] == [(i.topic, i.kind, i.key, i.internal, i.start) for i in main.inputs]
    assert ["alerts", "audit", "shop.stock.dead"] == [output.topic for output in main.outputs]
    assert (("left",), "dead_letter(retries=3, backoff=100ms to 10s, park_key)", 2) == (
        main.stores,
        main.on_error,
        main.version,
    )
    assert (True, ["__rekey.shop.days"]) == (rekey_days.watermarks, [output.topic for output in rekey_days.outputs])
    assert ["days", "late"] == [output.topic for output in counted.outputs]
    for spec in app.specs():
        assert spec == msgspec.msgpack.decode(msgspec.msgpack.encode(spec), type=ProcessorSpec)


def test_a_processor_is_still_the_function() -> None:
    """It can be called, and tested, as what it is."""
    app, orders, _, alerts = make()

    assert [Alert("a")] == list(app.processor(orders, to=alerts)(alarms)(Order(dt.date(2026, 1, 1), "a", "x", 1)))


def test_what_many_results_are_called() -> None:
    """A list may be said to be a sequence, or a collection."""
    app, orders, _, alerts = make()

    @app.processor(orders, to=alerts)
    def in_turn(order: Order) -> Sequence[Alert]:
        return [Alert(order.who)]

    @app.processor(orders, to=alerts)
    def at_all(order: Order) -> Collection[Alert]:
        return [Alert(order.who)]

    assert ["in_turn", "at_all"] == [spec.name for spec in app.specs()]
