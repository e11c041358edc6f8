"""Route files: what a good one comes to, and what is said of bad ones, with lines."""

import ast
import re
from pathlib import Path

import msgspec
import pytest

from cluster.connectors.registry import Registry
from cluster.errors import InvalidRoute
from cluster.processing.policies import OnError
from cluster.processing.routes import route_file
from cluster.processing.routes.reading import load_routes, read_routes
from cluster.processing.routes.route_file import FromSource, FromTopic, RouteFile, ToSink, ToTopic
from cluster.processing.routes.testing import run_tests
from tests.processing.routes.kinds_for_tests import REGISTRY

GOOD = """
[connections.shop_db]
kind = "wire"
url = "wire://me:${SHOP_PASSWORD}@localhost/shop"

[schema.purchases]
id = "int"
total = "float"
customer_id = "str"
op = "str?"
lines = "list"

[schema.customers]
name = "str"

[tables.customers]
key = "customer_id"

[[route]]
name = "capture"
from = { connection = "shop_db", tables = ["public.orders"] }
where = "op != 'd' and after.total > 100"
map = { id = "after.id", total = "after.total", source = "'shop'", big = true, n = 3, who.name = "after.name" }
key = "who.name"
to = { topic = "purchases" }

[[route]]
name = "orders"
description = "for the accountants"
version = 2
from = { topic = "purchases", start = "-24h", until = "2030-01-01" }
lookup = { customer = { table = "customers", by = "customer_id" } }
set = { name = "customer.name", total = "round(total, 2)" }
drop = ["lines"]
time = "now()"
on_error = { dead_letter = "orders.dead", retries = 5, park_key = true }
to = [
  { topic = "orders" },
  { kind = "box", path = "${file:/run/box}/x", where = "total > 1000 and input.op is not None" },
  { connection = "shop_db", name = "db" },
]
"""


def read(text: str) -> RouteFile:
    """A file that is good."""
    return load_routes(text, "shop.toml", REGISTRY)


def problems(text: str) -> list[str]:
    """All that is said of one, without pictures."""
    found, said = read_routes(text, "shop.toml", REGISTRY)
    assert (found is None) == bool(said)
    return [problem.sentence for problem in said]


def test_a_good_file() -> None:
    """All of it, typed."""
    file = read(GOOD)
    capture, orders = file.routes
    assert ("shop", ("SHOP_PASSWORD", "file:/run/box")) == (file.name, file.secrets)
    assert isinstance(capture.source, FromSource)
    assert isinstance(orders.destinations[1], ToSink)
    assert ("shop_db", "wire localhost") == (capture.source.connection, capture.source.summary)
    assert FromTopic(topic="purchases", start="-24h", until="2030-01-01") == orders.source
    assert ["orders", "box", "db"] == [one.name for one in orders.destinations]
    assert ToTopic(name="orders", topic="orders") == orders.destinations[0]
    assert "${file:/run/box}/x" == orders.destinations[1].options.path
    assert [(None, "total > 1000 and input.op is not None", None)] == [
        tuple(one and one.source for one in orders.plan.destinations)
    ]
    assert OnError(how="dead_letter", retries=5, topic="orders.dead", park_key=True) == orders.on_error
    assert (2, ("customer_id",), True) == (orders.version, orders.lookup_by, orders.rekeys)
    assert ("customers", "customers") == (orders.lookups[0].table, orders.lookups[0].topic)
    fields = {name: str(kind) for name, kind in (orders.makes.fields or {}).items()}
    assert {"id": "int", "total": "float", "customer_id": "str", "op": "str", "name": "str"} == fields
    made = {"id": 1, "total": 200, "source": "shop", "big": True, "n": 3, "who": {"name": "Ann"}}
    record = {"op": "c", "after": {"id": 1, "total": 200, "name": "Ann"}}
    assert ([(0, made)], [b"Ann"]) == capture.compiled().run([record])[:2]


def test_what_needs_no_other_key_is_not_rekeyed() -> None:
    """Where the topic's keys are made of the field that rows are looked up by."""
    keyed = GOOD.replace('start = "-24h"', 'key = "customer_id"')
    assert [False, False] == [route.rekeys for route in read(keyed).routes]


