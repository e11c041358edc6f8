"""What each anomaly means: the list in the docstring of `chaos.checkers`, for whoever shows one to a person."""

import re

import chaos.checkers

LISTED = re.compile(r"^- ([a-z-]+(?: [a-z-]+)*)(?: \([^)]*\))?: (.+(?:\n  .+)*)", re.MULTILINE)


def definitions() -> dict[str, str]:
    """Of each name its definition, and when it is allowed, on one line."""
    return {name: " ".join(text.split()) for name, text in LISTED.findall(chaos.checkers.__doc__ or "")}
