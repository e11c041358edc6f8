"""What an expression may be, and what is said of one that may not: a sentence, and a mark under the place."""

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cluster.errors import InvalidRoute
from cluster.processing.event import Event
from cluster.processing.routes.checking import Scope, condition_in, kind_in
from cluster.processing.routes.expressions import DEPTH_MAX, NODES_MAX, SOURCE_MAX, parsed
from cluster.processing.routes.functions import FUNCTIONS
from cluster.processing.routes.kinds import Kind, event_kind, written_kind
from cluster.processing.routes.sentences import InvalidExpression

SCOPE = Scope(
    record=written_kind(
        {"n": "int", "x": "float", "s": "str", "b": "bool", "o": {"y": "float?"}, "l": "list[str]", "a": "any"},
        "schema",
    ),
    lookups={"customer": written_kind({"name": "str"}, "customers")},
)


def refusal(source: str) -> tuple[str, str]:
    """The sentence, and what the mark is under."""
    with pytest.raises(InvalidExpression) as caught:
        kind_in(parsed(source), SCOPE)
    line, marks = caught.value.picture
    return caught.value.message, line[marks.find("^") : marks.rfind("^") + 1]


@pytest.mark.parametrize(
    ("source", "says", "marked"),
    [
        ("s.__class__", "names that begin with _ are written record['__class__']", "s.__class__"),
        ("__builtins__", "names that begin with _", "__builtins__"),
        ("__import__('os')", "there is no function '__import__'", "__import__"),
        ("open('x')", "there is no function 'open'", "open"),
        ("n + eval('1')", "there is no function 'eval'", "eval"),
        ("[c for c in l]", "a comprehension is not allowed", "[c for c in l]"),
        ("lambda: 1", "a lambda is not allowed", "lambda: 1"),
        ("(lambda: 1)()", "only functions can be called", "lambda: 1"),
        ("(m := 1)", ":= is not allowed", "m := 1"),
        ("{1, 2}", "a set in { } (write a list) is not allowed", "{1, 2}"),
        ("{**o}", "** is not allowed in a dict", "o"),
        ("[*l]", "* before a value is not allowed", "*l"),
        ("s.upper()", "values have no methods here; write upper(s)", "s.upper"),
        ("o.y.split(',')", "values have no methods here; write split(o.y, ',')", "o.y.split"),
        ("s.frob()", "the functions are str, int", "s.frob"),
        ("len(s, key=1)", "arguments are given by their places: len(text or list)", "len(s, key=1)"),
        ("len()", "len() is given nothing; it is len(text or list)", "len()"),
        ("1 << 9999", "<< is not allowed; allowed are + - * / // % **", "1 << 9999"),
        ("n | 1", "| (write or) is not allowed", "n | 1"),
        ("~n", "~ (write not) is not allowed", "~n"),
        ("s is 'x'", "is is for None, True and False; write ==", "'x'"),
        ("b'x'", "bytes is no value of JSON", "b'x'"),
        ("1j", "complex is no value of JSON", "1j"),
        ("...", "ellipsis is no value of JSON", "..."),
        ("a[1, 2]", "there is one place in [ ]", "1, 2"),
        ("f'{s!r}'", "in an f-string !r and !a are not allowed", "s"),
        ("f'{x:{n}}'", "a format in an f-string is written out", "x"),
        ("f'{x:>99999}'", "a width in an f-string is at most 200", "x"),
        ("matches(s, s)", "the pattern of matches() is written out, in quotes", "s"),
        ("matches(s, '(a')", "a ( has no ) (character 3 of the pattern)", "'(a'"),
        ("get(o, s)", "the path of get() is in quotes", "get(o, s)"),
        ("has('a', 'b', 'c')", "has() is given 3; it is has(", "has('a', 'b', 'c')"),
        ("meta.kye", "meta has no 'kye'; did you mean 'key'?", "meta.kye"),
        ("n = 3", "= is no comparison; write ==", "n = 3"),
        ("n ==", "it ends before it is whole", ""),
        ("n n", "something is missing between two values", "n n"),
        ("n && b", "it is no expression: && is written and", "&"),
        ("a.class", "a field 'class', a word of Python, is written record['class']", "class"),
        ("s == null", "null is written None", "null"),
        ("import os", "a field 'import'", "import"),
        ("n; n", "it is no expression", ";"),
        ("1e999", "the number is too large for a float", "1e999"),
        ("'\\ud800'", "the text has half a character in it", "'\\ud800'"),
    ],
)
def test_what_is_refused_is_named_and_shown(source: str, says: str, marked: str) -> None:
    """Each says what is allowed instead, where there is such a thing."""
    message, under = refusal(source)

    assert says in message
    assert marked.strip() == under.strip()


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("custmer.name", "the record has no field 'custmer'; did you mean 'customer'?"),
        ("customer.nme", "customer has no field 'nme'; did you mean 'name'?"),
        ("o.z", "o has no field 'z'; it has y"),
        ("get('o.z', 1)", "o has no field 'z'; it has y"),
        ("has('customer.name')", "'customer' is a look-up: write has(customer, 'name')"),
        ("record['q']", "record has no field 'q'"),
        ("n.y", "n is an int, and has no field 'y'"),
        ("l.y", "l is a list[str], and has no field 'y'"),
        ("lenn(s)", "there is no function 'lenn'; did you mean 'len'?"),
        ("len", "the record has no field 'len'; the function is len(text or list)"),
        ("n > 'x'", "an int and a str cannot be compared; float(…) makes a number of a text"),
        ("s == 3", "a str and an int are never equal"),
        ("s > now()", "a str and a datetime cannot be compared; write datetime(…)"),
        ("o > o", "a dict and a dict have no order"),
        ("s + n", "a str + an int is not possible; write str(n)"),
        ("s * 3", "a str * an int is not possible; repeating is not allowed"),
        ("[1] * n", "a list[int] * an int is not possible; repeating is not allowed"),
        ("'%d' % n", "a str % an int is not possible; write an f-string"),
        ("b + 1", "a bool + an int is not possible"),
        ("-s", "- before a str is not possible"),
        ("now() + 5", "a datetime + an int is not possible"),
        ("upper(n)", "upper() takes a str, not an int"),
        ("len(n)", "len() takes a str, list or dict, not an int"),
        ("n in l", "an int is never in a list of str"),
        ("n in 'abc'", "an int is never in a str"),
        ("s in n", "in wants a list, a dict or a text, not an int"),
        ("l['a']", "a place in [ ] is an int, not a str"),
        ("o[0]", "the fields of o have names, not places"),
        ("o[1:2]", "o is a dict, and has no stretches"),
        ("meta", "meta is followed by what is wanted of it: meta.key"),
    ],
)
def test_what_cannot_be_is_said_where_kinds_are_known(source: str, says: str) -> None:
    """Fields, comparisons, arithmetic and arguments; nothing is run for it."""
    assert says in refusal(source)[0]


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("n * 2 + 1", "int"),
        ("n / 2", "float"),
        ("x * n", "float"),
        ("o.y ** 2", "float"),
        ("a + 1", "any"),
        ("a.b.c[0].d", "any"),
        ("s + 'x'", "str"),
        ("l[0]", "str"),
        ("l[1:]", "list[str]"),
        ("split(s, ',')", "list[str]"),
        ("[n, x]", "list[float]"),
        ("{'a': n}['a']", "int"),
        ("n if b else None", "int"),
        ("n if b else s", "any"),
        ("1 < n < 5 and s != '' or not b", "bool"),
        ("o.y is not None and n in [1, 2]", "bool"),
        ("now() - duration('1h')", "datetime"),
        ("datetime(s) - now() > duration('1d')", "bool"),
        ("coalesce(o.y, 0)", "float"),
        ("get('o.y', 0.0)", "float"),
        ("f'{s}: {x:.2f}'", "str"),
        ("round(x)", "int"),
        ("round(x, 2)", "float"),
        ("max(n, x)", "float"),
        ("max(l)", "str"),
        ("meta.offset", "int"),
        ("meta.headers['x']", "any"),
        ("customer.name", "str"),
        ("customer is None", "bool"),
        ("record.s", "str"),
        (" n\n + 1 # more", "int"),
    ],
)
def test_kinds_of_what_can_be(source: str, kind: str) -> None:
    """As far as they are known."""
    assert kind == str(kind_in(parsed(source), SCOPE))


