"""The view of many events as a `pyarrow.RecordBatch`: typed columns in, rows out, the same as one event at a time."""

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster import ALL, App, Event, State, Window, dead_letter
from cluster.errors import InvalidApp
from cluster.processing.arrow import BatchView
from cluster.processing.rehearsal import CRASHES

pa = pytest.importorskip("pyarrow", reason="make extras")
pc = pytest.importorskip("pyarrow.compute")
UTC = dt.UTC
DAY = dt.date(2026, 1, 1)


class Colour(enum.Enum):
    """A choice."""

    RED = "red"
    BLUE = "blue"


class Line(Event, omit_defaults=True):
    """Something nested, whose defaults are not written."""

    sku: str
    n: int = 1
    colour: Colour | None = None


class Order(Event):
    """One of every kind."""

    day: dt.date
    at: dt.datetime
    usd: Decimal
    cents: Annotated[Decimal, msgspec.Meta(extra={"arrow": pa.decimal128(12, 2)})]
    note: str | None
    lines: list[Line]
    weights: dict[str, float]
    colour: Colour
    how: Literal["card", "cash"]
    id: uuid.UUID
    raw: bytes
    paid: bool
    took: dt.timedelta
    tags: set[str] | None = None


def order(**changed: Any) -> Order:
    """An order, with something else in it."""
    whole = Order(
        day=DAY,
        at=dt.datetime(2026, 1, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=1))),
        usd=Decimal("12.345"),
        cents=Decimal("0.50"),
        note=None,
        lines=[Line("a", colour=Colour.BLUE), Line("b", 2)],
        weights={"a": 0.5},
        colour=Colour.RED,
        how="card",
        id=uuid.UUID(int=1),
        raw=b"\x00",
        paid=True,
        took=dt.timedelta(seconds=3),
        tags={"x"},
    )
    return msgspec.structs.replace(whole, **changed)


def test_columns_have_the_types_of_the_fields():
    """Always the same ones, also where all values are absent; nothing is lost on the way, and times are in UTC."""
    view = BatchView(Order, "orders")
    batch = view([order(), order(note="n", tags=None, at=dt.datetime(2026, 1, 1, 11))])  # noqa: DTZ001  taken as UTC

    line = pa.struct([("sku", pa.string()), ("n", pa.int64()), ("colour", pa.string())])
    kinds = {
        "day": pa.date32(),
        "at": pa.timestamp("us", "UTC"),
        "usd": pa.decimal128(38, 18),
        "cents": pa.decimal128(12, 2),
        "note": pa.string(),
        "lines": pa.list_(line),
        "weights": pa.map_(pa.string(), pa.float64()),
        "colour": pa.string(),
        "how": pa.string(),
        "id": pa.string(),
        "raw": pa.binary(),
        "paid": pa.bool_(),
        "took": pa.duration("us"),
        "tags": pa.list_(pa.string()),
    }
    assert kinds == {field.name: field.type for field in batch.schema}
    assert ["note", "tags"] == [field.name for field in batch.schema if field.nullable]
    assert batch.schema == view([order(tags=None)]).schema == view([]).schema
    first, second = batch.to_pylist()
    assert [{"sku": "a", "n": 1, "colour": "blue"}, {"sku": "b", "n": 2, "colour": None}] == first["lines"]
    assert (Decimal("12.345"), Decimal("0.50"), [("a", 0.5)]) == (first["usd"], first["cents"], first["weights"])
    assert first["at"] == second["at"] == dt.datetime(2026, 1, 1, 11, tzinfo=UTC)
    assert (None, ["x"], "n", None) == (first["note"], first["tags"], second["note"], second["tags"])
    assert ("red", "card", str(uuid.UUID(int=1)), b"\x00") == tuple(first[n] for n in ("colour", "how", "id", "raw"))


class Either(Event):
    """A field of two kinds."""

    value: int | str


class Loose(Event):
    """A field of any kind."""

    inner: Any


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Either, "value may be of several types"),
        (Loose, "inner is of a type that a RecordBatch has no column for"),
        (None, "fields of an Event"),
        (bytes, "fields of an Event"),
    ],
)
def test_what_has_no_columns_is_refused(event, message):
    """When the app is defined, with the field's name."""
    app = App("shop")
    topic = app.topic("orders", event)

    def work(batch: pa.RecordBatch) -> None:
        """Takes columns."""

    with pytest.raises(InvalidApp, match=message):
        app.processor(topic)(work)


def test_a_batch_is_of_many_keys():
    """So there is no state beside it, and no join takes it."""
    app = App("shop")
    topic = app.topic("lines", Line, key="sku")

    def keyed(batch: pa.RecordBatch, total: State[int]) -> None:
        """Wants the state of one key."""

    def joined(left: pa.RecordBatch, right: Line) -> None:
        """Wants pairs."""

    with pytest.raises(InvalidApp, match="take one event at a time"):
        app.processor(topic)(keyed)
    with pytest.raises(InvalidApp, match="one event of each side"):
        app.join(topic, topic, within="1s")(joined)


