"""Compiled routes make what plain Python makes; where they cannot, they say for which record, and why."""

import datetime as dt
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from cluster.errors import ExpressionFailed
from cluster.processing.routes.expressions import parsed
from cluster.processing.routes.functions import FUNCTIONS
from cluster.processing.routes.program import Made, Plan, Program
from tests.bench.route_loops import RECORDS_MADE, dear_by_hand, dear_route, decoded

DAY_NS = 1_767_225_600 * 10**9
"""2026-01-01."""


def value_of(source: str, record: Any = None, **columns: Any) -> Any:
    """What an expression comes to."""
    program = Program(Plan(map={"it": parsed(source)}))
    made = program.run([record or {}], {name: [column] for name, column in columns.items()})
    return made.pairs[0][1]["it"]


def failure_of(source: str, record: Any = None) -> str:
    """What is said, without the picture."""
    with pytest.raises(ExpressionFailed) as caught:
        value_of(source, record)
    return caught.value.message.split("\n")[0].removeprefix("map.it: ")


RECORD = {
    "n": 3,
    "x": 2.5,
    "s": "Ann",
    "nul": None,
    "b": True,
    "items": [{"sku": "a"}, {"sku": "b"}],
    "after": {"total": 7, "deep": {"er": 1}},
    "at": "2026-01-01T10:20:30Z",
    "odd name": 1,
    "meta": 5,
    "len": 9,
    "i": 4,
    "r": 6,
}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("n * x", 7.5),
        ("n ** 2 % 5 // 2", 2),
        ("-n + +x", -0.5),
        ("n / 2", 1.5),
        ("b * 2", 2),
        ("after.total", 7),
        ("after.deep.er + 1", 2),
        ("items[1].sku", "b"),
        ("items[-1]['sku']", "b"),
        ("record['odd name']", 1),
        ("record.meta", 5),
        ("len", 9),
        ("len(s)", 3),
        ("i + r", 10),
        ("record.s", "Ann"),
        ("s[0:2]", "An"),
        ("'nn' in s", True),
        ("'total' in after", True),
        ("n in (1, 3)", True),
        ("1 < n <= 3", True),
        ("nul is None and not b", False),
        ("'big' if n > 2 else 'small'", "big"),
        ("f'{s} {x:.2f} {after} {nul}'", 'Ann 2.50 {"total":7,"deep":{"er":1}} None'),
        ("f'{x:>6.1f}|'", "   2.5|"),
        ("[n, (1, s)]", [3, (1, "Ann")]),
        ("{'id': n, 'who': {'name': s}}", {"id": 3, "who": {"name": "Ann"}}),
        ("get('after.total', 0)", 7),
        ("get('after.q', 0)", 0),
        ("get('nul', 1)", 1),
        ("get(after, 'deep.er')", 1),
        ("get('s.x')", None),
        ("has('after.deep.er')", True),
        ("has('nul')", False),
        ("has(after, 'q')", False),
        ("coalesce(nul, get('q'), n)", 3),
        ("str(n) + str(x) + str(nul)", "32.5None"),
        ("str(after)", '{"total":7,"deep":{"er":1}}'),
        ("int('12') + int(x)", 14),
        ("float('1.5')", 1.5),
        ("bool(items)", True),
        ("min(n, x)", 2.5),
        ("max([1, 5])", 5),
        ("sum([1, 2.5])", 3.5),
        ("abs(-n)", 3),
        ("round(2.567, 2)", 2.57),
        ("round(2.6)", 3),
        ("floor(x) + ceil(x)", 5),
        ("lower(s) + upper(s)", "annANN"),
        ("strip('  a ')", "a"),
        ("strip('xax', 'x')", "a"),
        ("split('a b')", ["a", "b"]),
        ("join(split('a,b', ','), '-')", "a-b"),
        ("replace(s, 'n', 'mm')", "Ammmm"),
        ("startswith(s, 'A')", True),
        ("endswith(s, 'n')", True),
        ("contains([1, 2], 2)", True),
        ("substring(s, 1)", "nn"),
        ("substring(s, 0, 1)", "A"),
        ("matches(s, '^a' ) or matches(s, '(?i)^a')", True),
        ("parse_json('[1]')[0]", 1),
        ("to_json(after.deep)", '{"er":1}'),
        ("sha256('a')[0:8]", "ca978112"),
        ("uuid5('dns', 'python.org')", "886313e1-3b8a-5372-9b90-0c9aee199e5d"),
        ("datetime(at)", dt.datetime(2026, 1, 1, 10, 20, 30, tzinfo=dt.UTC)),
        ("date(at)", dt.date(2026, 1, 1)),
        ("date('2026-02-03') > date(at)", True),
        ("unix(at) - unix('2026-01-01')", 37230.0),
        ("datetime(0) + duration('1h')", dt.datetime(1970, 1, 1, 1, tzinfo=dt.UTC)),
        ("format_time(at, '%Y-%m')", "2026-01"),
        ("truncate(at, '1h')", dt.datetime(2026, 1, 1, 10, tzinfo=dt.UTC)),
        ("f'{truncate(at, \"1d\")}'", "2026-01-01T00:00:00Z"),
        ("f'{datetime(at):%H:%M}'", "10:20"),
    ],
)
def test_values(source: str, expected: Any) -> None:
    """Every operator and function, once."""
    found = value_of(source, RECORD)

    assert (expected, type(expected)) == (found, type(found))
    assert msgspec.json.encode(found)


