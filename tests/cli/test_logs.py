"""A node's log: every line is one event, complete; and the page about it names what is there."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from grpc._cython import cygrpc

from cluster.cli.logs import Logs
from cluster.meters import Meters

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Other tests log as they did."""
    before, handlers, level = structlog.get_config(), logging.root.handlers[:], logging.root.level
    yield
    structlog.configure(**before)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def lines(captured: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """What was logged."""
    return [json.loads(line) for line in captured.readouterr().out.splitlines()]


def test_every_line_is_an_event_with_its_node_time_and_level(capsys: pytest.CaptureFixture[str]) -> None:
    """What libraries say, too; what is below the level is not said; warnings and worse are counted."""
    logs = Logs("json", "info")
    logs.node, logs.meters = 7, Meters()
    log = structlog.get_logger("here")
    log.debug("unheard")
    log.info("peer_up", peer=2)
    log.warning("write_waits", reason="DISK_FULL")
    try:
        int("a\nb")
    except ValueError:
        log.exception("http_handler_failed")
        logging.getLogger("asyncio").exception("it broke")
    told = lines(capsys)
    assert ["peer_up", "write_waits", "http_handler_failed", "library_log"] == [line["event"] for line in told]
    assert ["info", "warning", "error", "error"] == [line["level"] for line in told]
    assert {7} == {line["node"] for line in told}
    assert all(str(line["timestamp"]).endswith("Z") for line in told)
    assert ("asyncio", "it broke") == (told[3]["library"], told[3]["detail"])
    counted = {("warning", "write_waits"): 1, ("error", "http_handler_failed"): 1, ("error", "library_log"): 1}
    assert counted == dict(logs.meters.log_events)


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_variables_held_is_not_logged(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A trace says where something failed; the variables there may hold a secret, or a record."""
    Logs(form, "info")

    def fails(secret: str) -> None:
        raise ValueError(f"{len(secret)} is no length")

    try:
        fails("hunter" + "2")
    except ValueError:
        structlog.get_logger("here").exception("failed")
    said = capsys.readouterr().out

    assert "7 is no length" in said
    assert "in fails" in said or '"name": "fails"' in said
    assert "hunter2" not in said


def test_a_caller_that_is_gone_before_its_answer_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Scenario `cleaning`, seed 61: gRPC's own words for it. What is wrong with an answer itself still is one."""
    Logs("json", "debug")
    for reason in ('Failed "execute_batch": (<SendStatusFromServerOperation>,)', "Failed grpc_call_start_batch: 8"):
        error = cygrpc.ExecuteBatchError(reason)
        detail = "ExecuteBatchError raised in core by servicer method [/riverrun.v1.StreamService/Read]"
        logging.getLogger("grpc._cython.cygrpc").error(detail, exc_info=error)
    assert [("library_log", "debug"), ("library_log", "error")] == [
        (line["event"], line["level"]) for line in lines(capsys)
    ]


def test_people_get_text(capsys: pytest.CaptureFixture[str]) -> None:
    """The same events."""
    Logs("text", "warning")
    structlog.get_logger("there").warning("peer_silent", peer=2)
    said = capsys.readouterr().out
    assert "peer_silent" in said
    assert not said.startswith("{")


def test_the_events_that_are_documented_are_logged_at_that_level() -> None:
    """Each is in the code."""
    documented = re.findall(r"^\| `([a-z_]+)` \| (\w+) \|", (ROOT / "cluster" / "README.md").read_text(), re.MULTILINE)
    code = "\n".join(path.read_text() for path in (ROOT / "cluster").rglob("*.py"))
    called = {
        (event, {"exception": "error"}.get(level, level))
        for level, event in re.findall(r"\b(?:log_event|log)\.(\w+)\(\s*\"([a-z_]+)\"", code)
    } | {(event, "info") for event in re.findall(r"\"(controller_[a-z]+)\"", code)}
    called.add(("library_log", "warning"))  # at the library's own level
    assert len(documented) > 20
    assert (
        set()
        == {(event, level) for event, level in documented if level in {"info", "warning", "error", "critical"}} - called
    )
