"""What is said about an expression that is not as it has to be: one sentence, its place, and near names. Pure."""

import ast
from collections.abc import Iterable
from difflib import get_close_matches

from cluster.errors import InvalidRoute

NAMES_LISTED_MAX = 12
PICTURE_MAX = 110
"""Characters of a line that is shown."""


class InvalidExpression(InvalidRoute):
    """An expression says what it may not, or what cannot be. `line` and `column` count from 1, in characters."""

    def __init__(self, message: str, source: str, line: int, column: int, width: int) -> None:
        super().__init__(message)
        self.source, self.line, self.column, self.width = source, line, column, width

    @property
    def place(self) -> str:
        """In the expression: `column 9`."""
        return place_of(self.source, self.line, self.column)

    @property
    def picture(self) -> list[str]:
        """The line, and marks under what is meant."""
        return picture_of(self.source, self.line, self.column, self.width)


def place_of(source: str, line: int, column: int) -> str:
    """For people."""
    return f"line {line}, column {column}" if "\n" in source else f"column {column}"


def picture_of(source: str, line: int, column: int, width: int) -> list[str]:
    """A line of the source, of a long one a part, and ^ under what is meant."""
    lines = source.split("\n")
    text = lines[line - 1] if line <= len(lines) else ""
    cut = max(0, column - 1 - PICTURE_MAX // 2) if len(text) > PICTURE_MAX else 0
    if cut or len(text) > PICTURE_MAX:
        text, column = ("…" if cut else "") + text[cut : cut + PICTURE_MAX] + "…", column - cut + bool(cut)
    before = "".join("\t" if char == "\t" else " " for char in text[: column - 1].ljust(column - 1))
    return [text, before + "^" * max(1, min(width, len(text) - column + 1))]


def span_of(source: str, node: ast.AST) -> tuple[int, int, int]:
    """Line and column from 1, and the width on that line, of a node of `expressions.parsed(source)`."""
    line, begin = node.lineno - 1, node.col_offset  # type: ignore[attr-defined]  # the first line is a parenthesis
    last, end = node.end_lineno - 1, node.end_col_offset  # type: ignore[attr-defined]
    lines = source.split("\n")
    text = lines[line - 1].encode() if line <= len(lines) else b""
    column = len(text[:begin].decode(errors="replace"))
    width = len(text[begin : end if last == line else None].decode(errors="replace"))
    return line, column + 1, width


def refused(message: str, source: str, node: ast.AST) -> InvalidExpression:
    """About a part of an expression."""
    return InvalidExpression(message, source, *span_of(source, node))


def near(name: str, known: Iterable[str], *, else_list: str = "") -> str:
    """What to add to a sentence about an unknown name: the nearest one, or (after `else_list`) which there are.

    >>> near("custmer", ["customer", "sku"])
    "; did you mean 'customer'?"
    >>> near("x", ["b", "a"], else_list="there are")
    '; there are a, b'
    """
    names = sorted(set(known))
    found = get_close_matches(name, names, n=1, cutoff=0.6)
    if not found:  # as people leave out or add a part: id for order_id
        found = [other for other in names if len(name) > 2 and (name.lower() in other.lower())][:1]
    if found:
        return f"; did you mean {found[0]!r}?"
    return f"; {else_list} {listed(names)}" if else_list else ""


def listed(names: Iterable[str]) -> str:
    """Names for a sentence, not too many of them.

    >>> listed([]), listed(["a", "b"])
    ('none', 'a, b')
    """
    all_names = list(names)
    shown = all_names[:NAMES_LISTED_MAX]
    more = len(all_names) - len(shown)
    return (", ".join(shown) or "none") + (f" and {more} more" if more else "")


def counted(number: int, what: str) -> str:
    """A number of things.

    >>> counted(1, "record"), counted(2, "record")
    ('1 record', '2 records')
    """
    return f"{number:,} {what}" + "s" * (number != 1)
