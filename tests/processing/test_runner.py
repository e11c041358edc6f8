"""The runner by itself: views, provenance, several outputs, tables of others, batches that are broken, what is kept."""

import msgspec
import pytest

from cluster.errors import InvalidApp, ProcessorFailed, TriesLeft
from cluster.processing.app import App
from cluster.processing.context import Ctx
from cluster.processing.event import Event
from cluster.processing.handles import MapState, State, Table
from cluster.processing.policies import OnError, dead_letter, skip, stop
from cluster.processing.processor import ALL
from cluster.processing.runner import Runner
from cluster.processing.work import Batch, Work
from cluster.records import Record
from cluster.wire.records import encode_records


class Order(Event):
    """An order of somebody."""

    n: int
    who: str
    sku: str = "x"


def batch(*records: Record, base: int = 0, begin: int = -1, partition: int = 0, input_: int = 0) -> Batch:
    """As it is stored."""
    payload = encode_records(records)
    return Batch(
        input=input_,
        partition=partition,
        payload=payload,
        codec=0,
        uncompressed_size=len(payload),
        record_count=len(records),
        base_offset=base,
        begin=base if begin < 0 else begin,
        end=base + len(records),
    )


def order(n: int, who: str = "a", time_ns: int = 0) -> Record:
    """One record."""
    return Record(value=msgspec.json.encode(Order(n, who)), key=who.encode(), timestamp_ns=time_ns)


def work(*batches: Batch, n: int = 1, in_time_order: bool = False) -> Work:
    """Of these batches."""
    return Work(task=0, n=n, now_ns=7, batches=list(batches), fired=[], idle=[], in_time_order=in_time_order)


def counting(policy: OnError) -> tuple[App, dict[tuple[str, bytes], bytes], Runner]:
    """A runner of a count, over a store of its own."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")

    @app.processor(orders, to="seen", on_error=policy)
    def count(order: Order, total: State[int]) -> int:
        total.value += 1
        if order.n < 0:
            raise ValueError("negative")
        return total.value

    store: dict[tuple[str, bytes], bytes] = {}
    return app, store, Runner(count.stages[0], lambda wanted: [store.get(pair) for pair in wanted])


def test_the_same_work_on_the_same_state_has_the_same_effects() -> None:
    """Whoever runs it; and what was processed before `begin` is passed over."""
    todo = work(batch(order(1), order(2), order(3, "b"), order(4), base=10, begin=11))
    effects = [counting(stop())[2].run(todo) for _ in range(2)]

    assert effects[0] == effects[1]
    assert [b"1", b"1", b"2"] == [output.value for output in effects[0].outputs]
    assert [b"orders/0@11", b"orders/0@12", b"orders/0@13"] == [out.headers[0][1] for out in effects[0].outputs]


def test_a_work_that_failed_leaves_the_runner_as_it_was() -> None:
    """What works before it have changed and nobody can read yet is still there."""
    _, store, runner = counting(stop())
    runner.run(work(batch(order(1), order(2)), n=1))
    with pytest.raises(ProcessorFailed):
        runner.run(work(batch(order(3), order(-1), base=2), n=2))
    effects = runner.run(work(batch(order(3), base=2), n=2))

    assert {} == store
    assert [b"3"] == [output.value for output in effects.outputs]


@pytest.mark.parametrize(("policy", "letters"), [(skip(), 0), (dead_letter(), 1)])
def test_a_batch_that_cannot_be_read_is_passed_over_as_a_whole(policy: OnError, letters: int) -> None:
    """All of its records are counted, and its bytes are kept where there is a place for them."""
    runner = counting(policy)[2]
    broken = msgspec.structs.replace(batch(order(1), order(2)), record_count=1)
    effects = runner.run(work(broken, batch(order(3), base=2)))

    assert {"corrupt": 2} == effects.counts
    assert letters + 1 == len(effects.outputs)
    assert b"1" == effects.outputs[-1].value


def test_a_broken_batch_stops_who_stops() -> None:
    """And says where."""
    runner = counting(stop())[2]
    with pytest.raises(ProcessorFailed, match="the batch of orders/0 at offset 0: CorruptBatch"):
        runner.run(work(msgspec.structs.replace(batch(order(1)), payload=b"\xff", uncompressed_size=1)))


def test_views_bytes_and_lists() -> None:
    """The annotation chooses; bytes come undecoded, whatever they are."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")

    @app.processor(orders, to="sizes")
    def sizes(value: bytes) -> int:
        return len(value)

    @app.processor(orders, to="counts")
    def counts(values: list[bytes], ctx: Ctx) -> list[int]:
        return [len(values), ctx.position.offset]

    with app.test(partitions=1) as t:
        t.send(orders, b"no json", Order(1, "a"))

        assert [7, 27] == t.read("sizes")
        assert [2, 1] == t.read("counts")


