"""`report.html`: one page about one run, which needs nothing but itself, for screens and for paper.

It reads well without scripts, since it has none. What comes from the run is escaped (`markup.py`); what is long is cut
and says so, so that a run of any length makes a page of some 100 kB: curves are drawn in steps of time, and of the
history only what is around anomalies is shown.
"""

from collections.abc import Iterable
from pathlib import Path

from chaos.report import sections
from chaos.report.markup import Markup, element
from chaos.report.operations import operations
from chaos.report.pictures import NARROW, WIDE, Shown, picture
from chaos.report.run_folder import OWN, Run, read_run, workloads
from chaos.report.sentences import headline, node_count, summary, verdict_sentence
from chaos.report.spans import spans
from chaos.report.unavailability import unavailable

STYLE = Path(__file__).with_name("page.css")
REPORT = "report.html"


def write_report(folder: Path) -> Path:
    """Makes it of what is in a run's folder; where it is. OSError, ValueError if that cannot be read."""
    path = folder / REPORT
    path.write_text(page(read_run(folder)), encoding="utf-8")
    return path


def page(run: Run) -> str:
    """The whole page."""
    done = operations(run.events)
    lasted = spans(run.events, range(1, node_count(run.about) + 1))
    windows = unavailable(run.events)
    anomalies = sections.placed(run)
    shown = Shown(done, lasted, windows, anomalies)
    title, mood = headline(run)
    name = str(run.about.get("scenario") or OWN)
    name = " and ".join(workloads(run.about)) or "a run" if name == OWN else name
    body = [
        element(
            "header",
            element("p", "riverrun chaos", class_="eyebrow"),
            element("h1", f"{name}, seed {run.about.get('seed', '?')}"),
            element(
                "div",
                element("p", title, class_="verdict"),
                element("p", verdict_sentence(run, lasted)),
                element("p", summary(run, lasted, done)),
                class_=f"banner {mood}",
            ),
            sections.facts(run),
        ),
        sections.tiles(done, lasted, windows),
        element("section", element("h2", "What happened"), picture(shown, WIDE), picture(shown, NARROW)),
        sections.anomalies(run),
        sections.faults(run, lasted),
        sections.figures(run, done),
        sections.history(run),
    ]
    return _document(f"{name}, seed {run.about.get('seed', '?')}: {title}", body)


def _document(title: str, body: Iterable[Markup | None]) -> str:
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Markup(STYLE.read_text(encoding="utf-8"))),
    )
    return f"<!doctype html>\n{element('html', head, element('body', element('main', body)), lang='en')}\n"
