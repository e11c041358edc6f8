"""The parts of a run's page, from its facts to the excerpt of its history."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from chaos.history import Kind
from chaos.report.canvas import clock, seconds, short
from chaos.report.excerpt import chosen, excerpt
from chaos.report.lanes import lasting
from chaos.report.markup import Markup, element, join
from chaos.report.meanings import checked, meaning
from chaos.report.operations import OUTCOMES, Operation, counts, percentile
from chaos.report.run_folder import HISTORY, VERDICT, Run, repeat_line, workloads
from chaos.report.sentences import TIMES, by_name, node_count, some
from chaos.report.spans import Spans
from chaos.report.unavailability import Window, worst

EACH_MAX = 20
"""Anomalies of one name that are shown; all of them are in verdict.json."""
LINKS_MAX = 6
FAULTS_MAX = 400
LETTERS_MAX = 1000
NONE = "\u2013"


def facts(run: Run) -> Markup:
    """What somebody needs to judge the run, or to repeat it."""
    about = run.about
    options = "; ".join(
        f"{name} ({', '.join(f'{key}: {value}' for key, value in given.items())})" if given else name
        for name, given in workloads(about).items()
    )
    rows: list[tuple[str, object]] = [
        ("Against", f"{some(node_count(about), 'node')}, arena {about.get('arena', '?')}"),
        ("Workloads", options or "none"),
        ("Faults", ", ".join(map(str, about.get("faults") or ())) or "none"),
        ("Commit", element("code", about.get("commit") or "not told")),
        ("Started", about.get("started") or "not told"),
        ("Machine", _flat(about.get("machine")) or "not told"),
    ]
    skipped = [str(sentence) for sentence in about.get("skipped") or ()]
    rows.append(("Skipped", element("ul", [element("li", s) for s in skipped]) if skipped else "nothing"))
    items = [element("div", element("dt", name), element("dd", value)) for name, value in rows]
    replay = f"python -m chaos replay chaos-runs/{run.folder}"
    again = element(
        "p",
        "The same again, and, with its folder, the same faults at the same times:",
        element("code", repeat_line(about), element("br"), replay),
        class_="repeat",
    )
    return join([element("dl", items, class_="facts"), again])


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_flat(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_flat, value))
    return "" if value is None else str(value)


def tiles(done: Sequence[Operation], lasted: Spans, windows: Mapping[str, Sequence[Window]]) -> Markup:
    """Five numbers."""
    unknown = sum(1 for one in done if one.kind is Kind.INFO)
    sends = sorted(
        one.ended_s - one.invoked_s
        for one in done
        if one.name == "send" and one.kind is Kind.OK and one.ended_s is not None
    )
    longest = worst(windows)
    shown = [
        (f"{len(done):,}", "operations"),
        (f"{100 * unknown / len(done):.2f} %" if done else NONE, "of unknown outcome"),
        (f"{len(lasted.faults):,}", "fault injected" if len(lasted.faults) == 1 else "faults injected"),
        (seconds(percentile(sends, 0.99)) if sends else NONE, "p99 of a send"),
        (
            seconds(longest[1].seconds) if longest else "none",
            f"longest unavailability{f', {longest[0]}' if longest else ''}",
        ),
    ]
    return element(
        "div", [element("p", element("b", value), " ", element("span", name)) for value, name in shown], class_="tiles"
    )


def placed(run: Run) -> list[tuple[int, float, str]]:
    """Of the anomalies that are shown and say their operations: number, moment, name."""
    ends = _moments(run)
    found = []
    for number, anomaly in _shown(run.anomalies):
        moments = [ends[operation] for operation in anomaly.get("operations") or () if operation in ends]
        if moments:
            found.append((number, moments[0], str(anomaly.get("name", "?"))))
    return found


def _moments(run: Run) -> dict[int, float]:
    return {event.operation: event.time_s for event in run.events if event.scope != "trace"}


def _shown(anomalies: Sequence[Mapping[str, Any]]) -> list[tuple[int, Mapping[str, Any]]]:
    """With their numbers in the verdict, from 1; the first few of each name, name by name."""
    found: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for number, anomaly in enumerate(anomalies, 1):
        mine = found.setdefault(str(anomaly.get("name", "?")), [])
        if len(mine) < EACH_MAX:
            mine.append((number, anomaly))
    return [one for mine in found.values() for one in mine]


def anomalies(run: Run) -> Markup:
    """Each with what it means and where it is in the history; or what was looked for, where nothing was found."""
    known = set(_moments(run))
    parts: list[object] = [element("h2", "Anomalies")]
    if not run.anomalies and run.verdict is not None:
        parts.append(element("p", "None was found."))
    for name, count in by_name(run.anomalies).items():
        items = [
            _item(number, one, known) for number, one in _shown(run.anomalies) if str(one.get("name", "?")) == name
        ]
        parts += [
            element("h3", name, element("span", f" {TIMES} {count:,}" if count > 1 else "", class_="faint")),
            element("p", meaning(name), class_="faint"),
            element("ol", items, class_="anomalies"),
        ]
        if count > len(items):
            parts.append(element("p", f"{count - len(items):,} more of them are in {VERDICT}.", class_="faint"))
    parts.append(_checked(run))
    return element("section", parts)


def _item(number: int, anomaly: Mapping[str, Any], known: set[int]) -> Markup:
    numbers = list(anomaly.get("operations") or ())
    links = [
        element("a", f"#{n}", href=f"#op-{n}") if n in known else element("span", f"#{n}") for n in numbers[:LINKS_MAX]
    ]
    spaced = [part for link in links for part in (" ", link)]
    rest = f" and {len(numbers) - LINKS_MAX:,} more" if len(numbers) > LINKS_MAX else ""
    where = element("span", "operations" if len(numbers) > 1 else "operation", spaced, rest, class_="where")
    of = element("span", f"{anomaly['workload']} ", class_="faint") if anomaly.get("workload") else None
    detail = short(str(anomaly.get("detail", "")), LETTERS_MAX)
    return element("li", of, detail, " ", where if numbers else None, id=f"anomaly-{number}", value=number)


def _checked(run: Run) -> Markup | None:
    """What the run says that it checked, or else what its workloads' checkers are known to look for."""
    if run.verdict is None or run.verdict.get("failure"):
        return element("p", "The history was not checked.")
    told = run.verdict.get("checked")
    by_checker = told if isinstance(told, Mapping) else {"": told} if told else checked(workloads(run.about))
    if not by_checker:
        return element("p", "The run does not say what was checked.", class_="faint")
    rows = []
    for checker, names in by_checker.items():
        words = [names] if isinstance(names, str) else list(names)
        items = [(element("b", str(name)), f" {meaning(str(name))}") for name in words]
        rows.append(element("div", element("dt", checker), element("dd", [element("p", item) for item in items])))
    summary = element("summary", "What was checked, by which checkers")
    return element("details", summary, element("dl", rows, class_="checked"), open=None if run.anomalies else "open")