def test_none_one_and_many_to_several_topics() -> None:
    """What is returned goes to the first topic of `to=`; `emit` reaches the others, and no more than those."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")
    by_sku = app.topic("by-sku", Order, key="sku")

    @app.processor(orders, to=["all", by_sku])
    def split(order: Order, ctx: Ctx) -> list[dict[str, int]] | None:
        ctx.emit(by_sku, order)
        ctx.emit("all", {"n": -order.n}, key="other")
        if order.n == 3:
            ctx.emit("nowhere", order)
        return [{"n": order.n}] * order.n if order.n else None

    with pytest.raises(ProcessorFailed, match="emit: 'nowhere' is not among"), app.test() as t:  # noqa: PT012
        t.send(orders, *[Order(n, "a", f"s{n}") for n in range(3)])
        assert [-2, -1, 0, 1, 2, 2] == sorted(found["n"] for found in t.read("all"))
        assert {b"a", b"other"} == {record.key for record in t.records("all")}
        assert {b"s0", b"s1", b"s2"} == {record.key for record in t.records(by_sku)}
        t.send(orders, Order(3, "a"))


def test_an_output_names_the_record_that_it_comes_from_through_a_rekeyed_topic() -> None:
    """And so does what the function sees: its position, and a key for calls of others that repeats with it."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")

    @app.processor(orders, key="sku", to="seen")
    def seen(order: Order, total: State[int], ctx: Ctx) -> list[str]:
        total.value += order.n
        return [f"{ctx.key} {ctx.position.topic} {ctx.position.offset}", ctx.idempotency_key]

    with app.test(partitions=1) as t:
        t.send(orders, Order(1, "a", "s1"), Order(2, "b", "s2"))

        assert ["s1 orders 0", "shop.seen/orders/0@0", "s2 orders 1", "shop.seen/orders/0@1"] == t.read("seen")
        assert [b"orders/0@0", b"orders/0@0", b"orders/0@1", b"orders/0@1"] == [
            header.value for record in t.records("seen") for header in record.headers if header.name == "rr-source"
        ]


def test_map_state_deletes_what_is_deleted() -> None:
    """Each value is its own, and one that is gone is not stored."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")

    @app.processor(orders, to="seen")
    def seen(order: Order, skus: MapState[str, list[int]]) -> bool:
        known = order.sku in skus
        if order.n < 0:
            del skus[order.sku]
        elif known:
            skus[order.sku].append(order.n)
        else:
            skus[order.sku] = [order.n]
        return known

    with app.test(partitions=1, records_per_work=2) as t:
        t.send(
            orders, *[Order(n, "a", sku) for n, sku in ((1, "x"), (2, "x"), (3, "y"), (-1, "y"), (4, "x"), (5, "y"))]
        )

        assert [False, True, False, True, True, False] == t.read("seen")
        assert [[1, 2, 4], [5]] == [
            msgspec.msgpack.decode(v) for (s, _), v in t._tasks["seen"][0].store.items() if s == "skus"
        ]


def test_another_tasks_part_of_a_table_is_refused() -> None:
    """What is not here is not taken for nothing."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")
    prices = app.table("prices", float)

    @app.processor(orders, to="seen")
    def priced(order: Order, prices: Table[float]) -> float:
        return prices[order.sku] * order.n

    with pytest.raises(ProcessorFailed, match="table 'prices': key 'x1' belongs to another task"), app.test() as t:  # noqa: PT012
        t.send(prices, 9.5, key="x1")
        t.send(orders, *[Order(n, f"a{n}", "x1") for n in range(9)])


def test_in_time_order_inputs_are_merged() -> None:
    """Catching up, records of all partitions come by their times; those of one partition stay in their order."""
    runner = counting(stop())[2]
    runner = Runner(runner.stage, lambda wanted: [None] * len(wanted), partitions=2)
    first = batch(*[order(n, "a", time) for n, time in enumerate((10, 40, 20, 60))])
    second = batch(*[order(n, "b", time) for n, time in enumerate((5, 30, 45, 70))], partition=1)
    effects = runner.run(work(first, second, in_time_order=True))

    assert [5, 10, 30, 40, 20, 45, 60, 70] == [output.timestamp_ns for output in effects.outputs]
    assert 60 == effects.watermark_ns


