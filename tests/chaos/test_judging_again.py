"""`python -m chaos judge` of runs that were good, bad, and never came to their end; `replay` of what cannot be."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import structlog
from click import Command
from click.testing import CliRunner, Result

from chaos.cli import judge_command, replay_command
from chaos.running import run_scenario
from chaos.scenario import Scenario

SMALL = {"rate_per_s": 10.0, "partitions": 2, "producers": 2, "readers": 1, "verified": 1}


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """What runs from the command line has its nodes say nothing; those of other tests do."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a simulated run in which nothing went wrong."""
    folder = tmp_path_factory.mktemp("good") / "run"
    scenario = Scenario(name="own", workloads={"log": SMALL}, seconds=5.0)
    done = run_scenario(scenario, arena="sim", seed=1, folder=folder, watch=lambda _: None)
    assert done.verdict.ok, done.verdict.summary()
    return folder


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    """A copy of it, to change."""
    return shutil.copytree(good, tmp_path / "run")


def asked(command: Command, *words: str | Path) -> Result:
    """What the command says."""
    return CliRunner().invoke(command, [str(word) for word in words])


def judged(folder: Path) -> tuple[int, str]:
    """By the command: exit code, and what it said."""
    result = asked(judge_command, folder)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def said_in_the_end(folder: Path, *, failure: str = "", anomalies: Sequence[dict[str, object]] = ()) -> None:
    """The verdict that the run itself left."""
    path = folder / "verdict.json"
    verdict = json.loads(path.read_text())
    path.write_text(json.dumps(verdict | {"ok": False, "failure": failure, "anomalies": list(anomalies)}))


def broken_off(folder: Path, event: str, more: str = "") -> None:
    """Its history ends behind the first event of that name."""
    path = folder / "history.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    last = next(number for number, line in enumerate(lines) if json.loads(line)["name"] == event)
    path.write_text("".join(lines[: last + 200]) + more)


def test_a_run_in_which_nothing_was_wrong(folder: Path) -> None:
    """Nothing is, once more."""
    assert (0, "0 anomalies\n") == judged(folder)


def test_a_run_that_broke_off_at_its_start_proves_nothing(folder: Path) -> None:
    """Though there is no anomaly in its empty history."""
    (folder / "history.jsonl").write_text("")
    said_in_the_end(folder, failure="RuntimeError: node 2 was not ready")
    code, output = judged(folder)

    assert 1 == code
    assert "did not come to its end: RuntimeError: node 2 was not ready" in output
    assert "nothing is proven" in output


def test_what_the_run_found_beside_its_history_is_told_again(folder: Path) -> None:
    """A node that ended is in no history; what the history shows is found anew, not repeated."""
    ended = {"workload": "", "name": "node ended", "detail": "node 2 ended with 3", "operations": []}
    stale = {"workload": "", "name": "two leaders", "detail": "of a trace, which is judged again", "operations": []}
    said_in_the_end(folder, anomalies=[ended, stale, {**stale, "workload": "log", "name": "lost write"}])

    assert (1, "the run: node ended: node 2 ended with 3\n1 anomalies\n") == judged(folder)


def test_a_run_that_was_killed_under_load_proves_nothing(folder: Path) -> None:
    """No final read is there: nothing that was sent is *unseen* for that; and half a line is none."""
    broken_off(folder, "load", '{"operation": 7, "pro')
    (folder / "verdict.json").unlink()
    code, output = judged(folder)

    assert 1 == code
    assert "unseen" not in output
    assert "nothing is proven" in output


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    """Is a mistake of whoever asks."""
    result = asked(judge_command, tmp_path)

    assert 2 == result.exit_code
    assert "run.json" in result.output


def test_a_fault_that_is_not_possible_here_is_told_before_the_run(folder: Path, tmp_path: Path) -> None:
    """Not when its time comes; and nothing is run."""
    planned = {"at_s": 1.0, "fault": "flip_bit", "role": "one", "lasts_s": 1.0, "options": {}}
    (folder / "schedule.json").write_text(json.dumps({"seed": 1, "faults": [planned, {**planned, "fault": "gone"}]}))
    about = json.loads((folder / "run.json").read_text())
    about["arena"] = "processes"
    about["definition"]["faults"] = ["flip_bit"]
    (folder / "run.json").write_text(json.dumps(about))
    result = asked(replay_command, folder, "--out", tmp_path / "again")

    assert 2 == result.exit_code
    assert "flip_bit: not in real processes" in result.output
    assert "gone: there is no such fault" in result.output
    assert not (tmp_path / "again").exists()
