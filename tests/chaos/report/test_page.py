"""What stands on the page of a run: verdict, pictures at the right places, evidence; and nothing that breaks it."""

import json
import re
from pathlib import Path

import pytest

from chaos.history import History, Kind
from chaos.report.meanings import DEFINITIONS
from chaos.report.page import page, write_report
from chaos.report.pictures import LEFT, WIDE
from chaos.report.run_folder import HISTORY, RUN, VERDICT, read_run, repeat_line
from tests.chaos.report.reading import Page, read_page
from tests.chaos.report.sample_run import Sample, write_sample

BYTES_MAX = 1_000_000
NASTY = "</style><script>alert('x')</script>&amp;\"'\x00\ud800"


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Page]:
    """A run with two anomalies."""
    path = write_sample(tmp_path_factory.mktemp("bad"), Sample(seconds=60.0, per_s=30.0))
    return path, read_page(path.read_text())


def _folder(folder: Path, history: History, verdict: dict[str, object] | None, **about: object) -> Path:
    told = {"scenario": "s", "arena": "sim", "seed": 3, "seconds": 20, "nodes": 3, "workloads": {"log": {}}}
    (folder / RUN).write_text(json.dumps(told | about))
    with (folder / HISTORY).open("w") as file:
        history.write(file)
    if verdict is not None:
        (folder / VERDICT).write_text(json.dumps(verdict))
    return folder


def _one_send(log: History, at_s: float, ended_s: float, kind: Kind = Kind.OK, partition: int = 0) -> int:
    number = log.invoke("p", "send", at_s, partition=partition, key="k", value=f"v{at_s}")
    log.end(number, "p", kind, "send", ended_s)
    return number


@pytest.mark.slow
def test_the_page_leads_to_the_evidence(bad: tuple[Path, Page]) -> None:
    """Every link of an anomaly, a fault or a mark in the pictures ends at an anchor, and no anchor is there twice."""
    _, read = bad

    assert sorted(set(read.ids)) == sorted(read.ids)
    assert {link.removeprefix("#") for link in read.links} <= set(read.ids)
    assert {"anomaly-1", "anomaly-2", "fault-1"} <= set(read.ids)
    assert 2 <= sum(1 for link in read.links if link.startswith("#op-"))


@pytest.mark.slow
def test_the_verdict_is_at_the_top(bad: tuple[Path, Page]) -> None:
    """How it came out, which anomalies, and the line that does it again."""
    path, read = bad
    about = read_run(path.parent).about

    assert ["2 anomalies"] == [element.text for element in read.all("p", "verdict")]
    assert "Found: lost write, poll skip." in read.all("div", "banner")[0].text
    assert repeat_line(about) in read.all("p", "repeat")[0].text
    assert "corrupt-packets: /dev/net/tun cannot be opened" in read.all("dl", "facts")[0].text


@pytest.mark.slow
def test_the_page_needs_nothing_but_itself(bad: tuple[Path, Page]) -> None:
    """No script, nothing that is loaded, though the history would have it."""
    path, read = bad

    assert [] == read.all("script") + read.all("link") + read.all("img") + read.all("iframe")
    assert [] == [link for link in read.links if not link.startswith("#")]
    assert "url(" not in path.read_text()
    assert "lost <script>alert(1)</script> was acknowledged" in read.all("ol", "anomalies")[0].text


def test_whatever_a_run_holds_does_no_harm(tmp_path: Path) -> None:
    """Names, values, keys, options and sentences may hold markup, or what no page may."""
    history = History()
    log, nemesis = history.scoped("log" + NASTY), history.scoped("nemesis")
    number = log.invoke(NASTY, "send", 1.0, partition=0, key=NASTY, value=NASTY)
    log.end(number, NASTY, Kind.OK, "send", 2.0, offset=0)
    fault = nemesis.invoke("nemesis", NASTY, 1.0, role=NASTY, nodes=[1], options={NASTY: NASTY})
    nemesis.end(fault, "nemesis", Kind.INFO, NASTY, 3.0)
    run = history.scoped("run")
    run.end(0, "run", Kind.OK, "roles", 1.0, leaders={f"{NASTY}/0": 1}, controller=1)
    anomaly = {"name": NASTY, "detail": NASTY, "workload": NASTY, "operations": [number, 99]}
    verdict = {"ok": False, "anomalies": [anomaly], "figures": {NASTY: NASTY}, "notes": [NASTY]}
    told = {"scenario": NASTY, "workloads": {NASTY: {NASTY: NASTY}}, "faults": [NASTY], "machine": {NASTY: NASTY}}
    path = write_report(_folder(tmp_path, history, verdict, skipped=[NASTY], commit=NASTY, **told))

    read = read_page(path.read_text())

    assert [] == read.all("script")
    assert 1 == len(read.all("style"))
    assert {f"#op-{number}", "#anomaly-1", "#fault-1"} == set(read.links)
    assert NASTY.translate({0: "\ufffd", 0xD800: "\ufffd"}) in read.all("ol", "anomalies")[0].text


