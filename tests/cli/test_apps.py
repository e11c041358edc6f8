"""Apps on the command line, on a node that runs them: deployed, looked at, broken and mended, paused, removed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Riverrun
from tests.cli.test_commands import ok, refused

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(120)]
APP = """
from cluster.processing.app import App
from cluster.processing.event import Event
from cluster.processing.handles import State
from cluster.processing.policies import dead_letter

class Purchase(Event):
    customer: str
    amount: int

app = App("{name}")
purchases = app.topic("{name}-in", Purchase, key="customer")

@app.processor(purchases, to="{name}-out", version={version}{more})
def totals(p: Purchase, total: State[int]) -> Purchase:
    {body}
    total.value += p.amount
    return Purchase(p.customer, total.value)
"""
LOOKS_MAX = 100
"""Each of them takes a process, and so a while."""
BAD = 'assert p.customer != "b", "b is not welcome"'


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """A file with an app in it."""

    def written(name: str, *, body: str = "", version: int = 1, more: str = "") -> str:
        path = tmp_path / f"{name}.py"
        path.write_text(APP.format(name=name, body=body or "pass", version=version, more=more))
        return str(path)

    return written


def wait_for(riverrun: Riverrun, app: str, condition: Callable[[dict], bool]) -> dict:
    """What describe says when it says that."""
    for _ in range(LOOKS_MAX):
        stage: dict = json.loads(ok(riverrun("app", "describe", app, "--json")))["stages"][0]
        if condition(stage):
            return stage
    raise AssertionError(stage)


def fill(riverrun: Riverrun, topic: str) -> None:
    """Two customers, four purchases."""
    lines = [f'{c}:{{"customer":"{c}","amount":{amount}}}\n' for c, amount in [("a", 1), ("b", 2), ("a", 3), ("b", 4)]]
    ok(riverrun("produce", topic, "--key-separator", ":", stdin="".join(lines)))


def test_an_app_from_its_deployment_to_its_end(riverrun: Riverrun, write: Callable[..., str]):
    """It stops at a record, says which and why, goes on with better code, rests, and is gone with its logs."""
    file = write("shop", body=BAD)
    assert "reads the topic 'shop-in', which is not there: riverrun topic create shop-in" in refused(
        riverrun("app", "deploy", file)
    )
    said = ok(riverrun("app", "deploy", file, "--create-topics", "--partitions", "2"))
    assert "deployed shop from shop.py" in said
    assert "made: shop-in, shop-out" in said
    assert "shop" in ok(riverrun("app", "list"))
    fill(riverrun, "shop-in")
    stopped = wait_for(riverrun, "shop", lambda stage: "stopped" in stage["state"])
    assert "b is not welcome" in "".join(task["error_traceback"] for task in stopped["tasks"])
    said = ok(riverrun("app", "describe", "shop", "--tasks"))
    assert "b is not welcome" in said
    assert "totals@1, task" in said

    assert "replaced" in ok(riverrun("app", "deploy", write("shop")))
    done = wait_for(riverrun, "shop", lambda stage: stage["state"] == "running" and stage["lag_records"] == 0)
    assert [2, 2] == [done["task_count"], len(done["tasks"])]
    totals = ok(riverrun("consume", "shop-out", "--from", "earliest", "--until", "latest", "--format", "raw"))
    assert {("a", 1), ("a", 4), ("b", 2), ("b", 6)} == {
        (found["customer"], found["amount"]) for found in map(json.loads, totals.splitlines())
    }

    assert "paused totals@1 of shop\n" == ok(riverrun("app", "pause", "shop", "totals"))
    wait_for(riverrun, "shop", lambda stage: stage["state"] == "paused")
    assert "resumed totals@1 of shop\n" == ok(riverrun("app", "resume", "shop"))
    assert 1 == riverrun("app", "remove", "shop", stdin="n\n").returncode
    assert "removed totals@1 of shop\n" == ok(riverrun("app", "remove", "shop", "--yes"))
    assert "there is no app 'shop'" in refused(riverrun("app", "describe", "shop"))
    assert [] == [app for app in json.loads(ok(riverrun("app", "list", "--json"))) if app["app"] == "shop"]


def test_dead_letters_are_handled_again_by_a_version_beside_the_old_one(riverrun: Riverrun, write: Callable[..., str]):
    """A redrive is of one version, and there has to be something to redrive."""
    file = write("letters", body=BAD, more=", on_error=dead_letter(retries=0)")
    ok(riverrun("app", "deploy", file, "--create-topics"))
    fill(riverrun, "letters-in")
    stage = wait_for(riverrun, "letters", lambda stage: sum(stage["counts"].values()) >= 2)
    assert "dead_letter" in stage["on_error"]
    assert ("AssertionError: b is not welcome", "dead_lettered", "letters-in") == tuple(
        stage["last_failure"][name] for name in ("error", "became", "topic")
    )
    said = ok(riverrun("app", "describe", "letters"))
    assert "letters-in/" in said
    assert "AssertionError: b is not welcome (on_error: dead_letter)" in said
    ok(riverrun("app", "deploy", write("letters", more=", on_error=dead_letter(retries=0)")))
    assert "2 dead letters of totals will be handled again, by 1 task; " in ok(
        riverrun("app", "redrive", "letters", "totals")
    )
    said = ok(riverrun("app", "deploy", write("letters", version=2)))
    assert "not in this file, and goes on as it is: totals@1" in said
    assert "which version of 'totals'" in refused(riverrun("app", "redrive", "letters", "totals"))
    assert "keeps no dead letters" in refused(riverrun("app", "redrive", "letters", "totals@2"))
    assert "removed totals@2 of letters\n" == ok(riverrun("app", "remove", "letters", "totals@2", "--yes"))


def test_what_is_no_app_is_refused_in_a_sentence(riverrun: Riverrun, write: Callable[..., str], tmp_path: Path):
    """With what is wrong in the file, or on the command line."""
    for text, words in (
        ("import no_such_module\n", "no_such_module"),
        ("import os\nos._exit(3)\n", "cannot be looked at"),
        ("x = (\n", "was never closed"),
    ):
        file = tmp_path / "wrong.py"
        file.write_text(text)
        assert words in refused(riverrun("app", "deploy", str(file)))
    text_file = tmp_path / "README.md"
    text_file.write_text("# An app\n")
    assert "is no name of a Python file, a wheel or a route file" in refused(riverrun("app", "deploy", str(text_file)))
    refused(riverrun("app", "deploy", str(tmp_path / "absent.py")), code=2)
    assert "is not PROCESSOR or PROCESSOR@VERSION" in refused(riverrun("app", "pause", "x", "y@z"), code=2)
    assert "there is no app 'absent'" in refused(riverrun("app", "remove", "absent", "--yes"))
    del write
