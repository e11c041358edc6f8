"""Where things stand in a TOML file, for the standard parser does not tell. Pure.

A scan by headers (`[a.b]`, `[[route]]`) and by `name =` outside of values. It is for pointing only: the file has been
parsed by then, and what is not found is looked for one level up.
"""

import re
from collections.abc import Sequence
from typing import Any

Path = tuple[str | int, ...]
_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_PART = re.compile(r'\s*(?:"([^"]*)"|\'([^\']*)\'|([A-Za-z0-9_-]+))\s*(?:\.|$)')
_ASSIGNED = re.compile(
    r"""\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*="""
)
_TOKEN = re.compile(r'"""|\'\'\'|"(?:\\.|[^"\\])*"|\'[^\']*\'|#.*|[\[\]{}]')


class Lines:
    """The line of each table and value, by its path: ("route", 0, "map")."""

    def __init__(self, text: str) -> None:
        self._at: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}
        self._text = text.split("\n")
        self._scan()

    def of(self, *path: Any) -> int | None:
        """The line, from 1, of what is there, or of the nearest around it."""
        for size in range(len(path), 0, -1):
            line = self._at.get(tuple(path[:size]))
            if line is not None:
                return self._within(line, path[size:])
        return None

    def _within(self, line: int, names: Sequence[Any]) -> int:
        """A name in an inline table stands on a line of its own, if the table takes several."""
        wanted = [str(name) for name in names if isinstance(name, str)]
        if not wanted:
            return line
        later = [other for other in self._at.values() if other > line]
        end = min(later, default=len(self._text) + 1)
        for number in range(line, end):
            if re.search(rf"(?<![\w-])[\"']?{re.escape(wanted[-1])}[\"']?\s*=", self._text[number - 1]):
                return number
        return line

    def _scan(self) -> None:
        table: Path = ()
        array: Path = ()
        deep, quote, items = 0, "", 0
        for number, written in enumerate(self._text, 1):
            line = written
            if not quote and not deep:
                header = _HEADER.match(line)
                if header:
                    table = self._entered(header[1] == "[[", _parts(header[2]))
                    self._at.setdefault(table, number)
                    continue
                assigned = _ASSIGNED.match(line)
                if assigned:
                    names = _parts(assigned[1])
                    for size in range(1, len(names) + 1):
                        self._at.setdefault((*table, *names[:size]), number)
                    array, items = (*table, *names), 0
                    line = line[assigned.end() :].strip()
                    if line.startswith("[") and line[1:].lstrip().startswith("{"):
                        items = 1  # the first table of an array, which is where the array is
            elif not quote and deep == 1 and line.lstrip().startswith("{"):
                self._at.setdefault((*array, items), number)
                items += 1
            deep, quote = _after(line, deep, quote)

    def _entered(self, array: bool, names: list[str]) -> Path:  # noqa: FBT001
        """The path that a header opens: an array's last table is the one that is meant by its name."""
        path: Path = ()
        for place, name in enumerate(names):
            path = (*path, name)
            if array and place == len(names) - 1:
                self._counts[path] = self._counts.get(path, -1) + 1
            if path in self._counts:
                path = (*path, self._counts[path])
        return path


def _parts(written: str) -> list[str]:
    return [match[1] or match[2] or match[3] or "" for match in _PART.finditer(written)]


def _after(line: str, deep: int, quote: str) -> tuple[int, str]:
    """Brackets and quotes that are open behind a line."""
    at = 0
    while at < len(line):
        if quote:
            end = line.find(quote, at)
            if end < 0:
                return deep, quote
            at, quote = end + 3, ""
            continue
        match = _TOKEN.search(line, at)
        if match is None:
            break
        found, at = match[0], match.end()
        if found in {'"""', "'''"}:
            quote = found
        elif found in {"[", "{"}:
            deep += 1
        elif found in {"]", "}"}:
            deep = max(0, deep - 1)
    return deep, quote