def test_what_is_known_beside_the_value() -> None:
    """Key, time, place and headers, and nothing of it is asked for that is not used."""
    program = Program(
        Plan(
            map={
                "k": parsed("meta.key"),
                "at": parsed("now()"),
                "h": parsed("meta.headers['x']"),
                "o": parsed("meta.offset"),
            }
        )
    )
    assert {"key", "timestamp", "headers", "offset"} == program.columns
    made = program.run([{}], {"key": [b"k\xff"], "timestamp": [DAY_NS], "headers": [(("x", b"1"),)], "offset": [7]})
    assert {"k": "k\\xff", "at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "h": "1", "o": 7} == made.pairs[0][1]
    assert None is value_of("meta.key", key=None)
    assert ("t", 3) == (value_of("meta.topic", topic="t"), value_of("meta.partition", partition=3))
    assert frozenset() == Program(Plan(where=parsed("a"))).columns


def test_every_function_is_tried() -> None:
    """Here, in one of the values above."""
    tried = " ".join(mark.args[1][at][0] for mark in test_values.pytestmark for at in range(len(mark.args[1])))  # type: ignore[attr-defined]
    assert [] == [name for name in FUNCTIONS if f"{name}(" not in tried and name != "now"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("totl", "the record has no field 'totl'; did you mean 'total'? (column 1)"),
        ("1 + after.totl", "after has no field 'totl'; did you mean 'total'? (column 5)"),
        ("shop", "the record has no field 'shop'; a text is in quotes of its own: 'shop' (column 1)"),
        ("nul.x", "nul is null, and has no field 'x' (column 1)"),
        ("items.sku", "items is list, and has no field 'sku' (column 1)"),
        ("record['q']", "the record has no field 'q' (column 1)"),
        ("items[7]", "there is no such place in the list (column 1)"),
        ("items['a']", "items is list, and has no ['a'] (column 1)"),
        ("s + n", "s is str and n is int: + is not possible (column 1)"),
        ("2 * (n * s)", "s is str, and a number is wanted (column 10)"),
        ("s * 1000000000", "s is str, and a number is wanted (column 1)"),
        ("[0] * 9", "[0] is list, and a number is wanted (column 1)"),
        ("s % n", "s is str, and a number is wanted (column 1)"),
        ("-s", "s is str, and a number is wanted (column 1)"),
        ("s > n", "s is str and n is int: they cannot be compared (column 1)"),
        ("n / 0", "it divides by zero (column 1)"),
        ("9 ** 99999999", "the result of ** would be too large (over 4096 bits) (column 1)"),
        ("round(n, -99999999)", "round() takes from -400 to 400 digits (column 1)"),
        ("x * 1e308 ** 9", "the number is too large (column 5)"),
        ("lower(n)", "lower() takes a str, not int (column 1)"),
        ("lower(nul)", "lower() takes a str, not null (column 1)"),
        ("len(n)", "len() does not fit: n is int (column 1)"),
        ("join(s, ',')", "join() takes a list, not str (column 1)"),
        ("int('x')", "invalid literal for int() with base 10: 'x' (column 1)"),
        ("datetime('x')", "'x' is no time in ISO 8601 (column 1)"),
        ("datetime(1767225600000)", "of milliseconds: datetime(x / 1000) (column 1)"),
        ("parse_json('{')", "the text is not JSON"),
        ("n in s", "n is int and s is str: they cannot be compared (column 1)"),
    ],
)
def test_failures_say_which_part_and_why(source: str, says: str) -> None:
    """In words of what is written, not of Python's insides."""
    assert says in failure_of(source, RECORD | {"total": 1})


