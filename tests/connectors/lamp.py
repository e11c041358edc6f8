"""A kind of source that is imported late."""

import msgspec


class Lamp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="lamp"):
    """Its options."""

    watts: int = 1

    def check(self) -> None:
        """Always right."""