def test_a_kind_may_have_a_topic_of_its_own() -> None:
    """Then it is not one of ours, on either side."""
    text = '[[route]]\nname = "r"\nfrom = {{ kind = "wire", {0} }}\nto = {{ kind = "wire", {0} }}'
    (route,) = read(text.format('url = "x", topic = "t/#"')).routes
    assert isinstance(route.source, FromSource)
    assert isinstance(route.destinations[0], ToSink)
    assert ("t/#", "t/#") == (route.source.options.topic, route.destinations[0].options.topic)


ROUTE = '[[route]]\nname = "r"\nfrom = { topic = "a" }\nto = { topic = "b" }\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            f"[schema.a]\nx = 'int'\n{ROUTE}map = {{ y = 'x' }}\nkey = 'x'",
            "no field 'x'; what it is made of has: input.x",
        ),
        ("x = ", "shop.toml:1: it is not TOML: Invalid value"),
        ("\n\na b", "shop.toml:3: it is not TOML: Expected '=' after a key in a key/value pair"),
        ("", "shop.toml: there is no route: write [[route]]"),
        (
            ROUTE + "map = { a = '1',\n b = '2' }",
            "shop.toml:5: it is not TOML: Invalid initial character for a key part (a table",
        ),
        (
            "[[route]]\nname = 'r'\nfrom = { topic = 'a' }\n[route.map]\na = '1'\nto = [{ topic = 'b' }]",
            "write it above",
        ),
        ("naem = 'x'\n" + ROUTE, "shop.toml:1: unknown field 'naem'; did you mean 'name'?"),
        ("name = 'a b'\n" + ROUTE, "shop.toml:1: name: 'a b' is no name: letters, digits, and . _ - between them"),
        ("name = 3\n" + ROUTE, "shop.toml:1: name: it is 3, and text in quotes is wanted"),
        ("route = 3", "shop.toml:1: route: it is 3, and a table or a list of tables is wanted"),
        (ROUTE + ROUTE, "shop.toml:6: route r, name: there is a route 'r' already"),
        (ROUTE.replace('name = "r"', ""), "shop.toml:1: route: 'name' is missing"),
        (ROUTE + "were = 'x'", "shop.toml:5: route r: unknown field 'were'; did you mean 'where'?"),
        (ROUTE + "version = 0", "shop.toml:5: route r, version: it is 0, and versions count from 1"),
        (ROUTE + "version = true", "shop.toml:5: route r, version: it is true, and a whole number is wanted"),
        (ROUTE + "where = 3", "shop.toml:5: route r, where: it is 3, and a condition in quotes is wanted"),
        (ROUTE + "where = 'a >'", "shop.toml:5: route r, where: it ends before it is whole (column 4)"),
        (
            ROUTE + "where = '1'",
            "route r, where: it is an int, and a condition is a bool, such as total > 100 (column 1)",
        ),
        (ROUTE + "map = { a = 'b', c = [1] }", "route r, map, c: it is a list, and an expression in quotes is wanted"),
        (
            ROUTE + "map = { a = 'b' }\nkey = 'aa'",
            "shop.toml:6: route r, key: what the route makes has no field 'aa'; did",
        ),
        (
            ROUTE + "map = { a = '1' }\nset = { b = '1' }",
            "route r: a route has `map` (a new record) or `set` and `drop`",
        ),
        (ROUTE + "set = { b = { c = '1' } }", "route r, set, b: fields within a field cannot be set"),
        (ROUTE + "set = { b = '1' }\ndrop = ['b']", "route r, set, b: it is set, and dropped as well"),
        (ROUTE + "drop = 'b'", "route r, drop: it is 'b', and a list is wanted"),
        (ROUTE + "drop = [1]", "route r, drop: it is a list of names of fields"),
        (ROUTE + "time = '[1]'", "route r, time: it is a list[int], and a time is wanted"),
        (
            ROUTE + "on_error = 'stopp'",
            "route r, on_error: 'stopp' is none of stop, skip, dead_letter; did you mean 'stop'?",
        ),
        (ROUTE + "on_error = { retries = 1 }", "route r, on_error: it has one of dead_letter (a topic), skip = true"),
        (
            ROUTE + "on_error = { dead_letter = 'x', retries = 999 }",
            "route r, on_error, retries: 999 retries; from 0 to 100",
        ),
        (
            ROUTE + "on_error = { skip = true, retires = 1 }",
            "route r, on_error: unknown field 'retires'; did you mean 'ret",
        ),
        (ROUTE + "on_error = { skip = 1 }", "route r, on_error, skip: it is 1, and true or false is wanted"),
        (ROUTE + "schema = 'x'", "route r, schema: there is no schema 'x'; there are none"),
        (
            ROUTE + "lookup = { c = { table = 't', by = 'x' } }",
            "route r, lookup.c, table: there is no table 't'; there are none",
        ),
        (ROUTE + "lookup = { c = { table = 't' } }", "route r, lookup.c: 'by' is missing"),
        (
            ROUTE + "lookup = { meta = { table = 't', by = 'x' } }",
            "route r, lookup.meta: 'meta' is no name for a look-up",
        ),
        (
            ROUTE + "lookup = { c = { table = 't', by = 'x + 1' } }",
            "route r, lookup.c, by: 'x + 1' is no field of the record",
        ),
        ("[tables.t]\ntopic = 'a b'\n" + ROUTE, "shop.toml:2: table t, topic: 'a b' is no name of a topic"),
        ("[schema.a]\nx = 'itn'\n" + ROUTE, "shop.toml:2: schema a: x is 'itn', which is no kind; did you mean 'int'?"),
        ("[schema.a]\nx = 'datetime'\n" + ROUTE, "shop.toml:2: schema a: x is 'datetime'; a time in JSON is a \"str\""),
        (
            "[schema.a]\nx = 'str'\n" + ROUTE + "where = 'x > 3'",
            "shop.toml:7: route r, where: a str and an int cannot be",
        ),
        (
            "[schema.a]\nx = 'str'\n" + ROUTE + "drop = ['y']",
            "route r, drop: the record has no field 'y' that could be",
        ),
        (
            "[connections.c]\nurl = 'x'\n" + ROUTE,
            "shop.toml:1: connection c: kind is missing; it is one of box, broken, wire",
        ),
        (
            "[connections.c]\nkind = 'wier'\n" + ROUTE,
            "shop.toml:2: connection c, kind: there is no kind 'wier'; did you mean",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, says: str) -> None:
    """One sentence: file, line, route, field, and what would be right."""
    said = problems(text)

    assert [True] == [says in one for one in said if says in one], said


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", "shop.toml:1: route r: 'from' is missing: a topic, or a source"),
        ("from = 'a'", "route r, from: it is 'a', and a table is wanted"),
        ("from = {}", "route r, from: it has none of topic, connection and kind; kinds are broken, wire"),
        ("from = { topic = 'a b' }", "route r, from, topic: 'a b' is no name of a topic"),
        ("from = { topic = 'a', strat = 1 }", "route r, from: unknown field 'strat'; did you mean 'start'?"),
        ("from = { topic = 'a', start = 'yesterday' }", "route r, from, start: 'yesterday' is none of \"earliest\""),
        ("from = { topic = 'a', until = '-1h' }", "route r, from, until: '-1h' is no time (ISO 8601)"),
        ("from = { connection = 'x' }", "route r, from, connection: there is no connection 'x'; there are none"),
        (
            "from = { kind = 'wire', url = 'x', tabels = [] }",
            "route r, from: wire has no option 'tabels'; did you mean 'tables'?",
        ),
        ("from = { kind = 'wire' }", "route r, from: wire: url is missing"),
        ("from = { kind = 'wire', url = 3 }", "route r, from: wire: url is a int, and str is wanted"),
        (
            "from = { kind = 'wire', url = 'x', tables = [3] }",
            "route r, from: wire: tables[0] is a int, and str is wanted",
        ),
        ("from = { kind = 'wire', url = 'nonsense' }", "route r, from: url 'nonsense' is no wire"),
        (
            "from = { kind = 'box', path = 'x' }",
            "route r, from: 'box' cannot be read from; what can be is broken, wire",
        ),
        ("from = { kind = 'broken' }", "route r, from: the kind 'broken' is not to be had here: No module named"),
        ("from = { kind = 'wire', url = 'wire://${a b}' }", "${a b}' names no secret: write ${NAME} or ${file:/path}"),
    ],
)
def test_what_is_wrong_with_a_source(source: str, says: str) -> None:
    """Its options are looked at as well, but nobody is asked."""
    said = problems(f'[[route]]\nname = "r"\n{source}\nto = {{ topic = "b" }}\n')

    assert (1, True) == (len(said), says in said[0]), said


