"""Which stages a route becomes, and what they do together: in memory, with crashes."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from cluster.client.routing import partition_of_key
from cluster.connectors.contract import Guarantee
from cluster.connectors.registry import Registry
from cluster.processing.app import App
from cluster.processing.routes.as_app import app_of
from cluster.processing.routes.reading import load_routes

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Feed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="feed"):
    """A source; nobody opens it here."""

    name: str = "feed"
    summary = "a feed"
    guarantee = Guarantee.EXACTLY_ONCE

    def check(self) -> None:
        """It is fine."""

    def shares(self) -> Sequence[str]:
        """Two."""
        return ("a", "b")

    def open(self, share: str, identity: str) -> Any:
        """Not here."""
        raise AssertionError(share, identity)


class Box(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="box"):
    """A sink; nobody opens it here."""

    name: str = "box"
    summary = "a box"
    guarantee = Guarantee.EXACTLY_ONCE
    hold_s = 0.0
    batch_records_max = 10

    def check(self) -> None:
        """It is fine."""

    def open(self, identity: str) -> Any:
        """Not here."""
        raise AssertionError(identity)


def app(text: str) -> App:
    """The app of a file."""
    return app_of(load_routes(f'name = "shop"\n{text}', "shop.toml", Registry({"feed": Feed}, {"box": Box})))


def stages(text: str) -> dict[str, tuple[str, str, str]]:
    """Of each: its kind, what it reads, what it writes."""
    return {
        spec.name: (
            str(spec.kind),
            " ".join(item.topic for item in spec.inputs),
            " ".join(item.topic for item in spec.outputs),
        )
        for spec in app(text).specs()
    }


PLAIN = '[[route]]\nname = "r"\n'


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ('from = {topic = "a"}\nto = {topic = "b"}', {"r": ("function", "a", "b")}),
        (
            'from = {topic = "a"}\nto = {topic = "b"}\non_error = "dead_letter"',
            {"r": ("function", "a shop.r.dead", "b shop.r.dead")},
        ),
        ('from = {topic = "a"}\nwhere = "x > 1"\nto = {kind = "box"}', {"r": ("sink", "a", "")}),
        (
            'from = {topic = "a"}\nto = [{topic = "b"}, {kind = "box"}, {kind = "box", name = "other"}]',
            {"r": ("function", "a", "b"), "r.box": ("sink", "a", ""), "r.other": ("sink", "a", "")},
        ),
        ('from = {kind = "feed"}\nto = {topic = "b"}', {"r": ("source", "", "b")}),
        (
            'from = {kind = "feed"}\n'
            'to = [{topic = "b"}, {kind = "box"}, {kind = "box", name = "some", where = "x > 1"}]',
            {
                "r": ("source", "", "b shop.r shop.r.some"),
                "r.box": ("sink", "shop.r", ""),
                "r.some": ("sink", "shop.r.some", ""),
            },
        ),
        (
            'from = {topic = "a", key = "c"}\nlookup = {t = {table = "t", by = "c"}}\n'
            'to = [{topic = "b"}, {kind = "box"}]',
            {"r": ("function", "a t", "b shop.r"), "r.box": ("sink", "shop.r", "")},
        ),
        (
            'from = {kind = "feed"}\nlookup = {t = {table = "t", by = "c"}}\nto = {topic = "b"}',
            {
                "r.source": ("source", "", "shop.r.in"),
                "r.by": ("function", "shop.r.in", "shop.r.by"),
                "r": ("function", "shop.r.by t", "b"),
            },
        ),
    ],
)
def test_a_route_becomes_these_stages(route: str, expected: dict[str, tuple[str, str, str]]) -> None:
    """See the rules of `as_app`."""
    tables = '[tables.t]\ntopic = "t"\n' if "lookup" in route else ""
    assert expected == stages(f"{tables}{PLAIN}{route}\n")


def test_a_source_has_a_task_for_each_share_and_says_what_it_is() -> None:
    """And how often a record is captured."""
    (spec,) = app(f'{PLAIN}from = {{kind = "feed"}}\nto = {{topic = "b"}}').specs()
    assert (2, "a feed", "exactly once") == (spec.tasks, spec.outside, spec.guarantee)


def test_records_are_filtered_changed_keyed_and_dealt_out_through_crashes() -> None:
    """To topics by their conditions; what an expression fails for is a dead letter, with why."""
    made = app(
        PLAIN
        + """
