"""Names at a destination, made of a record: `alerts/{region}/{key}`. Pure.

`{key}` is the record's key, `{region}` the field of its value, `{after.id}` a field within a field; `{value.key}` is
how a field is named that is itself called `key`. `{{` and `}}` are braces. Nothing is formatted, called or looked up
beyond that.

>>> Template("alerts/{region}", "topic").fill({"region": "eu"}, None)
b'alerts/eu'
"""

import re
from typing import Any

from cluster.errors import InvalidRoute, RecordRefused

_PIECE = re.compile(r"\$\{[^}]*\}|\{\{|\}\}|\{([^{}]*)\}|[^{}$]+|\$|(.)", re.DOTALL)
_PATH = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*")


class Template:
    """What is written, understood once. InvalidRoute, naming `what`, if it cannot be."""

    def __init__(self, written: str, what: str) -> None:
        self.what, self.written = what, written
        self._pieces: list[bytes | tuple[str, ...]] = []
        """Text as it is, or the path of a field; ("key",) is the record's key."""
        for piece in _PIECE.finditer(written):
            text, path = piece.group(), piece.group(1)
            if piece.group(2) is not None:
                raise InvalidRoute(f"{what} is {written!r}: a lone {text!r}; fields are {{written_so}}")
            if path is None:
                self._pieces.append(text.replace("{{", "{").replace("}}", "}").encode())
            elif _PATH.fullmatch(path) is None:
                raise InvalidRoute(f"{what} is {written!r}: {text} names no field")
            else:
                self._pieces.append(tuple(path.split(".")))

    @property
    def fixed(self) -> bool:
        """It is the same for every record."""
        return not any(isinstance(piece, tuple) for piece in self._pieces)

    @property
    def example(self) -> str:
        """With an "x" for each field: what has to be right of it whatever the record."""
        return b"".join(b"x" if isinstance(piece, tuple) else piece for piece in self._pieces).decode()

    def fill(self, value: Any, key: bytes | None, *, place: int = 0, forbidden: bytes = b"") -> bytes:
        """For one record. RecordRefused with its `place`: it has no such field, or one with `forbidden` bytes."""
        return b"".join(
            piece if isinstance(piece, bytes) else self._found(piece, value, key, place, forbidden)
            for piece in self._pieces
        )

    def _found(self, path: tuple[str, ...], value: Any, key: bytes | None, place: int, forbidden: bytes) -> bytes:
        name = ".".join(path)
        if path == ("key",):
            found: Any = key
        else:
            found = value
            for step in path[1:] if path[0] == "value" and len(path) > 1 else path:
                found = found.get(step) if isinstance(found, dict) else None
        if isinstance(found, bool) or not isinstance(found, bytes | str | int | float) or found in {"", b""}:
            raise RecordRefused(f"the {self.what} {self.written!r} needs {name!r}, which the record lacks", place=place)
        text = found if isinstance(found, bytes) else str(found).encode(errors="surrogatepass")
        if any(byte in forbidden for byte in text):
            raise RecordRefused(f"{name!r} has a character that the {self.what} must not have", place=place)
        return text
