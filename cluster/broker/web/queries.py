"""A URL's query: each parameter known, given once, and of its type."""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TypeVar

from starlette.requests import Request

from cluster.errors import InvalidRequest

T = TypeVar("T")
NUMBER = re.compile(r"\d{1,19}", re.ASCII)
NUMBER_MAX = (1 << 63) - 1
PARTITION_MAX = (1 << 32) - 1


class Query:
    """The parameters of one request; InvalidRequest for one that is not among `known`, or is there twice."""

    def __init__(self, request: Request, known: AbstractSet[str]) -> None:
        self._values: dict[str, str] = {}
        for name, value in request.query_params.multi_items():
            if name not in known:
                raise InvalidRequest(f"there is no parameter {name[:64]!r} here; there is {', '.join(sorted(known))}")
            if name in self._values:
                raise InvalidRequest(f"the parameter {name} is there twice")
            self._values[name] = value

    def text(self, name: str) -> str | None:
        """The parameter as it is; None if it is not there."""
        return self._values.get(name)

    def number(self, name: str, most: int = NUMBER_MAX) -> int | None:
        """A number from 0 to `most`."""
        text = self._values.get(name)
        if text is None:
            return None
        if not NUMBER.fullmatch(text) or int(text) > most:
            raise InvalidRequest(f"{name} is a number from 0 to {most}, not {text[:64]!r}")
        return int(text)

    def choice(self, name: str, choices: Mapping[str, T]) -> T | None:
        """One of the choices."""
        text = self._values.get(name)
        if text is not None and text not in choices:
            raise InvalidRequest(f"{name} is one of {', '.join(choices)}, not {text[:64]!r}")
        return None if text is None else choices[text]