from = {topic = "orders"}
where = "total > 10"
set = {vat = "total * 0.5"}
key = "region"
to = [{topic = "all"}, {topic = "eu", where = "region == 'eu'"}]
on_error = "dead_letter"
"""
    )
    with made.test() as t:
        t.crash(made.processors["r"], before="commit")
        t.send(
            "orders",
            {"total": 5},
            {"total": 20, "region": "eu"},
            {"total": 30, "region": "us"},
            {"total": "x"},
            key="k",
        )
        t.crash(made.processors["r"], before="receipt")
        t.send("orders", {"total": 40, "region": "eu"}, key="k")
        wanted = [{"total": 20, "region": "eu", "vat": 10.0}, {"total": 40, "region": "eu", "vat": 20.0}]
        assert wanted == t.read("eu")
        assert {b"eu", b"us"} == {record.key for record in t.records("all")}
        assert 3 == len(t.read("all"))
        (letter,) = t.records("shop.r.dead")
        assert b'{"total":"x"}' == letter.value
        said = {header.name: header.value.decode() for header in letter.headers}
        assert "where" in said["rr-error"]


def test_what_is_known_of_a_record_is_its_own_where_partitions_are_handled_together() -> None:
    """A task that catches up takes the records of all of its partitions by their times."""
    made = app(
        f"""{PLAIN}from = {{topic = "orders"}}
map = {{n = "n", partition = "meta.partition", offset = "meta.offset"}}
to = {{topic = "b"}}"""
    )
    with made.test(partitions=3, tasks=1) as t:
        ends = [0, 0, 0]
        expected = []
        for n in range(20):
            key = f"k{n}"
            partition = partition_of_key(key.encode(), 3)
            t.send("orders", {"n": n}, key=key, time=T0 + dt.timedelta(seconds=n))
            expected.append({"n": n, "partition": partition, "offset": ends[partition]})
            ends[partition] += 1
        assert expected == sorted(t.read("b"), key=lambda found: found["n"])
        assert all(ends)


def test_what_a_source_brings_that_is_no_record_is_put_aside() -> None:
    """What is no JSON, what its connector could not decode, and what an expression fails for."""
    made = app(
        f'{PLAIN}from = {{kind = "feed"}}\nset = {{double = "n * 2"}}\nto = {{topic = "b"}}\non_error = "dead_letter"'
    )
    with made.test() as t:
        t.arrive("r", b"rubbish", {"n": 1}, {"n": "x"}, {"m": 1}, b'{"n": 2}')
        t.arrive("r", b"what", headers=[("rr-undecoded", b"no idea")])
        assert [2, 4] == sorted(each["double"] for each in t.read("b"))
        letters = t.records("shop.r.dead")
        assert [b"rubbish", b'{"n":"x"}', b'{"m":1}', b"what"] == [letter.value for letter in letters]
        errors = [next(h.value for h in letter.headers if h.name == "rr-error") for letter in letters]
        assert b"no idea" in errors[-1]
        assert {"dead_lettered": 4} == t.counts(made.processors["r"])


def test_headers_and_unchanged_values_go_on_as_they_are() -> None:
    """Byte for byte."""
    made = app(f'{PLAIN}from = {{kind = "feed"}}\nwhere = "n > 1"\nto = {{topic = "b"}}')
    with made.test() as t:
        t.arrive("r", b'{"n":  2}', b'{"n": 1}', key="k", headers=[("h", b"1")])
        t.arrive("r", {"n": 3}, key="k")
        records = t.records("b")
        assert [b'{"n":  2}', b'{"n":3}'] == [record.value for record in records]
        assert ("h", b"1") in [(header.name, header.value) for header in records[0].headers]
        assert b"k" == records[0].key


def test_rows_are_looked_up_by_another_field_and_delivered_once_through_crashes() -> None:
    """Through a topic that is keyed by it; a customer who is not known is null."""
    made = app(
        """
