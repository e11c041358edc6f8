"""Why an expression has no value for a record: which part of it, in words.

Python keeps the place in the source of each instruction, and the generated code has the places of the expression. What
the parts beside it come to is found by running them alone.
"""

import ast
import re
from collections.abc import Callable
from types import TracebackType
from typing import Any

from cluster.errors import RiverrunError
from cluster.processing.routes.expressions import Expression
from cluster.processing.routes.generating import FILE
from cluster.processing.routes.kinds import kind_of
from cluster.processing.routes.sentences import near, picture_of, place_of, span_of

Evaluate = Callable[[Expression], Any]
_DESCRIPTOR = re.compile(r"descriptor '(\w+)' for 'str' objects doesn't apply to a '(\w+)' object")


def described(expression: Expression, error: Exception, evaluate: Evaluate) -> str:
    """A sentence, and below it the place. `evaluate`: what another expression comes to for the same record."""
    node = _failed(expression.tree, error.__traceback__)
    sentence = _sentence(node, error, _Parts(expression, evaluate))
    line, column, width = span_of(expression.source, node)
    picture = "\n".join(f"    {text}" for text in picture_of(expression.source, line, column, width))
    return f"{sentence} ({place_of(expression.source, line, column)})\n{picture}"


class _Parts:
    """What parts of the expression come to."""

    def __init__(self, expression: Expression, evaluate: Evaluate) -> None:
        self._expression, self._evaluate = expression, evaluate

    def value(self, node: ast.expr) -> Any:
        return self._evaluate(self._expression._replace(tree=node))

    def kind(self, node: ast.expr) -> str:
        """With its text: `after.total is null`."""
        return f"{ast.unparse(node)} is {kind_of(self.value(node))}"


def _failed(tree: ast.expr, traceback: TracebackType | None) -> ast.expr:
    """The part at whose place it happened; the whole where that cannot be told."""
    place = None
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_filename == FILE:
            place = list(code.co_positions())[traceback.tb_lasti // 2]
        traceback = traceback.tb_next
    if place is not None:
        line, end_line, column, end_column = place
        wanted = (line, column, end_line, end_column)
        for node in ast.walk(tree):
            if isinstance(node, ast.expr):
                found = (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)
                if found == wanted and not isinstance(node, ast.FormattedValue):
                    return node
    return tree


def _sentence(node: ast.expr, error: Exception, parts: _Parts) -> str:
    try:
        if isinstance(error, KeyError):
            return _missing(node, error, parts)
        if isinstance(error, TypeError):
            return _wrong_kind(node, error, parts)
    except Exception:  # noqa: BLE001  a part that fails by itself says less than the whole
        return _plain(error)
    return _plain(error)


def _plain(error: Exception) -> str:
    if isinstance(error, ZeroDivisionError):
        return "it divides by zero"
    if isinstance(error, OverflowError):
        return "the number is too large"
    if isinstance(error, RiverrunError):
        return error.message
    if isinstance(error, IndexError):
        return "there is no such place in the list"
    return str(error) or type(error).__name__


def _missing(node: ast.expr, error: KeyError, parts: _Parts) -> str:
    name = str(error.args[0]) if error.args else ""
    container, what = None, "the record"
    if isinstance(node, ast.Attribute | ast.Subscript):
        container = parts.value(node.value)
        what = ast.unparse(node.value)
    elif isinstance(node, ast.Name):
        container = parts.value(ast.Name("record", ast.Load()))
    hint = near(name, map(str, container)) if isinstance(container, dict) else ""
    if not hint and isinstance(node, ast.Name):
        hint = f"; a text is in quotes of its own: '{name}'"
    return f"{'the record' if what == 'record' else what} has no field {name!r}{hint}"


def _wrong_kind(node: ast.expr, error: TypeError, parts: _Parts) -> str:
    if str(error).startswith("bad operand type for unary"):
        of = node.operand if isinstance(node, ast.UnaryOp) else node
        return f"{parts.kind(of)}, and a number is wanted"
    if isinstance(node, ast.Attribute):
        return f"{parts.kind(node.value)}, and has no field {node.attr!r}"
    if isinstance(node, ast.Name):
        kind = kind_of(parts.value(ast.Name("record", ast.Load())))
        return f"the record is {kind}, and has no field {node.id!r}"
    if isinstance(node, ast.Subscript):
        return f"{parts.kind(node.value)}, and has no [{ast.unparse(node.slice)}]"
    if isinstance(node, ast.BinOp):
        signs = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%"}
        sign = signs.get(type(node.op), "**")
        return f"{parts.kind(node.left)} and {parts.kind(node.right)}: {sign} is not possible"
    if isinstance(node, ast.Compare):
        pair = [node.left, *node.comparators][:2]
        return f"{parts.kind(pair[0])} and {parts.kind(pair[1])}: they cannot be compared"
    descriptor = _DESCRIPTOR.search(str(error))
    if descriptor:
        return f"{descriptor[1]}() takes a str, not {_word(descriptor[2])}"
    if isinstance(node, ast.Call):
        given = ", ".join(parts.kind(argument) for argument in node.args)
        name = getattr(node.func, "id", "")
        own = str(error).startswith(f"{name}() takes")
        return str(error) if own else f"{name}() does not fit: {given}"
    return _plain(error)


def _word(name: str) -> str:
    return "null" if name == "NoneType" else name
