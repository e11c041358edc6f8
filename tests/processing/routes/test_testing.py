"""The tests in a route file: what passes, and how what does not is shown."""

import pytest

from cluster.processing.routes.differences import LINES_MAX, differences, same
from cluster.processing.routes.reading import read_routes
from cluster.processing.routes.testing import run_tests
from tests.processing.routes.kinds_for_tests import REGISTRY

ROUTE = """
[tables.customers]
[[route]]
name = "orders"
from = { topic = "purchases" }
where = "total > 100"
lookup = { customer = { table = "customers", by = "customer_id" } }
map = { id = "id", total = "round(total, 2)", name = "get(customer, 'name', '?')", topic = "meta.topic", at = "now()" }
key = "id"
to = [{ topic = "orders" }, { kind = "box", path = "x", where = "total > 500" }]

  [[route.test]]
  name = "t"
"""
LARGE = 'given = { id = 1, total = 200.004, customer_id = "c1" }\n'
MADE = '{ id = 1, total = 200, name = "?", topic = "purchases", at = "2026-01-01T00:00:00Z" }'


def faults(case: str) -> list[str]:
    """What is shown of one test."""
    file, problems = read_routes(ROUTE + case, "shop.toml", REGISTRY)
    assert file is not None, [str(problem) for problem in problems]
    (outcome,) = run_tests(file)
    assert (outcome.line, outcome.passed) == (12, not outcome.faults)
    return list(outcome.faults)


@pytest.mark.parametrize(
    "case",
    [
        LARGE + f"expect = [{MADE}]",
        LARGE + f"expect = {MADE}",
        LARGE + f'expect = {{ key = "1", value = {MADE} }}',
        LARGE + f"expect = {{ time = 2026-01-01T00:00:00Z, value = {MADE} }}",
        LARGE + f"expect_to = {{ orders = [{MADE}], box = [] }}",
        LARGE + f'tables.customers.c1.name = "Ann"\nexpect = [{MADE.replace("?", "Ann")}]',
        'given = { value = { id = 1, total = 200 }, topic = "other", timestamp = 1767225600 }\nexpect = '
        + MADE.replace("purchases", "other"),
        "given = [{ id = 1, total = 5 }]\nexpect = []",
        "given = [{ id = 1 }]\nexpect = []\nexpect_errors = [\"where: the record has no field 'total'\"]",
    ],
)
def test_what_passes(case: str) -> None:
    """Values, keys, times, destinations, tables, errors."""
    assert [] == faults(case)


@pytest.mark.parametrize(
    ("case", "shown"),
    [
        (LARGE + f"expect = [{MADE.replace('200', '201')}]", ["record 1", "  - total: 201", "  + total: 200.0"]),
        (
            LARGE + "expect = []",
            ["record 1 was not expected", '  + {"id": 1, "total": 200.0, "name": "?", "topic": "purcha'],
        ),
        (LARGE + f"expect = [{MADE}, {{ id = 2 }}]", ["record 2 is missing", '  - {"id": 2}']),
        (LARGE + f"expect = [{MADE.replace('name', 'nam')}]", ["record 1", '  - nam: "?"', '  + name: "?"']),
        (LARGE + f'expect = {{ key = "2", value = {MADE} }}', ["record 1", '  - key: "2"', '  + key: "1"']),
        (LARGE + f"expect_to.box = [{MADE}]", ["to box: record 1 is missing", '  - {"id": 1, "total": 200, "name"']),
        (LARGE + 'expect_errors = ["no"]', ["a record was expected to fail", "  - no"]),
        (
            'given = { id = 1, total = "5" }\nexpect = []',
            [
                "given record 1 fails",
                "  ! where: total is str and 100 is int: they cannot be compared (column 1)",
                "    total > 100",
                "    ^^^^^^^^^^^",
            ],
        ),
        (
            'given = { id = 1 }\nexpect_errors = ["nope"]',
            ["given record 1 fails otherwise", "  - nope", "  + where: the record has"],
        ),
    ],
)
def test_what_fails_is_shown(case: str, shown: list[str]) -> None:
    """Only what differs, with what was expected before what came."""
    found = faults(case)

    assert shown == [line[: len(wanted)] for wanted, line in zip(shown, found, strict=False)], found


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("expect = []", "shop.toml:12: route orders, test 't': 'given' is missing: a record, or a list of them"),
        (LARGE, "route orders, test 't': it expects nothing: write `expect`, `expect_to` or `expect_errors`"),
        (
            LARGE + "expect = 3",
            "route orders, test 't', expect: it is 3, and a record (a table), or a list of them, is wanted",
        ),
        (LARGE + "expect = []\nexpectt = 1", "unknown field 'expectt'; did you mean 'expect'?"),
        (LARGE + "expect_to = { bx = [] }", "the route has no destination 'bx'; did you mean 'box'?"),
        (
            LARGE + "expect = []\ntables = { custmers = {} }",
            "the route looks nothing up in 'custmers'; did you mean 'customers'?",
        ),
        (LARGE + "expect_errors = [1]", "expect_errors: it is a list of texts"),
        (
            'given = { value = 1, timestamp = "x" }\nexpect = []',
            "given: 'x' is no time (ISO 8601, or seconds since 1970)",
        ),
        ('given = { value = 1, offset = "x" }\nexpect = []', "given: offset is a whole number"),
    ],
)
def test_what_is_wrong_with_a_test(case: str, says: str) -> None:
    """It is a part of the file like any other."""
    file, problems = read_routes(ROUTE + case, "shop.toml", REGISTRY)
    assert (None, 1, True) == (file, len(problems), says in problems[0].sentence), problems


def test_numbers_are_numbers_and_true_is_true() -> None:
    """As in JSON."""
    assert [True, False, True, False] == [
        same({"a": 1}, {"a": 1.0}),
        same(1, True),
        same({"a": 1, "b": [2.0]}, {"b": [2], "a": 1}),
        same(None, 0),
    ]
    assert ["record 1", "  - a: true", "  + a: 1"] == differences([{"a": True}], [{"a": 1}])


def test_what_is_the_same_is_not_in_the_way() -> None:
    """One record that is missing in between is the only one that is told; very much is cut."""
    many = [{"n": number} for number in range(50)]
    assert ["record 8 is missing", '  - {"n": 7}'] == differences(many, many[:7] + many[8:])
    assert LINES_MAX + 1 == len(differences(many, []))
    assert "…" == differences(["x" * 1000], [""])[1][-1]
