"""From checked expressions to Python that is run: one loop for all of a route, or one function for each expression.

In it `r` is the record (or what was made of it), `i` its place in the batch `records`, `m_…` and `t_…` columns: what is
known of the records beside their values, and what was looked up for them. A part of an expression keeps its place in
the source, so that a failure can be shown there (`diagnosis`).
"""

import ast
import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cluster.processing.event import encode_key
from cluster.processing.routes import guards, times
from cluster.processing.routes.expressions import Expression, path_of
from cluster.processing.routes.functions import FUNCTIONS
from cluster.processing.routes.kinds import NUMBERS, Kind

FILE = "<expression>"
LOOP_FILE = "<route>"
Tree = Mapping[str, "Expression | Tree"]
"""What `map` makes: names, and their values or tables of them."""


def key_text(key: bytes | None) -> str | None:
    """`meta.key`; what is no text is shown by its bytes."""
    return None if key is None else key.decode(errors="backslashreplace")


def header_texts(headers: Sequence[tuple[str, bytes]]) -> dict[str, str]:
    """`meta.headers`; of one name the last."""
    return {name: value.decode(errors="backslashreplace") for name, value in headers}


def key_bytes(value: Any) -> bytes | None:
    """What `key = …` comes to; null: no key."""
    return None if value is None else encode_key(value)


_NAMES: dict[str, Any] = {
    "enumerate": enumerate,
    "_text": guards.text,
    "_formatted": guards.formatted,
    "_power": guards.power,
    "_get": guards.get,
    "_has": guards.has,
    "_without": guards.without,
    "_moment": times.moment,
    "_as_ns": times.as_ns,
    "_key_text": key_text,
    "_key_bytes": key_bytes,
    "_header_texts": header_texts,
    **{f"f_{name}": function.call for name, function in FUNCTIONS.items()},
}