def test_a_record_among_those_of_several_partitions_is_said_where_it_was_read() -> None:
    """Who waits before it is tried again holds up its own partition, not another."""
    runner = counting(stop(retries=1))[2]
    runner = Runner(runner.stage, lambda wanted: [None] * len(wanted), partitions=2)
    first = batch(*[order(n, "a", time) for n, time in enumerate((10, 40))], base=100)
    second = batch(*[order(n, "b", time) for n, time in ((1, 5), (2, 30), (-3, 45))], base=200, partition=1)
    with pytest.raises(TriesLeft, match="orders/1 at offset 202: ValueError: negative") as caught:
        runner.run(work(first, second, in_time_order=True))

    said = caught.value.metadata
    assert ("0", "1", "202") == (said["input"], said["partition"], said["offset"])


def test_a_work_of_several_batches_fails_as_a_whole() -> None:
    """What its first batches have changed is taken back with the last."""
    _, _, runner = counting(stop())
    runner.run(work(batch(order(0)), n=1))
    with pytest.raises(ProcessorFailed):
        runner.run(work(batch(order(1), base=1), batch(order(2), base=2), batch(order(-1), base=3), n=2))
    effects = runner.run(work(batch(order(1), base=1), n=2))

    assert [b"2"] == [output.value for output in effects.outputs]
    assert [2] == [msgspec.msgpack.decode(change.value) for change in effects.state if change.store == "total"]


def test_no_more_keys_are_parked_than_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that is everybody's is not put aside key by key: the task stops."""
    monkeypatch.setattr("cluster.processing.attempts.PARKED_KEYS_MAX", 2)
    runner = counting(dead_letter(retries=0, park_key=True))[2]
    runner.run(work(batch(order(-1, "a"), order(-1, "b"), order(1, "a")), n=1))
    with pytest.raises(ProcessorFailed, match="2 keys are parked, and no more are"):
        runner.run(work(batch(order(-1, "c"), base=3), n=2))


@pytest.mark.parametrize("event", [None, bytes, Order])
def test_one_key_for_all_of_a_topic_wants_no_field_of_them(event: object) -> None:
    """Whatever is in it: the function takes bytes, so nothing is decoded on the way."""
    app = App("shop")
    anything = app.topic("anything", event)

    @app.processor(anything, key=ALL, to="counts")
    def count(value: bytes, total: State[int]) -> int:
        total.value += len(value)
        return total.value

    with app.test() as t:
        t.send(anything, b"x", b"{}", b"rubbish")
        assert 10 == t.read("counts")[-1]


def test_what_does_not_decode_is_put_aside_before_it_gets_the_one_key() -> None:
    """So with a parked key it keeps back what came under its own key, not everything."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")

    @app.processor(orders, key=ALL, to="seen", on_error=dead_letter("dead", park_key=True))
    def look(order: Order) -> int:
        return order.n

    with app.test() as t:
        t.send(orders, b"rubbish", key="a")
        t.settle()
        t.send(orders, Order(1, "b"), Order(2, "a"))
        assert [1] == t.read("seen")
        assert 2 == len(t.records("dead"))


def test_a_table_is_only_read() -> None:
    """Who changes what it was handed has changed its own copy."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")
    last = app.table("last", Order, key="who")

    @app.processor(orders, to="seen")
    def look(order: Order, last: Table[Order]) -> int:
        found = last[order.who]
        found.n += order.n
        return found.n

    with app.test(partitions=1) as t:
        t.send(last, Order(1, "a"))
        t.settle()
        t.send(orders, Order(10, "a"), Order(20, "a"))
        assert [11, 21] == t.read("seen")
        t.send(orders, Order(30, "a"))
        assert [11, 21, 31] == t.read("seen")


@pytest.mark.parametrize("by_name", [False, True])
def test_a_table_may_be_written(*, by_name: bool) -> None:
    """By its name, or as what `app.table` returned: under its key, as what it holds."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")
    last = app.table("last", Order, key="sku")

    @app.processor(orders, to="last" if by_name else last, on_error=skip())
    def keep(order: Order):  # type: ignore[no-untyped-def]
        return order if order.n else "no order"

    with app.test(partitions=1) as t:
        t.send(orders, Order(1, "a", "s1"), Order(0, "a", "s1"), Order(2, "b", "s2"))
        assert [b"s1", b"s2"] == [record.key for record in t.records(last)]
        assert {"skipped": 1} == t.counts(keep)


@pytest.mark.parametrize("to", [7, [None], Order])
def test_what_is_no_topic_is_no_place_for_results(to: object) -> None:
    """It is said so."""
    app = App("shop")

    with pytest.raises(InvalidApp, match=r"shop: to=.*; a name, or what `app.topic` returned"):
        app.processor(app.topic("orders", Order), to=to)(lambda order: order)