def test_a_condition_is_a_bool() -> None:
    """Not whatever happens to be true."""
    condition_in(parsed("a"), SCOPE)
    condition_in(parsed("b and n > 1"), SCOPE)
    with pytest.raises(InvalidExpression, match="it is an int, and a condition is a bool"):
        condition_in(parsed("n"), SCOPE)


def test_limits() -> None:
    """On characters, parts and levels."""
    for source, says in [
        ("1 + " * SOURCE_MAX + "1", "an expression may have 4,000"),
        (" or ".join(["a"] * NODES_MAX), f"it is too long; an expression may have {NODES_MAX} parts"),
        ("+".join(["n"] * (DEPTH_MAX + 5)), "it is too deep"),
        ("(" * 1000 + ")" * 1000, "it is"),
        ("-" * 3999 + "1", "it is too deep"),
        ("", "it is empty"),
        ("1" * 400, "the number is too large"),
    ]:
        with pytest.raises(InvalidExpression, match=says):
            parsed(source)


def test_the_place_is_told_by_lines_and_characters() -> None:
    """Not by bytes, and not by the parentheses that are put around it."""
    with pytest.raises(InvalidExpression) as caught:
        kind_in(parsed("s == 'größe'\n  and 'ö' in\tfrob"), SCOPE)
    error = caught.value
    assert ("line 2, column 14", ["  and 'ö' in\tfrob", "            \t^^^^"]) == (error.place, error.picture)


