"""What an expression may be: a subset of Python, read with Python's own parser, and everything else refused.

| | |
|---|---|
| fields of the record | `total`, `after.total`, `items[0].sku`, `record['odd name']`; a missing one is an error |
| fields that may be missing | `get('after.total', 0)`, `has('after.total')` |
| the record | `record`, `meta.key`, `meta.timestamp`, `meta.headers['x']`, `meta.topic`, `.partition`, `.offset` |
| values | numbers, 'text', f'text {total:.2f}', True, False, None, lists, tuples, dicts |
| operators | + - * / // % **, == != < <= > >=, in, not in, is (None), and, or, not, a if b else c, a[0], a[1:3] |
| functions | the list in `functions` |

Names are fields, always: one called `len` is a field unless it is called. `meta`, `record` and the names of look-ups
hide fields of those names, which are `record.meta` then.
"""

import ast
import keyword
import re
import warnings
from collections.abc import Iterator
from math import isfinite
from typing import NamedTuple

from cluster.processing.routes.functions import FUNCTIONS, META
from cluster.processing.routes.guards import FORMAT_WIDTH_MAX
from cluster.processing.routes.patterns import Pattern, PatternError
from cluster.processing.routes.sentences import InvalidExpression, listed, near, refused

SOURCE_MAX = 4_000
"""Characters of an expression."""
NODES_MAX = 500
DEPTH_MAX = 60
NUMBER_BITS_MAX = 1_024
_ALLOWED = "; allowed are fields, values, operators, if/else, f-strings and functions such as len(…)"
_PLAIN = (
    ast.Constant, ast.Name, ast.Attribute, ast.Subscript, ast.Slice, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare,
    ast.IfExp, ast.JoinedStr, ast.FormattedValue, ast.List, ast.Tuple, ast.Dict, ast.Call,
)  # fmt: skip
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
_WORDS: dict[type[ast.AST], str] = {
    ast.Lambda: "a lambda",
    ast.ListComp: "a comprehension",
    ast.SetComp: "a comprehension",
    ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.NamedExpr: ":=",
    ast.Set: "a set in { } (write a list)",
    ast.Starred: "* before a value",
    ast.Await: "await",
    ast.Yield: "yield",
    ast.YieldFrom: "yield",
    ast.BitAnd: "& (write and)",
    ast.BitOr: "| (write or)",
    ast.BitXor: "^ (a power is **)",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.MatMult: "@",
    ast.Invert: "~ (write not)",
}
_FOREIGN = frozenset(keyword.kwlist) - {"and", "or", "not", "in", "is", "if", "else", "lambda", "None", "True", "False"}
_KEYWORDS = re.compile(r"[A-Za-z]+")
_SIGNS = {"===": "==", "&&": "and", "||": "or", "<>": "!="}
_CONSTANTS = {"null": "None", "none": "None", "true": "True", "false": "False"}
_WIDTHS = re.compile(r"\d+")


class Expression(NamedTuple):
    """One that may be. `patterns`: by the text that is given to `matches`."""

    source: str
    tree: ast.expr
    patterns: dict[str, Pattern]


def parsed(source: str) -> Expression:
    """Read and checked; InvalidExpression says what is wrong and where."""
    if len(source) > SOURCE_MAX:
        raise InvalidExpression(
            f"it has {len(source):,} characters, and an expression may have {SOURCE_MAX:,}", source[:80], 1, 1, 1
        )
    if not source.strip():
        raise InvalidExpression("it is empty; an expression is wanted", source, 1, 1, 1)
    tree = _tree(source)
    checker = _Checker(source)
    checker.check(tree, 1)
    return Expression(source, tree, checker.patterns)


