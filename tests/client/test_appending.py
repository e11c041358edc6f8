"""What a client makes of the answers to its appends, where some of them are lost."""

import asyncio
import functools
import inspect

import pytest

from cluster.client.appending import Appender
from cluster.client.backoff import Backoff
from cluster.client.identities import OPEN_PRODUCER
from cluster.client.routing import TopicRoute
from cluster.config import ClientOptions
from cluster.errors import (
    DeadlineExceeded,
    NotLeader,
    OffsetConflict,
    Outcome,
    OutcomeUnknown,
    RecordTooLarge,
    RiverrunError,
    Unavailable,
    UnknownProducer,
    UnknownTopic,
)
from cluster.records import Record
from cluster.wire.api import records_pb2, stream_pb2
from tests.client.virtual_loop import VirtualLoop

DONE = object()
"""Stands for a receipt."""


class Answers:
    """Two nodes that answer as they are told, one answer after the other; also `Calls`, its channels and the clock."""

    servers = ("a:1", "b:1")

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []
        self.opened = 0
        self.refreshed = 0
        self.known = None
        self._address = ""

    def have_all_said(self, some):
        return set(self.servers) <= set(some)

    def backoff(self):
        return Backoff(0.01, 0.1, self)

    def random(self):
        return 0.5

    def wall_ns(self):
        return 7

    def channel(self, address):
        self._address = address
        return self

    async def route(self, topic):
        self.known = self.known or TopicRoute(topic, b"i" * 16, 3, 1)
        return self.known

    async def refresh(self, topic):
        self.refreshed += 1
        return await self.route(topic)

    async def call(self, method, request, *, timeout_s=None, repeatable=None):
        del timeout_s, repeatable
        if method == OPEN_PRODUCER:
            self.opened += 1
            return stream_pb2.OpenProducerResponse(producer_id=self.opened, producer_epoch=0).SerializeToString()
        asked = stream_pb2.PublishRequest.FromString(request)
        self.asked.append((self._address, asked.producer_id, asked.base_sequence))
        answer = self.answers.pop(0)
        if isinstance(answer, RiverrunError):
            raise answer
        receipt = records_pb2.Receipt(partition=1, offset=9, record_count=len(asked.records), durability=3)
        return stream_pb2.PublishResponse(receipts=[receipt]).SerializeToString()


def alone(test):
    """An asynchronous test in virtual time."""

    @functools.wraps(test)
    def run(**arguments):
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(**arguments))

    run.__signature__ = inspect.signature(test)
    del run.__wrapped__
    return run


def appender(answers):
    """Of a client that has these nodes."""
    return Appender(calls=answers, directory=answers, clock=answers, options=ClientOptions())


async def append(to, count=1, expected_end=9, timeout_s=5.0):
    """So many records to partition 1."""
    return await to.append("t", 1, [Record(value=b"v")] * count, expected_end=expected_end, timeout_s=timeout_s)


@alone
async def test_numbers_go_on_after_success_and_stay_after_a_plain_no():
    """One identity for all of them."""
    answers = Answers(DONE, OffsetConflict("", end="9"), DONE)
    to = appender(answers)
    assert 2 == (await append(to, count=2)).record_count
    with pytest.raises(OffsetConflict):
        await append(to)
    await append(to)

    assert [("a:1", 1, 0), ("a:1", 1, 2), ("a:1", 1, 2)] == answers.asked


@alone
async def test_a_lost_answer_is_asked_for_again_under_the_same_number():
    """At the next node; its duplicate is the receipt."""
    answers = Answers(NotLeader(), OutcomeUnknown(), DeadlineExceeded(), DONE)
    await append(appender(answers))

    assert [("a:1", 1, 0), ("b:1", 1, 0), ("a:1", 1, 0), ("b:1", 1, 0)] == answers.asked


@alone
async def test_the_leader_is_asked_and_remembered():
    """A hint is followed; one that fails is forgotten, and whoever answered is asked first the next time."""
    answers = Answers(NotLeader("", leader="c:1"), DONE, DONE, Unavailable(), DONE, DONE)
    to = appender(answers)
    for _ in range(4):
        await append(to)

    assert ["a:1", "c:1", "c:1", "c:1", "a:1", "a:1"] == [address for address, _, _ in answers.asked]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (OffsetConflict("", end="10"), OffsetConflict),
        (OffsetConflict("", end="8"), OutcomeUnknown),
        (RecordTooLarge(), OutcomeUnknown),
        (UnknownProducer(), OutcomeUnknown),
    ],
)
@alone
async def test_a_refusal_after_a_lost_answer(answer, error):
    """Only a conflict with what is committed is sure; and the identity is not used again."""
    answers = Answers(OutcomeUnknown(), answer, DONE)
    to = appender(answers)
    with pytest.raises(error):
        await append(to)
    await append(to)

    assert [("a:1", 1, 0), ("b:1", 1, 0), ("a:1", 2, 0)] == answers.asked


@alone
async def test_time_is_up():
    """Unknown if one may have arrived; the last refusal if none did."""
    with pytest.raises(OutcomeUnknown) as caught:
        await append(appender(Answers(OutcomeUnknown(), *[Unavailable("busy")] * 99)), timeout_s=0.5)
    assert Outcome.UNKNOWN is caught.value.outcome
    with pytest.raises(Unavailable, match="busy"):
        await append(appender(Answers(*[Unavailable("busy")] * 99)), timeout_s=0.5)


@alone
async def test_a_forgotten_producer_begins_anew():
    """Nothing was appended under its number, so another identity may."""
    answers = Answers(DONE, UnknownProducer(), DONE)
    to = appender(answers)
    await append(to)
    await append(to)

    assert [("a:1", 1, 0), ("a:1", 1, 1), ("a:1", 2, 0)] == answers.asked
    assert 1 == answers.refreshed


@alone
async def test_a_topic_is_believed_unknown_when_every_node_says_so():
    """News of a new topic may not have reached all of them."""
    await append(appender(Answers(UnknownTopic(), DONE)))
    with pytest.raises(UnknownTopic):
        await append(appender(Answers(UnknownTopic(), UnknownTopic())))


@alone
async def test_what_broke_in_a_node_is_unknown():
    """Whatever it was, the records may have been appended before it."""
    with pytest.raises(OutcomeUnknown):
        await append(appender(Answers(RiverrunError("broken"))))
