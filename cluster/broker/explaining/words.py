"""Numbers as people say them. Pure.

>>> size(48_200_000), size(812), span_ms(900), span_ms(12_300), span_ms(1_500), span_ms(300_000)
('48 MB', '812 bytes', '900 ms', '12 s', '1.5 s', '5 min')
>>> counted(1_203, "entry", "entries"), listed(["node 1", "node 2", "node 3"])
('1,203 entries', 'node 1, node 2 and node 3')
>>> numbered([2]), numbered([1, 3])
('node 2', 'nodes 1 and 3')
"""

from collections.abc import Iterable

SIZES = (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3))
SPANS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000))
MS_PER_S = 1_000
EXACT_BELOW = 10
"""Numbers below it have a digit behind the point."""


def size(number_bytes: float) -> str:
    """Bytes, in powers of ten."""
    for unit, factor in SIZES:
        if number_bytes >= factor:
            return f"{_rounded(number_bytes / factor)} {unit}"
    return counted(int(number_bytes), "byte")


def span_ms(milliseconds: float) -> str:
    """A length of time: two minutes and more in minutes, hours or days."""
    for unit, factor in SPANS:
        if milliseconds >= 2 * factor:
            return f"{_rounded(milliseconds / factor)} {unit}"
    if milliseconds < 1:
        return "under 1 ms"
    if milliseconds < MS_PER_S:
        return f"{milliseconds:.0f} ms"
    return f"{_rounded(milliseconds / MS_PER_S)} s"


def _rounded(number: float) -> str:
    text = f"{number:.1f}" if number < EXACT_BELOW else f"{number:,.0f}"
    return text.removesuffix(".0")


def counted(number: int, one: str, many: str = "") -> str:
    """So many of them."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(items: Iterable[str], nothing: str = "none") -> str:
    """One, two and three."""
    items = list(items)
    if not items:
        return nothing
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def numbered(nodes: Iterable[int]) -> str:
    """Nodes by their numbers."""
    nodes = list(nodes)
    return ("node " if len(nodes) == 1 else "nodes ") + listed(str(node) for node in nodes)