[tables.customers]
topic = "customers"
"""
        + PLAIN
        + """
from = {kind = "feed"}
lookup = {customer = {table = "customers", by = "buyer"}}
map = {n = "n", name = "customer.name if customer else 'nobody'"}
to = {kind = "box"}
"""
    )
    with made.test() as t:
        t.send("customers", b'{"name": "Ann"}', key="c1")
        t.settle()
        t.crash(made.processors["r.box"], before="commit")
        t.crash(made.processors["r.source"], before="commit")
        t.arrive("r.source", {"n": 1, "buyer": "c1"}, {"n": 2, "buyer": "c2"})
        t.arrive("r.source", {"n": 3, "buyer": "c1"})
        found = sorted((each.value["n"], each.value["name"]) for each in t.delivered("r.box"))
        assert [(1, "Ann"), (2, "nobody"), (3, "Ann")] == found


def test_a_sink_that_does_the_expressions_itself_gives_key_and_time_of_its_own() -> None:
    """As a topic would get them."""
    made = app(
        f"""{PLAIN}from = {{topic = "a"}}
map = {{n = "n"}}
key = "n"
time = "'2026-01-02T03:04:05Z'"
to = {{kind = "box"}}
"""
    )
    with made.test() as t:
        t.send("a", {"n": 7})
        (found,) = t.delivered("r")
        assert ({"n": 7}, b"7", 1_767_323_045_000_000_000) == (found.value, found.key, found.timestamp_ns)


def test_tombstones_pass_a_route_as_they_are() -> None:
    """Expressions cannot look into them; a record behind one that fails is the one that is put aside."""
    made = app(
        f"""{PLAIN}from = {{topic = "a"}}
where = "n > 1"
map = {{m = "100 / (n - 5)"}}
to = [{{kind = "box"}}, {{topic = "b"}}]
on_error = {{dead_letter = "bad", retries = 0}}
"""
    )
    with made.test() as t:
        for key, n in (("x", 6), ("x", 0), ("y", 5), ("y", 0), ("z", 1)):
            if n:
                t.send("a", {"n": n}, key=key)
            else:
                t.delete("a", key)
        expected = [({"m": 100.0}, b"x"), (None, b"x"), (None, b"y")]
        assert expected == [(found.value, found.key) for found in t.delivered("r.box")]
        assert [(b"x", b'{"m":100.0}'), (b"x", b""), (b"y", b"")] == sorted(
            ((record.key, record.value) for record in t.records("b")), key=lambda found: found[0] or b""
        )
        assert {b'{"n":5}'} == {*t.read("bad", bytes)}


def test_a_tombstone_has_nothing_to_make_another_key_of() -> None:
    """It is said, and put aside."""
    made = app(
        f"""{PLAIN}from = {{topic = "a"}}
key = "n"
to = {{topic = "b"}}
on_error = {{dead_letter = "bad", retries = 0}}
"""
    )
    with made.test() as t:
        t.send("a", b'{"n": 6}', b"", key="x")
        assert [b"6"] == [record.key for record in t.records("b")]
        (letter,) = t.records("bad")
        assert (b"", b"x") == (letter.value, letter.key)
        assert any(b"nothing to make a key of" in header.value for header in letter.headers)


def test_a_source_s_tombstones_are_tombstones_in_topics_and_destinations() -> None:
    """Whether expressions are between or not."""
    made = app(
        f"""{PLAIN}from = {{kind = "feed"}}
set = {{m = "n"}}
to = [{{topic = "b"}}, {{kind = "box"}}]
"""
    )
    with made.test() as t:
        t.arrive("r", {"n": 1}, b"", key="x")
        assert [b'{"n":1,"m":1}', b""] == [record.value for record in t.records("b")]
        assert [{"n": 1, "m": 1}, None] == [found.value for found in t.delivered("r.box")]
