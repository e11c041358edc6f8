"""What is wrong with a route file: all of it, with lines, routes and fields. And careful looks into tables.

A *section* is a TOML table that is read field by field. What is missing or of the wrong type is noted and read as
nothing, so that the rest is looked at, too.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from cluster.errors import RiverrunError
from cluster.processing.routes.lines import Lines
from cluster.processing.routes.sentences import InvalidExpression, near

T = TypeVar("T")
_WORDS: dict[type, str] = {
    str: "text in quotes",
    int: "a whole number",
    bool: "true or false",
    dict: "a table",
    list: "a list",
}


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One. `where`: route and field; `picture`: the expression, and marks under a part of it."""

    file: str
    line: int | None
    where: str
    message: str
    picture: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """`shop.toml:14`."""
        return self.file if self.line is None else f"{self.file}:{self.line}"

    @property
    def sentence(self) -> str:
        """`shop.toml:14: route orders, where: …`."""
        return f"{self.place}: {f'{self.where}: ' * bool(self.where)}{self.message}"

    def __str__(self) -> str:
        return "\n".join([self.sentence, *(f"    {line}" for line in self.picture)])


class Problems:
    """Those that were found in one file."""

    def __init__(self, file: str, lines: Lines) -> None:
        self.found: list[Problem] = []
        self._file, self._lines = file, lines

    def add(self, path: tuple[Any, ...], where: str, message: str, error: InvalidExpression | None = None) -> None:
        """Note one. `error`: the expression's own, whose place it is."""
        line = self._lines.of(*path)
        picture = tuple(error.picture) if error is not None else ()
        if error is not None:
            message = f"{message} ({error.place})"
        self.found.append(Problem(file=self._file, line=line, where=where, message=message, picture=picture))

    def line(self, *path: Any) -> int | None:
        """Of what is there."""
        return self._lines.of(*path)


class Section:
    """A table, its path in the file, and what it is called in a sentence ("" at the top)."""

    def __init__(self, problems: Problems, table: Mapping[str, Any], path: tuple[Any, ...], what: str) -> None:
        self.problems, self.table, self.path, self.what = problems, table, path, what

    def wrong(self, message: str, *names: Any, error: InvalidExpression | None = None) -> None:
        """Note a problem with a field, or with all of it."""
        field = ".".join(str(name) for name in names if isinstance(name, str))
        where = ", ".join(word for word in (self.what, field) if word)
        self.problems.add((*self.path, *names), where, message, error)

    def knows(self, known: Iterable[str]) -> None:
        """Note what is in it that nobody knows."""
        names = list(known)
        for name in self.table:
            if name not in names:
                self.problems.add(
                    (*self.path, name), self.what, f"unknown field {name!r}{near(name, names, else_list='there are')}"
                )

    def value(self, name: str, kind: type[T], default: T) -> T:
        """A field of a type; `default` if it is missing or wrong."""
        found = self.table.get(name, default)
        if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
            self.wrong(f"it is {shown(found)}, and {_WORDS[kind]} is wanted", name)
            return default
        return found

    def needed(self, name: str) -> str:
        """A text that has to be there; "" if it is not."""
        if name not in self.table:
            self.problems.add(self.path, self.what, f"{name!r} is missing")
            return ""
        return self.value(name, str, "")

    def section(self, name: str, what: str = "") -> "Section":
        """A table in it; an empty one if there is none."""
        table: dict[str, Any] = self.value(name, dict, {})
        return Section(self.problems, table, (*self.path, name), what or ", ".join(w for w in (self.what, name) if w))

    def sections(self, name: str) -> list["Section"]:
        """Tables in an array; one table stands for an array of it."""
        found = self.table.get(name, [])
        tables = [found] if isinstance(found, dict) else found
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self.wrong(f"it is {shown(found)}, and a table or a list of tables is wanted", name)
            return []
        many = isinstance(found, list)
        what = ", ".join(word for word in (self.what, name) if word)
        return [
            Section(
                self.problems,
                table,
                (*self.path, name, number) if many else (*self.path, name),
                f"{what}[{number}]" if many and len(tables) > 1 else what,
            )
            for number, table in enumerate(tables)
        ]

    def tried(self, names: tuple[Any, ...], error: RiverrunError) -> None:
        """Note what something that was tried with a field said."""
        self.wrong(error.message, *names, error=error if isinstance(error, InvalidExpression) else None)


def shown(value: object) -> str:
    """A value for a sentence; a long one by its type."""
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    words = {"dict": "a table", "list": "a list"}
    return text if len(text) <= 40 else words.get(type(value).__name__, f"a long {type(value).__name__}")
