"""All checkers: every anomaly is listed, every one is caught by name in some test, and long histories take seconds."""

import ast
import importlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import chaos.checkers
from chaos.checkers import compaction, node_logs
from chaos.checkers.groups import check_group
from chaos.checkers.liveness import check_liveness
from chaos.checkers.log import check_log
from chaos.history import History, Kind
from chaos.report.meanings import DEFINITIONS, meaning

CHECKERS = Path(chaos.checkers.__file__).parent
HERE = Path(__file__).parent
OPERATIONS = 12_000
CPU_S_MAX = 5.0
"""About ten times what it takes; one that compares everything with everything takes minutes."""


LISTED = sorted(name for named in DEFINITIONS.values() for name in named)


def _names() -> Iterator[str]:
    """What the checkers call an anomaly: handed over as it is made, or chosen before."""
    for path in CHECKERS.glob("*.py"):
        module = importlib.import_module(f"chaos.checkers.{path.stem}".removesuffix(".__init__"))
        for node in ast.walk(ast.parse(path.read_text())):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            if called and node.func.id in {"Anomaly", "named", "_inverted"}:
                source = node.args[0]
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "name":
                source = node.value
            else:
                continue
            for part in ast.walk(source):
                found = part.value if isinstance(part, ast.Constant) else None
                found = getattr(module, part.id, None) if isinstance(part, ast.Name) else found
                if isinstance(found, str):
                    yield found
    yield from (name for name, _ in node_logs.PRINTED)
    yield from (node_logs.UNEXPECTED, compaction.GONE_EARLY)


def test_every_anomaly_is_listed() -> None:
    """With a definition, and when it is allowed; and nothing is listed that no checker finds."""
    assert LISTED == sorted(set(_names()))


def test_a_definition_is_one_line() -> None:
    """For a report, say."""
    assert "A value was read whose send had failed for sure." == meaning("aborted read")
    assert meaning("lost write").endswith("or removed by the rules of `compaction`.")


@pytest.mark.parametrize("name", LISTED)
def test_every_anomaly_is_caught_by_name(name: str) -> None:
    """In a history by hand that a test here has."""
    quoted = f'"{name}"'
    assert [path.name for path in HERE.glob("test_*_checker.py") if quoted in path.read_text()]


def _long() -> History:
    """Producers, readers and members at work on a few partitions, of which nobody makes a mistake."""
    chance, history, now_s = random.Random(1), History(), 0.0
    logs: list[list[tuple[int, str, str]]] = [[] for _ in range(6)]
    positions: dict[tuple[str, int], int] = {}
    for number in range(OPERATIONS // 2):
        now_s += 0.001
        partition, key, value = chance.randrange(6), f"k{chance.randrange(50)}", f"v{number}"
        operation = history.invoke("p", "send", now_s, partition=partition, key=key, value=value)
        offset = len(logs[partition])
        logs[partition].append((offset, key, value))
        history.end(operation, "p", Kind.OK, "send", now_s, offset=offset, synced=2)
        history.end(0, "m", Kind.OK, "give", now_s, partition=partition, generation=1, offset=offset)
        if number % 3 == 0:
            place = {"partition": partition, "generation": 1, "position": offset + 1}
            operation = history.invoke("m", "commit", now_s, **place)
            history.end(operation, "m", Kind.OK, "commit", now_s, **place)
        else:
            reader = f"r{number % 2}"
            operation = history.invoke(reader, "read", now_s, partition=partition)
            records = logs[partition][positions.get((reader, partition), 0) :]
            positions[reader, partition] = len(logs[partition])
            history.end(operation, reader, Kind.OK, "read", now_s, partition=partition, records=records)
    for partition, records in enumerate(logs):
        operation = history.invoke("final", "read", now_s, partition=partition)
        history.end(operation, "final", Kind.OK, "read", now_s, partition=partition, records=records)
        history.end(0, "final", Kind.OK, "end", now_s, partition=partition, first=0, end=len(records))
    return history


@pytest.mark.slow
def test_long_histories_are_judged_in_seconds() -> None:
    """Time grows with the history, not with its square."""
    events = _long().events
    began_s = time.process_time()
    assert [] == check_log(events, replicas=3)
    assert [] == check_log(events, replicas=3, compacted=True, tombstone_s=10.0)
    assert [] == check_group(events)
    assert [] == check_group(events, compacted=True, tombstone_s=10.0)
    assert [] == check_liveness(events, scope="", replicas=3)
    assert time.process_time() - began_s < CPU_S_MAX