@pytest.mark.parametrize(
    ("to", "says"),
    [
        ("", "shop.toml:1: route r: 'to' is missing"),
        ("to = []", "shop.toml:4: route r, to: it is empty: at least one destination is wanted"),
        ("to = 'b'", "route r, to: it is 'b', and a table or a list of tables is wanted"),
        ("to = { topic = 'a' }", "route r, to, topic: it writes 'a', which it reads: it would never end"),
        ("to = { topic = 'b', when = 'x' }", "route r, to: unknown field 'when'"),
        ("to = { topic = 'b', where = '1' }", "route r, to, where: it is an int, and a condition is a bool"),
        (
            "to = [\n{ topic = 'b' },\n{ topic = 'b' }]",
            "route r, to[1]: there is a destination 'b' already: give one of them a",
        ),
        ("to = { kind = 'bx', path = 'x' }", "route r, to: there is no kind 'bx'; did you mean 'box'?"),
        (
            "to = { kind = 'box', path = 'x', where = 'zz(' }",
            "route r, to, where: it is no expression: '(' was never closed",
        ),
    ],
)
def test_what_is_wrong_with_destinations(to: str, says: str) -> None:
    """Each by its place in the list."""
    said = problems(f'[[route]]\nname = "r"\nfrom = {{ topic = "a" }}\n{to}\n')

    assert (1, True) == (len(said), says in said[0]), said


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Each at its own line, though tables stand on one line or on several."""
    text = """name = "x"
