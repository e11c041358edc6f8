"""The checker of an operator's steps, and of publishes that must not fail: good histories, and each bad one."""

from typing import Any

import pytest

from chaos.checkers.changes import check_changes
from chaos.checkers.publishes import check_publishes
from chaos.history import History, Kind

SEAT = ["NODE_IN_USE", "node 1 has a seat in the controller's quorum"]
HOLDS = ["NODE_IN_USE", "node 1 holds 2 replicas, of topic log: drain it first"]
FEW = ["NOT_ENOUGH_NODES", "without node 1 there are 2 nodes"]


class Told(History):
    """Steps in one line each; they take half a second."""

    def do(self, name: str, at_s: float, kind: Kind = Kind.OK, *, refused: Any = (), **value: Any) -> "Told":
        """`node` is said, all else is told."""
        said = {} if name == "add" or "node" not in value else {"node": value["node"]}
        number = self.invoke("operator", name, at_s, **said)
        told = {**value, "refused": list(refused)} if name != "settled" else value
        self.end(number, "operator", kind, name, at_s + 0.5, **told)
        return self

    def began(self, *nodes: int) -> "Told":
        """Who was there."""
        self.end(0, "operator", Kind.OK, "began", 0.0, nodes=list(nodes))
        return self

    def names(self, *, strict: bool = False) -> list[str]:
        """Of what is found."""
        return [anomaly.name for anomaly in check_changes(self.events, strict=strict)]


def steps() -> Told:
    """Node 4 comes, node 1 goes, node 2's place is taken by node 5, and the others are restarted."""
    told = Told().began(1, 2, 3).do("add", 1, node=4).do("drain", 2, node=1, version=9)
    told.do("remove", 3, node=1, refused=[SEAT]).do("add", 4, node=5).do("replace", 4, node=2, replacement=5)
    for node in (3, 4, 5):
        told.do("restart", 5 + node, node=node)
    return told


@pytest.mark.parametrize("strict", [False, True])
def test_steps_that_are_done_are_good(*, strict: bool) -> None:
    """A seat that is not given up yet is no refusal."""
    assert [] == steps().do("settled", 20, nodes=[3, 4, 5]).names(strict=strict)


def test_who_is_there_at_the_end_is_who_should_be() -> None:
    """Nobody who was removed, and everybody else."""
    assert ["node came back"] == steps().do("settled", 20, nodes=[1, 3, 4, 5]).names()
    assert ["node came back"] == steps().do("settled", 20, nodes=[2, 3, 4, 5]).names()
    assert ["node missing"] == steps().do("settled", 20, nodes=[3, 5]).names()


def test_a_step_has_an_end() -> None:
    """Within its bound, and known."""
    assert ["step not done"] == Told().began(1).do("drain", 1, Kind.INFO, node=1, error="TimeoutError").names()
    told = Told().began(1)
    told.invoke("operator", "restart", 1.0, node=1)
    assert ["step not done"] == told.names()


def test_a_refusal_counts_if_it_stays_and_where_nothing_is_broken_at_once() -> None:
    """Beside faults a node may be away for a moment, and then there are too few for another one to go."""
    assert ["refused step"] == Told().began(1).do("drain", 1, Kind.FAIL, node=1, refused=[FEW], detail="few").names()
    late = Told().began(1, 2).do("drain", 1, node=1, refused=[FEW])
    assert [] == late.names()
    assert ["refused step"] == late.names(strict=True)


def test_a_node_that_is_said_to_be_empty_holds_nothing() -> None:
    """Its removal was asked for because it was told so."""
    assert ["said to be empty"] == Told().began(1, 2).do("remove", 1, node=1, refused=[HOLDS]).names()


def test_time_is_enough_for_all_steps_where_all_are_wanted() -> None:
    """Else it is only noted."""
    told = Told().began(1)
    told.end(0, "operator", Kind.OK, "left", 9.0, steps=["restart"])
    assert [] == told.names()
    assert ["step left out"] == told.names(strict=True)


def test_what_has_not_come_to_rest_is_told() -> None:
    """With what it was."""
    told = Told().began(1).do("settled", 9, Kind.INFO, nodes=[1], moving=[["log", 0, [1], [2]]])
    (anomaly,) = check_changes(told.events)
    assert "not settled" == anomaly.name
    assert "moving" in anomaly.detail


def test_a_publish_succeeds() -> None:
    """One on condition of the end may be refused; nothing else may fail, or stay without an answer."""
    history = History()
    for kind, said in ((Kind.OK, {}), (Kind.FAIL, {"expected_end": 3}), (Kind.FAIL, {}), (Kind.INFO, {}), (None, {})):
        number = history.invoke("p", "send", 1.0, partition=0, key="k", value=str(kind), **said)
        if kind is not None:
            history.end(number, "p", kind, "send", 2.0, error="DEADLINE_EXCEEDED")

    found = check_publishes(history.events)
    assert [(3,), (4,), (5,)] == [anomaly.operations for anomaly in found]
    assert {"failed publish"} == {anomaly.name for anomaly in found}
    assert "DEADLINE_EXCEEDED after 1.0 s" in found[0].detail
