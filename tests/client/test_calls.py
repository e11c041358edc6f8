"""Requests to any node: what is repeated, and what is said when some of the answers were lost."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from cluster.client.calls import Calls
from cluster.config import ClientOptions
from cluster.errors import DeadlineExceeded, OutcomeUnknown, RiverrunError, TopicExists, Unavailable, UnknownTopic
from cluster.sim.clock import simulate


class Answers:
    """Nodes that answer one after the other; a network, its channels, all in one."""

    def __init__(self, answers: Sequence[bytes | RiverrunError]) -> None:
        self.answers = list(answers)

    def channel(self, address: str) -> "Answers":
        """See Network."""
        del address
        return self

    async def call(self, method: str, request: bytes, *, timeout_s: float) -> bytes:
        """See Channel. The last answer is repeated."""
        del method, request, timeout_s
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, RiverrunError):
            raise answer
        return answer


def call(*answers: bytes | RiverrunError, repeatable: bool = True, changes: bool = True) -> bytes:
    """One request to three nodes."""
    network = Answers(answers)
    servers = [f"node-{number}:1" for number in range(3)]
    calls = Calls(network, servers, ClientOptions(request_timeout_s=3.0), random.Random(1))  # type: ignore[arg-type]

    async def ask() -> bytes:
        await asyncio.sleep(0)
        return await calls.call("m", b"", repeatable=repeatable, doubt=UnknownTopic, changes=changes)

    return simulate(ask(), 1)[0]


LOST = OutcomeUnknown("lost")


@pytest.mark.parametrize("last", [TopicExists("there is one"), UnknownTopic("none"), Unavailable("no leader")])
def test_a_refusal_after_a_lost_answer_is_no_refusal(last: RiverrunError) -> None:
    """What was lost may have been done: whoever is told "refused" would take it for not done."""
    with pytest.raises(OutcomeUnknown, match=f"an answer was lost, then: {last.message}"):
        call(LOST, last)
    with pytest.raises(type(last)):
        call(last)
    with pytest.raises(type(last)):
        call(Unavailable("later"), last)
    with pytest.raises(type(last)):
        call(LOST, last, changes=False)


def test_silence_does_not_hide_what_another_node_said() -> None:
    """The last node that is asked may be the one that is dead."""
    away, why = Unavailable("no node answers at n:1", reached="no"), Unavailable("no majority")
    with pytest.raises(Unavailable, match=r"^no node answers at n:1; before, a node said: no majority$"):
        call(why, away)
    with pytest.raises(DeadlineExceeded, match=r"^late; before, a node said: no majority$"):
        call(why, DeadlineExceeded("late"), repeatable=False)
    with pytest.raises(OutcomeUnknown, match="lost, then: no node answers at n:1; before, a node said: no majority"):
        call(LOST, why, away)
    with pytest.raises(Unavailable, match=r"^no majority$"):
        call(away, why)


def test_a_lost_answer_is_asked_for_again_or_told() -> None:
    """As the caller allows."""
    assert b"done" == call(LOST, Unavailable("later"), b"done")
    with pytest.raises(OutcomeUnknown, match=r"^lost$"):
        call(LOST, b"done", repeatable=False)