[schema.a]
n = "int"
[[route]]
name = "r"
from = { topic = "a" }
map = { ok = "n", bad = "m" }
where = "n > 'x'"
to = [
  { topic = "b" },
  { kind = "nope" },
]
[[route]]
name = "s"
from = { topic = "a" }
where = \"\"\"
n > 1 and
frob(n)
\"\"\"
to = { topic = "c" }
[route.map]
a = "n"
b = "n.x"
"""
    found, said = read_routes(text, "shop.toml", REGISTRY)
    assert None is found
    lines = [(one.line, one.where) for one in said]
    expected = [(7, "route r, map, bad"), (8, "route r, where"), (11, "route r, to[1]")]
    assert [*expected, (16, "route s, where"), (23, "route s, map, b")] == lines
    (frob,) = [one for one in said if one.where == "route s, where"]
    assert ("there is no function 'frob'" in frob.message, "(line 2, column 1)" in frob.message) == (True, True)
    assert ("frob(n)", "^^^^") == frob.picture


def test_what_cannot_be_used_is_an_error_with_all_of_it() -> None:
    """As a child process would say it."""
    with pytest.raises(InvalidRoute, match=r"shop\.toml:5: route r, where: .*\n    a >\n       \^"):
        load_routes(ROUTE + "where = 'a >'", "shop.toml", Registry({}, {}))


def test_the_file_in_the_reference_is_right() -> None:
    """The docstring's own example, and it passes its own test."""
    module = ast.parse(Path(route_file.__file__).read_text())
    text = (ast.get_docstring(module) or "").split("```toml\n")[1].split("```")[0]
    file = load_routes(text, "shop.toml", REGISTRY_WITH_POSTGRES)
    assert [True] == [outcome.passed for outcome in run_tests(file)]


class _Postgres(msgspec.Struct, frozen=True, tag_field="kind", tag="postgres"):
    url: str


REGISTRY_WITH_POSTGRES = Registry({"postgres": _Postgres}, {"postgres": _Postgres})


TEST = """
  [[route.test]]
  name = "t"
  given = [{ value = { id = 1 }, key = "k", headers = { x = "1" }, timestamp = 1, partition = 0 }]
  tables = { customers = { c1 = { name = "Ann" } } }
  expect = [{ value = { id = 1 }, key = "k", time = 1 }]
  expect_to = { orders = [] }
  expect_errors = ["x"]
"""
VALUE = re.compile(r"""= (?=("[^"]*"|\d+|true|\[[^\]\n]*\]|\{[^{}\n]*\}|\{.*\}(?=\n)))""")
"""Those within others, too."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "other", ["3", "-1", "''", "'x'", "true", "[]", "[1]", "[[{}]]", "{}", "{ a = 1 }", "1979-05-27", "nan"]
)
def test_whatever_stands_anywhere_is_read_or_refused(other: str) -> None:
    """Each value of a good file in turn by another: there is no third way."""
    text = GOOD + TEST
    assert [] == problems(text)
    found = list(VALUE.finditer(text))
    assert len(found) > 55
    for match in found:
        changed = f"{text[: match.start(1)]}{other}{text[match.end(1) :]}"
        file, said = read_routes(changed, "shop.toml", REGISTRY)
        assert (file is None) == bool(said)
        if file is not None:
            assert all(outcome.test for outcome in run_tests(file))