def _tree(source: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of \d in a text, which is what is meant
            return ast.parse(f"(\n{source}\n)", mode="eval").body
    except SyntaxError as error:
        line = min(max((error.lineno or 2) - 1, 1), source.count("\n") + 1)
        column = error.offset or 1
        beyond = (error.lineno or 2) - 1 > source.count("\n") + 1
        if beyond:  # it was still open at our own parenthesis
            column = len(source.rsplit("\n", maxsplit=1)[-1]) + 1
        message = "it ends before it is whole" if beyond else f"it is no expression: {error.msg}"
        if "Perhaps you forgot a comma" in (error.msg or ""):
            message = "it is no expression: something is missing between two values"
        words = [word for word in _KEYWORDS.findall(source) if word in _FOREIGN]
        signs = [sign for sign in _SIGNS if sign in source]
        if words and not beyond:
            message = f"it is no expression; a field {words[0]!r}, a word of Python, is written record[{words[0]!r}]"
        elif signs:
            message = f"it is no expression: {signs[0]} is written {_SIGNS[signs[0]]}"
        if "cannot assign" in (error.msg or "") or "Maybe you meant '=='" in (error.msg or ""):
            message = "it is no expression: = is no comparison; write =="
        width = (error.end_offset or 0) - column if error.end_lineno == error.lineno else 1
        raise InvalidExpression(message, source, line, column, max(width, 1)) from error
    except (ValueError, MemoryError, RecursionError) as error:
        raise InvalidExpression("it is too deep, or has a character that cannot be", source, 1, 1, 1) from error


class _Checker:
    """A walk over the tree, with limits on how far."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._nodes = 0
        self.patterns: dict[str, Pattern] = {}

    def _no(self, message: str, node: ast.AST) -> InvalidExpression:
        return refused(message, self._source, node)

    def check(self, node: ast.expr, depth: int) -> None:
        """InvalidExpression, about the first part that may not be."""
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise self._no(f"it is too long; an expression may have {NODES_MAX} parts", node)
        if depth > DEPTH_MAX:
            raise self._no(f"it is too deep; {DEPTH_MAX} levels are the most", node)
        if not isinstance(node, _PLAIN):
            what = _WORDS.get(type(node), type(node).__name__)
            raise self._no(f"{what} is not allowed{_ALLOWED}", node)
        special = getattr(self, f"_check_{type(node).__name__.lower()}", None)
        if special is not None:
            special(node)
        for child in _children(node):
            self.check(child, depth + 1)

    def _check_constant(self, node: ast.Constant) -> None:
        value = node.value
        if value is not None and not isinstance(value, str | bool | int | float):
            raise self._no(
                f"{type(value).__name__} is no value of JSON; allowed are numbers, text, True, False, None", node
            )
        if isinstance(value, int) and value.bit_length() > NUMBER_BITS_MAX:
            raise self._no("the number is too large", node)
        if isinstance(value, float) and not isfinite(value):
            raise self._no("the number is too large for a float", node)
        if isinstance(value, str) and not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise self._no("the text has half a character in it", node)

    def _check_attribute(self, node: ast.Attribute) -> None:
        if node.attr.startswith("_"):
            raise self._no(f"names that begin with _ are written record['{node.attr}']", node)
        if isinstance(node.value, ast.Name) and node.value.id == "meta" and node.attr not in META:
            raise self._no(f"meta has no {node.attr!r}{near(node.attr, META, else_list='it has')}", node)

    def _check_name(self, node: ast.Name) -> None:
        if node.id.startswith("_"):
            raise self._no(f"names that begin with _ are written record['{node.id}']", node)
        if node.id in _CONSTANTS:
            raise self._no(
                f"{node.id} is written {_CONSTANTS[node.id]} (a field of that name: record['{node.id}'])", node
            )

    def _check_subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.slice, ast.Tuple):
            raise self._no("there is one place in [ ], or a stretch: a[0], a['name'], a[1:3]", node.slice)

    def _check_binop(self, node: ast.BinOp) -> None:
        if not isinstance(node.op, _OPERATORS):
            raise self._no(f"{_WORDS[type(node.op)]} is not allowed; allowed are + - * / // % **", node)

    def _check_unaryop(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Invert):
            raise self._no(f"{_WORDS[ast.Invert]} is not allowed; allowed are - + not", node)

    def _check_compare(self, node: ast.Compare) -> None:
        for operator, right in zip(node.ops, node.comparators, strict=True):
            simple = isinstance(right, ast.Constant) and (right.value is None or isinstance(right.value, bool))
            if isinstance(operator, ast.Is | ast.IsNot) and not simple:
                raise self._no("is is for None, True and False; write ==", right)

    def _check_dict(self, node: ast.Dict) -> None:
        for name, value in zip(node.keys, node.values, strict=True):
            if name is None:
                raise self._no("** is not allowed in a dict; name its fields, or use `set`", value)
            if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
                raise self._no("the names in a dict are in quotes: {'id': order_id}", name)

    def _check_formattedvalue(self, node: ast.FormattedValue) -> None:
        if node.conversion not in {-1, ord("s")}:
            raise self._no("in an f-string !r and !a are not allowed", node.value)
        if node.format_spec is None:
            return
        written = [part.value for part in getattr(node.format_spec, "values", []) if isinstance(part, ast.Constant)]
        if len(written) != len(getattr(node.format_spec, "values", [])):
            raise self._no("a format in an f-string is written out: f'{total:.2f}'", node.value)
        if any(
            len(digits) > 4 or int(digits) > FORMAT_WIDTH_MAX for digits in _WIDTHS.findall("".join(map(str, written)))
        ):
            raise self._no(f"a width in an f-string is at most {FORMAT_WIDTH_MAX}", node.value)

    def _check_call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute):
            name, of = node.func.attr, ast.unparse(node.func.value)
            rest = "".join(f", {ast.unparse(argument)}" for argument in node.args)
            hint = f"write {name}({of}{rest})" if name in FUNCTIONS else f"the functions are {_functions()}"
            raise self._no(f"values have no methods here; {hint}", node.func)
        if not isinstance(node.func, ast.Name):
            raise self._no(f"only functions can be called; there are {_functions()}", node.func)
        name = node.func.id
        if name not in FUNCTIONS:
            raise self._no(f"there is no function {name!r}{near(name, FUNCTIONS, else_list='there are')}", node.func)
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            raise self._no(f"arguments are given by their places: {FUNCTIONS[name].form(name)}", node)
        self._check_count(node, name)
        if name == "matches":
            self._check_pattern(node.args[1])
        if name in {"get", "has"}:
            path_of(node, self._source)

    def _check_count(self, node: ast.Call, name: str) -> None:
        takes = FUNCTIONS[name].takes
        least = sum(1 for kind in takes if not kind.endswith("?") and kind != "*")
        most = None if "*" in takes else len(takes) + (name in {"get", "has"})
        given = len(node.args)
        if given < least or (most is not None and given > most):
            raise self._no(f"{name}() is given {given or 'nothing'}; it is {FUNCTIONS[name].form(name)}", node)

    def _check_pattern(self, node: ast.expr) -> None:
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            raise self._no("the pattern of matches() is written out, in quotes", node)
        try:
            self.patterns[node.value] = Pattern(node.value)
        except PatternError as error:
            raise self._no(str(error), node) from error


def path_of(node: ast.Call, source: str) -> tuple[ast.expr | None, tuple[str, ...], ast.expr | None]:
    """Of `get` and `has`: what the path is in (None: the record), the path, and the default."""
    arguments = node.args
    own = not (arguments and isinstance(arguments[0], ast.Constant) and isinstance(arguments[0].value, str))
    rest = arguments[1:] if own else arguments
    path = rest[0] if rest else None
    if not isinstance(path, ast.Constant) or not isinstance(path.value, str) or not path.value:
        name = getattr(node.func, "id", "get")
        raise refused(f"the path of {name}() is in quotes: {name}('after.total'), {name}(after, 'total')", source, node)
    if len(rest) > (2 if getattr(node.func, "id", "") == "get" else 1):
        raise refused("it is given too much: get('a.b', default), get(a, 'b', default), has('a.b')", source, node)
    return (arguments[0] if own else None), tuple(path.value.split(".")), (rest[1] if len(rest) > 1 else None)


def _children(node: ast.expr) -> Iterator[ast.expr]:
    """Expressions in it, but for the name of what is called, and what has been looked at with it."""
    if isinstance(node, ast.Call):
        yield from node.args
    elif isinstance(node, ast.FormattedValue | ast.Attribute):
        yield node.value
    else:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                yield child


def _functions() -> str:
    return listed(FUNCTIONS)