@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    [
        "replace(replace(big, 'a', big), 'a', big)",
        "join(split(replace(big, 'a', 'a '), ' '), big)",
        "to_json(" * 30 + "f'\"{big}'" + ")" * 30,
        "str([" * 24 + "f'\"\\\\{big}'" + "])" * 24,
    ],
)
def test_nothing_grows_without_end(source: str) -> None:
    """What doubles each time is stopped."""
    begun = time.process_time()
    assert "8,388,608 is the most" in failure_of(source, {"big": "a" * 100_000})
    assert time.process_time() - begun < 5


def test_a_plan_in_one_go() -> None:
    """Filtered, made, keyed, timed, and sent to whom it concerns."""
    plan = Plan(
        where=parsed("op != 'd' and customer is not None"),
        map={"id": parsed("after.id"), "who": {"name": parsed("customer.name")}},
        key=parsed("who.name"),
        time=parsed("input.at"),
        destinations=(None, parsed("id > 2 and input.op == 'u'")),
        lookups=("customer",),
    )
    records = [
        {"op": "c", "after": {"id": 1}, "at": 1_767_225_600},
        {"op": "d"},
        {"op": "u", "after": {"id": 3}, "at": "2026-01-02"},
        {"op": "u", "after": {"id": 4}},
    ]
    rows = {"customer": [{"name": "Ann"}, None, {"name": "Bob"}, None]}
    expected = Made(
        pairs=[(0, {"id": 1, "who": {"name": "Ann"}}), (2, {"id": 3, "who": {"name": "Bob"}})],
        keys=[b"Ann", b"Bob"],
        times_ns=[DAY_NS, DAY_NS + 86_400 * 10**9],
        chosen=(None, [1]),
    )

    assert expected == Program(plan).run(records, {}, rows)


def test_set_and_drop() -> None:
    """From what was there before; the record itself stays as it was."""
    record = {"a": 1, "b": 2, "c": 3}
    plan = Plan(set={"a": parsed("b * 10"), "d": parsed("a")}, drop=("b", "nothing"))
    assert [(0, {"a": 20, "c": 3, "d": 1})] == Program(plan).run([record]).pairs
    assert {"a": 1, "b": 2, "c": 3} == record
    assert [(0, {"c": 3})] == Program(Plan(drop=("a", "b"))).run([record]).pairs
    made = Program(Plan()).run([record])
    assert record is made.pairs[0][1]
    for plan in (Plan(drop=("a",)), Plan(set={"a": parsed("1")})):
        with pytest.raises(ExpressionFailed, match=r"(set|drop): the record is list, and has no fields"):
            Program(plan).run([[1]])


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (Plan(where=parsed("x > 0")), "where: x is str and 0 is int"),
        (Plan(map={"o": {"y": parsed("x - 1")}}), "map.o.y: x is str and 1 is int"),
        (Plan(set={"y": parsed("x - 1")}), "set.y: x is str"),
        (Plan(map={"x": parsed("x")}, key=parsed("x - 1")), "key: x is str"),
        (Plan(time=parsed("x")), "time: '7' is no time"),
        (Plan(map={"z": parsed("x")}, destinations=(None, parsed("input.x > 1"))), "to[1].where: input.x is str"),
    ],
)
def test_the_first_record_that_fails_is_found(plan: Plan, says: str) -> None:
    """Whatever it is of the route that fails, and though later records fail earlier in it."""
    records: list[dict[str, Any]] = [{"x": 1}, {"x": 2}, {"x": "7"}, {}]
    with pytest.raises(ExpressionFailed) as caught:
        Program(plan).run(records)

    assert (2, True) == (caught.value.place, caught.value.message.startswith(says))
    assert 2 == len(Program(plan).run(records[:2]).pairs)


def _ns_a_record(work: Callable[[list[dict[str, Any]]], object], records: list[dict[str, Any]]) -> float:
    times = []
    for _ in range(15):
        begun = time.process_time()
        for _ in range(5):
            work(records)
        times.append(time.process_time() - begun)
    return min(times) / 5 / len(records) * 1e9


@pytest.mark.slow
def test_it_is_at_least_half_as_fast_as_a_comprehension() -> None:
    """Over the same decoded records, with the same result; asserted is a bit less, for machines are noisy."""
    records = decoded()
    program = Program(dear_route())
    assert dear_by_hand(records) == [value for _, value in program.run(records).pairs]
    assert RECORDS_MADE == len(dear_by_hand(records))
    ratios = []
    for _ in range(5):
        ratios.append(_ns_a_record(dear_by_hand, records) / _ns_a_record(program.run, records))
        if max(ratios) >= 0.5:
            break

    assert max(ratios) >= 0.4, ratios
