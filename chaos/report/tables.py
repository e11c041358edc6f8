"""The accumulated figures as Markdown: totals by kind, real runs by scenario, faults with their recoveries."""

from collections import Counter
from collections.abc import Sequence

from chaos.report.canvas import seconds
from chaos.report.operations import percentile
from chaos.report.tally import KINDS, Tally, Totals, totals

MINUTES_PER_HOUR = 60
NOTHING = "No figures yet: none of the runs that count were added (`python -m chaos.report.figures add`)."


def markdown(tallies: Sequence[Tally]) -> str:
    """The whole block."""
    if not tallies:
        return NOTHING
    kinds = [kind for kind in KINDS if any(one.kind == kind for one in tallies)]
    of = {kind: totals(one for one in tallies if one.kind == kind) for kind in kinds}
    parts = [_totals(kinds, of), _sources(tallies)]
    if any(of[kind].faults for kind in kinds):
        parts.append(_faults([kind for kind in kinds if of[kind].faults], of))
    return "\n\n".join(parts)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column is words, the others are numbers."""
    lines = [_line(head), "|---|" + "---:|" * (len(head) - 1), *map(_line, rows)]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') or '-' for cell in cells)} |"


def _totals(kinds: Sequence[str], of: dict[str, Totals]) -> str:
    rows: list[list[str]] = [
        ["runs", *(f"{of[kind].runs:,}" for kind in kinds)],
        ["time under load and faults", *(duration(kind, of[kind].hours) for kind in kinds)],
        ["the same for each CPU minute", *(_rate(kind, of[kind]) for kind in kinds)],
        ["operations", *(_count(of[kind].operations["invoke"]) for kind in kinds)],
        ["of unknown outcome", *(_info(of[kind].operations) for kind in kinds)],
        ["faults", *(_count(of[kind].faults.total()) for kind in kinds)],
        ["runs that broke off", *(f"{of[kind].broke_off:,}" for kind in kinds)],
        ["**anomalies**", *(f"**{of[kind].anomalies:,}**" for kind in kinds)],
    ]
    return table(["of all runs", *(KINDS[kind] for kind in kinds)], rows)


def duration(kind: str, hours: float) -> str:
    """Real time in minutes, simulated in hours."""
    if kind == "processes":
        return f"{hours * MINUTES_PER_HOUR:,.0f} min"
    return f"{hours:,.0f} h" if hours >= 10 else f"{hours:.2g} h"


def _rate(kind: str, total: Totals) -> str:
    if kind == "processes" or not total.cpu_minutes:
        return ""
    return f"{total.cpu_hours / total.cpu_minutes:.2g} h"


def _count(number: int) -> str:
    return f"{number:,}" if number else "not counted"


def _info(operations: Counter[str]) -> str:
    return f"{100 * operations['info'] / operations['invoke']:.2f} %" if operations["invoke"] else ""


def _sources(tallies: Sequence[Tally]) -> str:
    rows = [
        [
            f"{one.what} ({KINDS[one.kind]})",
            one.seeds,
            one.commits,
            duration(one.kind, one.hours),
            _count(one.operations.get("invoke", 0)),
            _count(sum(one.faults.values())),
            f"{one.anomalies:,}",
        ]
        for one in tallies
    ]
    return table(["what ran", "seeds", "commits", "time", "operations", "faults", "anomalies"], rows)


def _faults(kinds: Sequence[str], of: dict[str, Totals]) -> str:
    names = sorted({name for kind in kinds for name in of[kind].faults})
    head = ["fault", *(f"{KINDS[kind]}: times" if i == 0 else c for kind in kinds for i, c in enumerate(_COLUMNS))]
    rows = []
    for name in names:
        row = [f"`{name}`"]
        for kind in kinds:
            times = sorted(of[kind].recovery.get(name, Counter()).elements())
            took = [seconds(percentile(times, 0.99)), seconds(times[-1])] if times else ["", ""]
            row += [f"{of[kind].faults[name]:,}", *took]
        rows.append(row)
    return table(head, rows)


_COLUMNS = ("times", "recovery, p99", "worst")