SIGNS = ". ( ) [ ] { } , : ' \" + ** * << 1 9e9 a n meta record lambda f'{ }' !r # é = \\"
WORDS = st.sampled_from([*FUNCTIONS, *SIGNS.split(" "), "\n", "\0", " if ", " else ", " for ", " in ", " not "])


@pytest.mark.slow
@given(st.lists(WORDS, max_size=25).map("".join) | st.text(max_size=30))
@example("f'{a:{b}}'")
@example("\ud800")
def test_anything_is_an_expression_or_is_refused(source: str) -> None:
    """There is no third way: no other error, whatever is written."""
    try:
        kind_in(parsed(source), Scope())
        marks = "^"
    except InvalidExpression as error:
        marks = error.picture[1].strip(" \t")

    assert {"^"} == set(marks)


class Line(Event):
    """A part of an order."""

    sku: str
    price: float | None = None


class Order(Event, rename={"number": "no"}):
    """An order."""

    number: int
    lines: list[Line]
    more: dict[str, int] = msgspec.field(default_factory=dict)


def test_of_a_long_line_a_part_is_shown() -> None:
    """With what is meant in its middle."""
    with pytest.raises(InvalidExpression) as caught:
        kind_in(parsed("n == 1 or " * 40 + "frob(n)" + " or n == 2" * 40), SCOPE)
    line, marks = caught.value.picture
    assert ("column 401", "frob", True) == (caught.value.place, line[marks.index("^") : len(marks)], len(line) < 120)
    assert ("…", "…") == (line[0], line[-1])


def test_kinds_of_an_event() -> None:
    """By the names that it has in JSON."""
    kind = event_kind(Order)
    assert kind.fields is not None
    assert {"no": "int", "lines": "list[dict]", "more": "dict"} == {name: str(one) for name, one in kind.fields.items()}
    scope = Scope(record=kind)
    assert "float" == str(kind_in(parsed("lines[0].price * no"), scope))
    assert Kind("any") == kind_in(parsed("more.x"), scope)
    with pytest.raises(InvalidRoute, match="3 is no Event, so its fields are not known"):
        event_kind(3)
    with pytest.raises(InvalidExpression, match="has no field 'prize'; did you mean 'price'"):
        kind_in(parsed("lines[0].prize"), scope)
