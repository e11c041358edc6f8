"""Random expressions mean what they mean to Python, and have the kinds that were said of them."""

import dis
import string
import types
import warnings
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import ExpressionFailed
from cluster.processing.routes import guards
from cluster.processing.routes.checking import Scope, kind_in
from cluster.processing.routes.expressions import parsed
from cluster.processing.routes.generating import Generator
from cluster.processing.routes.kinds import kind_of, written_kind
from cluster.processing.routes.program import Plan, Program
from cluster.processing.routes.sentences import InvalidExpression

pytestmark = pytest.mark.slow
SCHEMA = {
    "n": "int",
    "m": "int",
    "x": "float",
    "s": "str",
    "t": "str",
    "b": "bool",
    "l": "list[int]",
    "o": {"y": "float"},
}
SCOPE = Scope(record=written_kind(SCHEMA, "schema"))
TEXTS = st.text(string.ascii_letters + " .'\\", max_size=5)
RECORDS = st.fixed_dictionaries(
    {
        "n": st.integers(-9, 9),
        "m": st.integers(-9, 9),
        "x": st.floats(-9, 9),
        "s": TEXTS,
        "t": TEXTS,
        "b": st.booleans(),
        "l": st.lists(st.integers(-3, 3), max_size=3),
        "o": st.fixed_dictionaries({"y": st.floats(-9, 9)}),
    }
)


def _joined(*forms: str) -> Any:
    """Larger ones of smaller ones."""

    def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.builds(lambda form, a, b, c: form.format(a, b, c), st.sampled_from(forms), inner, inner, inner)

    return larger


LEAVES = st.sampled_from(["n", "m", "x", "s", "t", "b", "l", "o.y", "0", "2", "1.5", "'a'", "True", "None", "[1, n]"])
EXPRESSIONS = st.recursive(
    LEAVES,
    _joined(
        *("({} + {})", "({} - {})", "({} * {})", "({} / {})", "({} // {})", "({} % {})", "(-{})", "({} ** 2)"),
        *("({} == {})", "({} < {} <= {})", "({} != {})", "({} in {})", "({} not in {})", "({} is None)"),
        *(
            "({} and {})",
            "({} or {})",
            "(not {})",
            "({} if {} else {})",
            "{}[0]",
            "{}[{}:{}]",
            "[{}, {}]",
            "{{'k': {}}}",
        ),
        *(
            "len({})",
            "min({}, {})",
            "max({})",
            "abs({})",
            "round({}, 1)",
            "int({})",
            "float({})",
            "bool({})",
            "sum({})",
        ),
        *('f"{{{}}}-{{{}}}"', "str({})"),
    ),
    max_leaves=7,
).filter(lambda source: source.count('f"') < 2)
"""Before Python 3.12 an f-string has no other of its own quotes in it."""


class _Fields(dict[str, Any]):
    """`o.y` for Python itself."""

    __getattr__ = dict.__getitem__


def _by_python(source: str, record: dict[str, Any]) -> Any:
    names = {"str": guards.text} | record | {"o": _Fields(record["o"])}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eval(source, {}, names)


@settings(max_examples=250)
@given(EXPRESSIONS, RECORDS)
def test_a_program_and_python_agree(source: str, record: dict[str, Any]) -> None:
    """The same value; where Python raises there is an error, too; multiplying and f-strings are ours."""
    program = Program(Plan(map={"it": parsed(source)}))
    try:
        found = program.run([record]).pairs[0][1]["it"]
    except ExpressionFailed as error:
        if "is wanted" not in error.message:
            with pytest.raises(Exception):  # noqa: B017, PT011  whatever it is
                _by_python(source, record)
        return
    if 'f"' not in source:
        expected = _by_python(source, record)
        assert (kind_of(expected), repr(expected)) == (kind_of(found), repr(found))
    assert msgspec.json.encode(found)


def _instructions(code: types.CodeType) -> Iterator[dis.Instruction]:
    yield from dis.get_instructions(code)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _instructions(constant)


@settings(max_examples=250)
@given(EXPRESSIONS)
def test_what_is_generated_looks_into_no_object(source: str) -> None:
    """No attribute, no import, no name but those that were put there: there is no way out, whatever is written."""
    generator = Generator([])
    function = generator.alone(parsed(source))
    used = list(_instructions(function.__code__))
    assert not [one for one in used if "ATTR" in one.opname or "METHOD" in one.opname or "IMPORT" in one.opname]
    names = {one.argval for one in used if one.opname in {"LOAD_GLOBAL", "LOAD_NAME"}}
    assert names <= set(generator.names) - {"__builtins__"}
    assert {} == generator.names["__builtins__"]


@settings(max_examples=250)
@given(EXPRESSIONS, RECORDS)
def test_kinds_are_right(source: str, record: dict[str, Any]) -> None:
    """Of a record that fits the schema, what was said to be an int is one; a float may be whole, and anything null."""
    expression = parsed(source)
    try:
        kind = kind_in(expression, SCOPE)
        found = Program(Plan(map={"it": expression})).run([record]).pairs[0][1]["it"]
    except (InvalidExpression, ExpressionFailed):
        return
    allowed = {kind.name, "null"} | ({"int", "bool"} if kind.name in {"float", "int"} else set())

    assert kind.name == "any" or kind_of(found) in allowed, (kind, found)