def unknown(batch: "pa_that_is_not_there.RecordBatch") -> None:  # noqa: F821
    """An annotation of what was not imported."""


def without(batch: "pyarrow.RecordBatch") -> None:  # noqa: F821
    """The same, of what may not be installed."""


def test_it_says_where_arrow_comes_from():
    """If the annotation cannot be resolved because of it."""
    app = App("shop")
    topic = app.topic("lines", Line)
    with pytest.raises(InvalidApp, match=r"'pyarrow' is not defined; pyarrow comes with riverrun\[arrow\]"):
        app.processor(topic)(without)
    with pytest.raises(InvalidApp, match=r"not defined$"):
        app.processor(topic)(unknown)


class Sale(Event):
    """A sale; `n` may be too large for a column."""

    who: str
    n: int
    usd: Decimal
    day: dt.date


class Priced(Event):
    """What becomes of it."""

    who: str
    n: int
    usd: Decimal


sales = st.lists(
    st.builds(
        Sale,
        st.sampled_from("abc"),
        st.one_of(st.integers(-5, 5), st.just(2**63)),
        st.decimals(-1000, 1000, places=3),
        st.dates(DAY, DAY + dt.timedelta(days=3)),
    ),
    max_size=25,
)
faults = st.lists(st.sampled_from(CRASHES), max_size=3)


def apps(what: str) -> list[App]:
    """An app that takes one at a time (for windows: a list), and one that takes columns, which make the same."""
    made = []
    for columns in (False, True):
        app = App("shop")
        topic = app.topic("sales", Sale, key="who", time="day", disorder="10d")
        out = app.topic("out", Priced, key="who")
        if what == "window":
            _define_window(app, topic, columns=columns)
        elif columns:

            @app.processor(topic, to=out, on_error=dead_letter("bad", retries=0))
            def of_many(batch: pa.RecordBatch) -> pa.RecordBatch | None:
                some = batch.filter(pc.greater_equal(batch["n"], 0))
                return some.drop_columns(["day"]) if some.num_rows else None

        else:

            @app.processor(topic, to=out, on_error=dead_letter("bad", retries=0))
            def of_one(sale: Sale) -> Priced | None:
                if sale.n >= 2**63:
                    raise OverflowError
                return Priced(sale.who, sale.n, sale.usd) if sale.n >= 0 else None

        made.append(app)
    return made


def _define_window(app: App, topic: Any, *, columns: bool) -> None:
    if columns:

        @app.window(topic, key=ALL, tumbling="1d", to="out")
        def of_columns(window: Window, sales: pa.RecordBatch) -> Priced:
            return Priced(str(window.start.date()), sales.num_rows, pc.sum(sales["usd"]).as_py())

    else:

        @app.window(topic, key=ALL, tumbling="1d", to="out")
        def of_list(window: Window, sales: list[Sale]) -> Priced:
            return Priced(str(window.start.date()), len(sales), sum((s.usd for s in sales), Decimal(0)))


@pytest.mark.slow
@pytest.mark.parametrize("what", ["processor", "window"])
@settings(max_examples=40, deadline=None)
@given(sales=sales, crashes=faults, per_work=st.integers(1, 12))
def test_columns_give_what_single_events_give(what: str, sales: list[Sale], crashes: list[str], per_work: int) -> None:
    """Records, their keys, and those that were put aside, whatever crashed and however the input was cut."""
    if what == "window":
        sales = [sale for sale in sales if sale.n < 2**63]
    found = []
    for app in apps(what):
        (processor,) = app.processors.values()
        with app.test(partitions=2, records_per_work=per_work) as t:
            for place, sale in enumerate(sales):
                t.send("sales", sale)
                if place < len(crashes):
                    t.step()
                    t.crash(processor, before=crashes[place])
            t.finish()
            priced = sorted((msgspec.structs.astuple(value) for value in t.read("out")), key=repr)
            keys = sorted(record.key or b"" for record in t.records("out"))
            bad = sorted(record.value for record in t.records("bad")) if what == "processor" else []
            found.append((sorted((who, n, float(usd)) for who, n, usd in priced), keys, bad))

    assert found[0] == found[1]
    assert len(found[0][2]) == sum(sale.n >= 2**63 for sale in sales)


def test_rows_are_checked_against_the_topic():
    """A row that is no such event is the function's fault, and says so; where a topic holds anything, it is written."""
    app = App("shop")
    topic, out = app.topic("lines", Line), app.topic("out", Priced)

    @app.processor(topic, to=out, on_error=dead_letter("bad", retries=0))
    def wrong(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch

    @app.processor(topic, to="loose")
    async def loose(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.drop_columns(["colour"])

    with app.test(partitions=1) as t:
        t.send(topic, Line("a"), Line("b", 2))
        assert [] == t.read("out")
        letters = t.records("bad")
        assert [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}] == t.read("loose")

    said = {header.name: header.value for header in letters[0].headers}["rr-error"]
    assert (2, True) == (len(letters), b"missing required field `who`" in said)