class Generator(ast.NodeTransformer):
    """Translates expressions of one route. `columns`, `found`: which columns, and look-ups, they came to use."""

    def __init__(self, lookups: Sequence[str]) -> None:
        self._lookups = frozenset(lookups)
        self.columns: set[str] = set()
        self.found: set[str] = set()
        self.names: dict[str, Any] = {"__builtins__": {}, **_NAMES}
        self._source = ""
        self._after = False

    def translated(self, expression: Expression, *, after: bool = False) -> ast.expr:
        """The same, as it is run; the given one is left as it is. `after`: it is of what was made."""
        self._source, self._after = expression.source, after
        for written, pattern in expression.patterns.items():
            self.names[self._pattern(written)] = pattern.found_in
        node: ast.expr = self.visit(copy.deepcopy(expression.tree))
        return node

    def dictionary(self, tree: Tree) -> ast.expr:
        """Of a `map`."""
        values = [
            self.dictionary(value) if isinstance(value, Mapping) else self.translated(value) for value in tree.values()
        ]
        return ast.Dict([ast.Constant(name) for name in tree], values)

    def alone(self, expression: Expression, *, after: bool = False) -> Callable[..., Any]:
        """A function of one record, its place, the records of the batch, and the columns (by `parameters`)."""
        body = self.translated(expression, after=after)
        return self.function(body, ("r", "i", "records", *self.parameters()), FILE)

    def parameters(self) -> list[str]:
        """Of all that was translated so far."""
        return [*(f"m_{name}" for name in sorted(self.columns)), *(f"t_{name}" for name in sorted(self.found))]

    def function(self, body: ast.expr, parameters: Sequence[str], file: str = LOOP_FILE) -> Callable[..., Any]:
        """Compiled."""
        arguments = ast.arguments([], [ast.arg(name) for name in parameters], None, [], [], None, [])
        tree = ast.fix_missing_locations(ast.Expression(ast.Lambda(arguments, body)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what can never be right, which has been said, or fails for each record
            code = compile(tree, file, "eval")
        made: Callable[..., Any] = eval(code, self.names)  # noqa: S307  what it is made of was checked
        return made

    @staticmethod
    def _pattern(written: str) -> str:
        return "p_" + written.encode().hex()

    def _column(self, name: str) -> ast.expr:
        self.columns.add(name)
        return ast.Subscript(_name(f"m_{name}"), _name("i"), ast.Load())

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """A field, a look-up, or all of the record."""
        if node.id == "record":
            return _at(_name("r"), node)
        if node.id in self._lookups:
            self.found.add(node.id)
            return _at(ast.Subscript(_name(f"t_{node.id}"), _name("i"), ast.Load()), node)
        if node.id == "input" and self._after:
            return _at(ast.Subscript(_name("records"), _name("i"), ast.Load()), node)
        return _at(ast.Subscript(_name("r"), ast.Constant(node.id), ast.Load()), node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """A field of a field, or what is known beside the value."""
        if isinstance(node.value, ast.Name) and node.value.id == "meta":
            column = self._column(node.attr)
            reader = {"key": "_key_text", "timestamp": "_moment", "headers": "_header_texts"}.get(node.attr)
            return _at(_call(reader, column) if reader else column, node)
        return _at(ast.Subscript(self.visit(node.value), ast.Constant(node.attr), ast.Load()), node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """Where Python would repeat or format, only numbers may pass."""
        left, right = self.visit(node.left), self.visit(node.right)
        if isinstance(node.op, ast.Pow):
            return _at(_call("_power", left, right), node)
        if isinstance(node.op, ast.Mult | ast.Mod) and not _is_number(node.left):
            left = _at(ast.UnaryOp(ast.UAdd(), left), node.left)
        if isinstance(node.op, ast.Mult) and not _is_number(node.right):
            right = _at(ast.UnaryOp(ast.UAdd(), right), node.right)
        return _at(ast.BinOp(left, node.op, right), node)

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.expr:
        """Without a format, as the function `str` would have it."""
        value = self.visit(node.value)
        if node.format_spec is None or node.conversion != -1:
            value = _at(_call("_text", value), node.value)
        if node.format_spec is not None:
            value = _at(_call("_formatted", value, node.format_spec), node.value)
        return _at(ast.FormattedValue(value, -1, None), node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """One of the functions."""
        name = getattr(node.func, "id", "")
        if name in {"get", "has"}:
            value, path, default = path_of(node, self._source)
            of = _name("r") if value is None else self.visit(value)
            rest = [] if default is None else [self.visit(default)]
            return _at(_call(f"_{name}", of, _constant(path), *rest), node)
        if name == "now":
            return _at(_call("_moment", self._column("timestamp")), node)
        if name == "matches":
            text, written = node.args
            return _at(_call(self._pattern(str(getattr(written, "value", ""))), self.visit(text)), node)
        return _at(_call(f"f_{name}", *map(self.visit, node.args)), node)


def pairs(value: ast.expr, condition: ast.expr | None) -> ast.expr:
    """`[(i, value) for i, r in enumerate(records) if condition]`."""
    return _comprehension(_pair(_name("i"), value), _call("enumerate", _name("records")), condition)


def column_of(value: ast.expr) -> ast.expr:
    """`[value for i, r in pairs]`."""
    return _comprehension(value, _name("pairs"), None)


def places(condition: ast.expr) -> ast.expr:
    """`[n for n, (i, r) in enumerate(pairs) if condition]`."""
    target = ast.Tuple([ast.Name("n", ast.Store()), _target()], ast.Store())
    over = ast.comprehension(target, _call("enumerate", _name("pairs")), [condition], 0)
    return ast.ListComp(_name("n"), [over])


def changed(record: ast.expr, names: Sequence[str], values: Sequence[ast.expr], dropped: Sequence[str]) -> ast.expr:
    """Of `set` and `drop`: `{**_without(r, …), 'name': value}`."""
    if dropped:
        record = _call("_without", record, _constant(frozenset(dropped)))
        if not names:
            return record
    return ast.Dict([None, *map(ast.Constant, names)], [record, *values])


def call(name: str, *arguments: ast.expr) -> ast.expr:
    """Of one of ours."""
    return _call(name, *arguments)


def record() -> ast.expr:
    """The record as it is."""
    return _name("r")


def _comprehension(value: ast.expr, over: ast.expr, condition: ast.expr | None) -> ast.expr:
    return ast.ListComp(value, [ast.comprehension(_target(), over, [condition] if condition else [], 0)])


def _target() -> ast.expr:
    return ast.Tuple([ast.Name("i", ast.Store()), ast.Name("r", ast.Store())], ast.Store())


def _pair(first: ast.expr, second: ast.expr) -> ast.expr:
    return ast.Tuple([first, second], ast.Load())


def _constant(value: Any) -> ast.expr:
    return ast.Constant(value)


def _name(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


def _call(name: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(_name(name), list(arguments), [])


def _at(made: ast.expr, node: ast.AST) -> ast.expr:
    """All that is made in the place of a node is at its place."""
    ast.copy_location(made, node)
    for child in ast.walk(made):
        if isinstance(child, ast.expr) and not hasattr(child, "lineno"):
            ast.copy_location(child, node)
    return made


def _is_number(node: ast.expr) -> bool:
    """Whether it can be nothing else, whatever the record is."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Mult | ast.Pow | ast.Mod)
    if isinstance(node, ast.Call):
        gives = FUNCTIONS[getattr(node.func, "id", "")].gives
        return isinstance(gives, Kind) and gives.name in NUMBERS
    return False
