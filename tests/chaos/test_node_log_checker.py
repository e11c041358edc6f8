"""What a node must not print, line by line, and what it may."""

import json

import pytest

from chaos.arenas.processes.expected import allowed_events
from chaos.checkers.node_logs import TOLD_OF_DAMAGE, TOLD_OF_THE_END, check_node_log

RAISED = [{"exc_type": "AssertionError", "exc_value": "offset", "frames": []}]


def _traced(event: str, level: str, **fields: object) -> str:
    return json.dumps(fields | {"event": event, "level": level})


def _names(*lines: str, allowed: frozenset[str] = TOLD_OF_DAMAGE) -> list[str]:
    return [anomaly.name for anomaly in check_node_log(2, lines, allowed=allowed)]


@pytest.mark.parametrize(
    "line",
    [
        _traced("leader_elected", "info", partition="aa/0", term=3),
        _traced("follower_reinstalled", "warning", side="leader"),
        _traced("host_output", "info", line="AssertionError: what user code prints is its own"),
        _traced("task_host_failed", "warning", detail="AssertionError: of a user's function"),
        _traced("replica_lost", "error", reason="CORRUPT_STORAGE"),
        _traced("follower_forgot", "error", replica=2, recovering=True),
        "riverrun: the disk is full",
        "",
        "an assertion about something",
    ],
)
def test_what_a_node_may_print(line: str) -> None:
    """Its trace, users' own output and mistakes, damage that was done to it, sentences for people."""
    assert [] == _names(line)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("unexpected event", _traced("follower_forgot", "error", replica=2, recovering=False)),
        ("failed assertion", "AssertionError: not a request of a replica"),
        ("failed assertion", "E0000 call.cc:12] ASSERTION FAILED: refs == 0"),
        ("failed assertion", _traced("failed", "critical", what="replica", exception=RAISED)),
        ("failed assertion", _traced("node_failed", "critical", error="AssertionError()")),
        ("failed assertion", _traced("x", "warning", exception=RAISED)),
        ("unretrieved exception", "Task exception was never retrieved"),
        ("unretrieved exception", "Future exception was never retrieved"),
        ("unretrieved exception", "Exception ignored in: <coroutine object run at 0x7f>"),
        ("unretrieved exception", "x.py:1: RuntimeWarning: coroutine 'run' was never awaited"),
        ("unretrieved exception", "Task was destroyed but it is pending!"),
        ("traceback", "Traceback (most recent call last):"),
        ("traceback", "Fatal Python error: Segmentation fault"),
        ("traceback", _traced("x", "warning", exception=[{"exc_type": "KeyError"}])),
        ("unexpected event", _traced("failed", "critical", what="replica", error="KeyError(1)")),
        ("unexpected event", _traced("http_handler_failed", "error")),
    ],
)
def test_what_a_node_must_not_print(name: str, line: str) -> None:
    """Each by its name, with the node and the line."""
    (found,) = check_node_log(2, [_traced("node_ready", "info"), line])
    assert name == found.name
    assert found.detail.startswith("node 2, line 2: ")


def test_a_node_that_was_made_to_end_may_say_so() -> None:
    """Its disk failed, by us. An assertion that failed on the way is none of that."""
    lines = [
        _traced("failed", "critical", error="DiskFailed()", exception=[{"exc_type": "DiskFailed"}]),
        _traced("node_failed", "critical", error="DiskFailed()"),
    ]
    assert ["unexpected event"] * 2 == _names(*lines)
    assert [] == _names(*lines, allowed=TOLD_OF_THE_END)
    assertion = _traced("failed", "critical", exception=RAISED)
    assert ["failed assertion"] == _names(assertion, allowed=TOLD_OF_THE_END)


def test_what_grpc_says_of_metadata_that_is_no_text_is_allowed_where_bits_flip() -> None:
    """Scenario `packets`, seed 41; nothing else that it logs is."""
    garbled = _traced("library_log", "error", library="grpc._cython.cygrpc", detail="Invalid encoding on b'\\xad'")
    other = _traced("library_log", "error", library="grpc._cython.cygrpc", detail="Unexpected [TypeError] raised")
    assert ["unexpected event"] * 2 == _names(garbled, other)
    assert ["unexpected event"] == _names(garbled, other, allowed=allowed_events(["packet_corrupt"]))
    assert ["unexpected event"] * 2 == _names(garbled, other, allowed=allowed_events(["packet_loss"]))
