"""Figures of many runs: nothing is counted twice, nothing is added that is not of a kind, nothing is invented."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from chaos.history import History, Kind
from chaos.report.figures import BEGIN, END, PAGE, main, read_figures, replaced
from chaos.report.recovery import recoveries
from chaos.report.run_folder import HISTORY, RUN, VERDICT, read_run
from chaos.report.spans import Fault
from chaos.report.tables import NOTHING, markdown
from chaos.report.tally import NotCounted, Tally, added, seeds_words, tally
from chaos.report.unavailability import Window


def _run(folder: Path, seed: int, *, arena: str = "processes", commit: str = "abc", found: int = 0) -> Path:
    """300 s in which a leader is killed at 10 s; its partition answers again at 13 s."""
    folder = folder / f"{arena}-{seed}-{commit}"
    folder.mkdir()
    about = {"scenario": "kills", "arena": arena, "seed": seed, "nodes": 3, "commit": commit}
    (folder / RUN).write_text(json.dumps(about))
    history = History()
    nemesis, log = history.scoped("nemesis"), history.scoped("log")
    number = nemesis.invoke("nemesis", "kill", 10.0, role="leader", nodes=[2], options={})
    send = log.invoke("p", "send", 10.0, partition=0, key=None, value="v")
    log.end(send, "p", Kind.OK, "send", 13.0)
    nemesis.end(number, "nemesis", Kind.OK, "kill", 18.0)
    with (folder / HISTORY).open("w") as file:
        history.write(file)
    verdict = {
        "ok": not found,
        "anomalies": [{"name": "lost write", "detail": ""}] * found,
        "operations": {"invoke": 1000, "ok": 980, "fail": 10, "info": 10},
        "faults": {"kill": 1},
        "seconds": 300.0,
    }
    (folder / VERDICT).write_text(json.dumps(verdict))
    return folder


def _tally(**given: object) -> Tally:
    plain = {"kind": "raft", "what": "seeds", "commits": "a..b", "seeds": "1-10", "runs": 10, "hours": 20.0}
    return Tally(**(plain | given))  # type: ignore[arg-type]


def test_runs_of_a_scenario_are_one_tally(tmp_path: Path) -> None:
    """Their operations, faults, time and recoveries are added up."""
    (one,) = tally([read_run(_run(tmp_path, seed)) for seed in (1, 2, 3, 7)])

    assert ("processes", "kills", "abc", "1-3, 7", 4) == (one.kind, one.what, one.commits, one.seeds, one.runs)
    assert {"invoke": 4000, "ok": 3920, "fail": 40, "info": 40} == one.operations
    assert {"kill": 4} == one.faults
    assert {"kill": {"3": 4}} == one.recovery_s
    assert round(4 * 300 / 3600, 4) == one.hours


def test_arenas_and_kinds_stay_apart(tmp_path: Path) -> None:
    """A simulated run of the same scenario is another tally, and another column."""
    runs = [read_run(_run(tmp_path, 1)), read_run(_run(tmp_path, 1, arena="sim", found=2))]
    text = markdown([*tally(runs), _tally(hours=1500.0, cpu_minutes=100.0)])

    assert ["cluster", "processes"] == [one.kind for one in tally(runs)]
    assert "| time under load and faults | 1,500 h | 0.083 h | 5 min |" in text
    assert "| the same for each CPU minute | 15 h | - | - |" in text
    assert "| **anomalies** | **0** | **2** | **0** |" in text
    assert "| `kill` | 1 | 3 s | 3 s | 1 | 3 s | 3 s |" in text
    assert "| of unknown outcome | - | 1.00 % | 1.00 % |" in text


def test_what_was_not_judged_or_is_of_many_commits_is_not_counted(tmp_path: Path) -> None:
    """Each with a sentence; a range that is given helps."""
    one, other = _run(tmp_path, 1), _run(tmp_path, 2, commit="def")
    with pytest.raises(NotCounted, match="kills ran at abc, def: give their range"):
        tally([read_run(one), read_run(other)])
    assert "abc..def" == tally([read_run(one), read_run(other)], commits="abc..def")[0].commits

    (one / VERDICT).unlink()
    with pytest.raises(NotCounted, match="processes-1-abc has no verdict"):
        tally([read_run(one)])


def test_what_nobody_could_repeat_is_not_counted(tmp_path: Path) -> None:
    """Changes that were in no commit, whatever range is given."""
    with pytest.raises(NotCounted, match="changes that are in no commit"):
        tally([read_run(_run(tmp_path, 1, commit="abc-dirty"))], commits="abc..def")


def test_nothing_is_counted_twice() -> None:
    """The same seeds at the same commits; at others they are other runs."""
    there = added([], [_tally()])
    with pytest.raises(NotCounted, match="counted already"):
        added(there, [_tally()])

    assert 2 == len(added(there, [_tally(commits="b..c")]))


def test_without_figures_it_says_so() -> None:
    """And nothing else."""
    assert NOTHING == markdown([])


@pytest.mark.slow
def test_adding_from_the_command_line(tmp_path: Path) -> None:
    """Runs by their folders, seeds by their numbers; a second time is refused."""
    file = tmp_path / "figures.json"
    folders = [str(_run(tmp_path, seed)) for seed in (1, 2)]
    swarm = ["add-seeds", "raft", "--what", "python -m tests.raft.sim", "--seeds", "5000", "--hours", "1000"]
    swarm += ["--commits", "a..b", "--anomalies", "0", "--fault", "crash", "7", "--file", str(file)]
    command = CliRunner()

    assert 0 == command.invoke(main, ["add", *folders, "--file", str(file)]).exit_code
    assert 0 == command.invoke(main, swarm).exit_code
    again = command.invoke(main, swarm)

    assert (1, True) == (again.exit_code, "seeds 1-5000 at a..b: is counted already" in again.output)
    assert [("raft", 5000, {"crash": 7}), ("processes", 2, {"kill": 2})] == [
        (one.kind, one.runs, one.faults) for one in read_figures(file)
    ]


def test_the_block_of_a_page_is_replaced() -> None:
    """What stands around it stays; twice is once; a page without markers is refused."""
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = replaced(page, "new")

    assert f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n" == once
    assert once == replaced(once, "new")
    with pytest.raises(ValueError, match="has no"):
        replaced("no markers", "new")


def test_the_guarantees_have_the_figures_of_the_file() -> None:
    """`python -m chaos.report.figures --write` was run after the last addition."""
    page = PAGE.read_text()

    assert page == replaced(page, markdown(read_figures()))


def test_seeds_in_words() -> None:
    """Ranges of those that follow one another."""
    assert "1-3, 5, 8-9" == seeds_words([9, 1, 2, 3, 5, 8, 2])


@pytest.mark.parametrize(
    ("nodes", "window", "expected_s"),
    [
        ([2], Window(10.2, 13.0), 2.8),
        ([2], Window(19.0, 23.0), 4.0),
        ([2], Window(3.0, 9.0), 0.0),
        ([1, 2], Window(10.2, 23.5), 3.5),
        ([1, 2], Window(10.2, 19.0), 8.8),
    ],
    ids=["minority", "after its mend", "before", "majority", "majority, back before it was mended"],
)
def test_recovery_is_from_the_beginning_or_from_the_mend(nodes: list[int], window: Window, expected_s: float) -> None:
    """A fault from 10 to 20 s, of three nodes."""
    fault = Fault(1, 1, "kill", "", nodes, {}, 10.0, 20.0, mended=True)

    ((_, took_s),) = recoveries([fault], {"log/0": [window]}, 3)

    assert expected_s == round(took_s, 6)
