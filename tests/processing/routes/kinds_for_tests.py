"""Kinds of connectors that are only options: one to read and write, one to write, one that cannot be imported."""

import msgspec

from cluster.connectors.registry import Registry
from cluster.errors import InvalidRoute


class Wire(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="wire"):
    """Of either side."""

    url: str
    tables: list[str] = []
    topic: str = ""

    @property
    def summary(self) -> str:
        """Without the password."""
        return "wire " + self.url.split("@")[-1].split("/")[0]

    def check(self) -> None:
        """It is a URL."""
        if not self.url.startswith("wire://") and self.url != "x":
            raise InvalidRoute(f"url {self.url!r} is no wire")


class Box(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="box"):
    """A sink."""

    path: str

    @property
    def summary(self) -> str:
        """Its path."""
        return f"box {self.path}"

    def check(self) -> None:
        """It is always right."""


REGISTRY = Registry(
    {"wire": "tests.processing.routes.kinds_for_tests:Wire", "broken": "tests.nowhere:Nothing"},
    {"wire": Wire, "box": Box},
)