def faults(run: Run, lasted: Spans) -> Markup | None:
    """All that were injected, and how many of the plan were not."""
    if not lasted.faults:
        return None
    rows = []
    for fault in lasted.faults[:FAULTS_MAX]:
        lasts = "" if fault.end_s is None else lasting(fault)
        state = lasts if fault.mended else element("span", f"{lasts} not mended".strip(), class_="bad-words")
        cells = [
            element("td", fault.number, class_="number"),
            element("td", clock(fault.start_s), class_="number"),
            element("td", state, class_="number"),
            element("td", fault.name),
            element("td", fault.role),
            element("td", ", ".join(map(str, fault.nodes))),
            element("td", short(_flat(fault.options), LETTERS_MAX)),
        ]
        rows.append(element("tr", cells, id=f"fault-{fault.number}"))
    names = [
        ("", "number"),
        ("when", "number"),
        ("how long", "number"),
        *((n, None) for n in ("what", "whom", "nodes", "options")),
    ]
    head = element("thead", element("tr", [element("th", name, class_=class_) for name, class_ in names]))
    planned = len(run.schedule.faults) if run.schedule is not None else len(lasted.faults)
    note = f"{planned} were planned, {len(lasted.faults)} were injected." if planned != len(lasted.faults) else ""
    if len(lasted.faults) > FAULTS_MAX:
        note += f" The first {FAULTS_MAX} are shown."
    table = element("div", element("table", head, element("tbody", rows)), class_="scroll")
    return element("section", element("h2", "Faults"), element("p", note) if note else None, table)


def figures(run: Run, done: Sequence[Operation]) -> Markup:
    """Operations by workload and outcome; whatever else the run counted; its notes."""
    rows = []
    for (scope, name), count in counts(done).items():
        numbers = [element("td", f"{count[kind]:,}", class_="number") for kind in OUTCOMES]
        rows.append(element("tr", element("td", scope), element("td", name), numbers))
    names = [("workload", None), ("operation", None), *((kind.value, "number") for kind in OUTCOMES)]
    head = element("thead", element("tr", [element("th", name, class_=class_) for name, class_ in names]))
    verdict = run.verdict or {}
    counted = [
        element("tr", element("td", key), element("td", _figure(value), class_="number"))
        for key, value in (verdict.get("figures") or {}).items()
    ]
    notes = [element("li", str(note)) for note in verdict.get("notes") or ()]
    if run.torn:
        notes.append(element("li", f"The last line of {HISTORY} is not whole: the run was ended while it wrote."))
    tables = element(
        "div",
        element("div", element("table", head, element("tbody", rows)), class_="scroll"),
        element("div", element("table", element("tbody", counted)), class_="scroll") if counted else None,
        class_="side",
    )
    more = [element("h3", "Notes"), element("ul", notes)] if notes else None
    return element("section", element("h2", "Figures"), tables, more)


def _figure(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return short(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), LETTERS_MAX)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def history(run: Run) -> Markup | None:
    """What the history says around the anomalies that are shown."""
    numbers = {n for _, anomaly in _shown(run.anomalies) for n in (anomaly.get("operations") or ())[:LINKS_MAX]}
    places = chosen(run.events, sorted(numbers))
    if not places:
        return None
    words = f"{some(len(places), 'line')} of {len(run.events):,}, around the operations of the anomalies. "
    words += f"Long values are cut; {HISTORY} has all of it."
    table = element("div", excerpt(run.events, places, numbers), class_="scroll")
    return element("section", element("h2", "The history around them"), element("p", words, class_="faint"), table)