def test_pictures_show_things_when_they_were(tmp_path: Path) -> None:
    """A fault from 5 to 10 s and a window from 6 to 9 s of 20 s are at these parts of the axis."""
    history = History()
    log, nemesis, run = history.scoped("log"), history.scoped("nemesis"), history.scoped("run")
    fault = nemesis.invoke("nemesis", "kill", 5.0, role="leader", nodes=[2], options={})
    nemesis.end(fault, "nemesis", Kind.OK, "kill", 10.0)
    for second in range(1, 20):
        _one_send(log, second, 9.0 if 6 <= second <= 9 else second + 0.01)
        run.end(0, "run", Kind.OK, "roles", second, leaders={"log/0": 1 if second < 7 else 3}, controller=None)
    run.end(0, "run", Kind.OK, "node", 5.0, node=2, what="killed")
    run.end(0, "run", Kind.OK, "node", 10.0, node=2, what="started")
    run.end(0, "run", Kind.OK, "end", 20.0)
    folder = _folder(tmp_path, history, {"ok": True, "anomalies": []})

    read = read_page(page(read_run(folder)).split("</svg>")[0] + "</svg></section></main></body></html>")

    def places(class_: str) -> list[tuple[float, float]]:
        inner = WIDE - LEFT[WIDE] - 14
        found = [e.attributes for e in read.all("rect", class_) if float(e.attributes["x"]) >= LEFT[WIDE]]
        spans = [(float(a["x"]) - LEFT[WIDE], float(a["width"])) for a in found if a["height"] != "9"]
        return [(round(20 * x / inner, 1), round(20 * (x + width) / inner, 1)) for x, width in spans]

    assert [(5.0, 10.0)] == places("fault")
    assert [(5.0, 10.0)] == places("shade")
    assert [(6.0, 9.0)] == places("gone")
    assert [(1.0, 7.0), (0.0, 20.0)] == places("node-1"), "log/0 was led by node 1 first; node 1 always ran"
    assert [(7.0, 20.0), (0.0, 20.0)] == places("node-3")
    assert [(0.0, 5.0), (10.0, 20.0)] == places("node-2")
    assert "kill leader: 2" in read.all("svg", "wide")[0].text


def test_without_anomalies_it_says_what_was_checked(tmp_path: Path) -> None:
    """A run without anomalies is only worth what was looked for."""
    history = History()
    _one_send(history.scoped("log"), 1.0, 2.0)
    history.scoped("run").end(0, "run", Kind.OK, "healed", 3.0)

    read = read_page(page(read_run(_folder(tmp_path, history, {"ok": True, "anomalies": []}))))

    assert ["No anomalies"] == [element.text for element in read.all("p", "verdict")]
    assert set(DEFINITIONS.get("log", ())) <= {e.text for e in read.all("b")}
    assert bool(DEFINITIONS) is ("What was checked" in read.all("section")[1].text)
    assert [] == [link for link in read.links if link.startswith("#op")]


def test_what_the_run_says_it_checked_goes_first(tmp_path: Path) -> None:
    """A verdict that lists its checkers is believed, whatever the page knows itself."""
    verdict = {"ok": True, "anomalies": [], "checked": {"frames": ["torn frame"]}}

    read = read_page(page(read_run(_folder(tmp_path, History(), verdict))))

    assert ["frames"] == [e.text for e in read.all("dt") if e.text in {"frames", "log"}]


