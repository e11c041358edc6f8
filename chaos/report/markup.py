"""HTML and SVG that cannot be broken by what is put into it: text is escaped, only what was made here is not.

What comes from a run (keys, errors, sentences of anomalies) may hold anything.
"""

import html
from collections.abc import Iterable


class Markup(str):
    """Text that is markup already. Whoever makes one from text of others breaks this module's promise."""

    __slots__ = ()


EMPTY = {"br", "circle", "hr", "line", "meta", "path", "rect"}
"""Elements that are written without an end, where they have no children."""
CONTROLS = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127, *range(55296, 57344)), "�")
"""What an HTML page must not hold: control characters, and halves of characters, which no encoding has."""


def text(value: object) -> Markup:
    """Anything, escaped; fit for an attribute as well."""
    return Markup(html.escape(str(value).translate(CONTROLS), quote=True))


def join(children: Iterable[object]) -> Markup:
    """One after the other; None is nothing, a list is its items."""
    return Markup("".join(_child(child) for child in children))


def _child(child: object) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str | int | float):
        return text(child)
    assert isinstance(child, Iterable), f"{type(child).__name__} is no markup"
    return join(child)


def element(name: str, /, *children: object, **attributes: object) -> Markup:
    """`element("a", "text", href="#1", class_="x")`; `_` stands for `-`, None for no attribute."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = join(children)
    if not inner and name in EMPTY:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{inner}</{name}>")