def test_a_run_that_was_not_judged_is_not_a_good_one(tmp_path: Path) -> None:
    """Without a verdict, with half a line at the history's end."""
    history = History()
    _one_send(history.scoped("log"), 1.0, 2.0)
    folder = _folder(tmp_path, history, None)
    with (folder / HISTORY).open("a") as file:
        file.write('{"operation": 9, "proc')

    read = read_page(page(read_run(folder)))

    assert ["Not judged: the run has no verdict"] == [element.text for element in read.all("p", "verdict")]
    assert [] == read.all("div", "good")
    assert "The last line of history.jsonl is not whole" in "".join(e.text for e in read.all("li"))


def test_a_run_may_fail_without_an_anomaly(tmp_path: Path) -> None:
    """Then it says so, and its notes say why."""
    verdict = {"ok": False, "anomalies": [], "notes": ["node 2 did not come back"]}

    read = read_page(page(read_run(_folder(tmp_path, History(), verdict))))

    assert ["The run failed"] == [element.text for element in read.all("p", "verdict")]
    assert ["node 2 did not come back"] == [element.text for element in read.all("li")]


def test_a_run_whose_faults_were_all_skipped_does_not_look_like_a_good_one(tmp_path: Path) -> None:
    """Nothing was found, since nothing was attacked."""
    verdict = {"ok": True, "anomalies": []}

    read = read_page(page(read_run(_folder(tmp_path, History(), verdict, faults=["kill"]))))

    assert "None of the faults that were wanted happened" in read.all("div", "unknown")[0].text
    assert [] == read.all("div", "good")


def test_a_run_that_broke_off_proves_nothing(tmp_path: Path) -> None:
    """Its failure stands at the top, in its words."""
    verdict = {"ok": False, "failure": "RuntimeError: node 2 does not answer", "anomalies": []}

    read = read_page(page(read_run(_folder(tmp_path, History(), verdict))))

    assert ["The run did not come to its end"] == [element.text for element in read.all("p", "verdict")]
    assert "RuntimeError: node 2 does not answer. A history" in read.all("div", "bad")[0].text


def test_the_line_that_repeats_a_run() -> None:
    """Of a named scenario its name, of a mix of somebody's own all of it."""
    named = {"scenario": "kills", "arena": "processes", "seed": 7, "seconds": 90.0, "nodes": 3}
    own = {**named, "scenario": "own", "workloads": {"log": {}, "groups": {}}, "faults": ["kill", "pause"]}
    own["definition"] = {"every_s": 6.5}

    assert "python -m chaos run 'a b' --seed 1" in repeat_line({"scenario": "a b", "seed": 1}).replace(
        " --arena sim", ""
    )
    assert "python -m chaos run kills --arena processes --nodes 3 --minutes 1.5 --seed 7" == repeat_line(named)
    assert (
        "python -m chaos run --workload log,groups --nemesis kill,pause --arena processes "
        "--nodes 3 --minutes 1.5 --every 6.5 --seed 7"
    ) == repeat_line(own)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_long_run_makes_a_small_page(tmp_path: Path) -> None:
    """4,000 operations, 3,000 anomalies and reads of a thousand records: below 1 MB, what is left out is counted."""
    history = History()
    log = history.scoped("log")
    numbers = [_one_send(log, 0.08 * place, 0.08 * place + 0.01, partition=place % 40) for place in range(4000)]
    read = log.invoke("final", "read", 321.0, partition=0)
    records = [[offset, "k", "v" * 50] for offset in range(1000)]
    log.end(read, "final", Kind.OK, "read", 322.0, partition=0, records=records)
    found = [
        {"name": f"anomaly {number % 3}", "detail": "d" * 5000, "operations": [number, read, *range(500)]}
        for number in numbers[:3000]
    ]

    path = write_report(_folder(tmp_path, history, {"ok": False, "anomalies": found}))
    page_read = read_page(path.read_text())

    assert path.stat().st_size < BYTES_MAX
    assert 3 == sum(1 for e in page_read.all("p", "faint") if "980 more of them are in verdict.json" in e.text)
    assert any("994 more" in e.text for e in page_read.all("code"))
    assert max(map(len, re.findall(r'd="([^"]*)"', path.read_text()))) < 20_000
