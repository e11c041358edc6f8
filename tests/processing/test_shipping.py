"""What is sent next to each destination, and what the answers mean."""

import pytest

from cluster.errors import (
    DuplicateForgotten,
    Fenced,
    InvalidRequest,
    NotLeader,
    OutcomeUnknown,
    OutOfSequence,
    TopicDeleted,
    UnknownProducer,
    UnknownTopic,
)
from cluster.processing.commit import Outgoing
from cluster.processing.shipping import Send, Shipping
from cluster.types import PartitionId, TopicId

A, B = PartitionId(TopicId(b"a" * 16), 0), PartitionId(TopicId(b"b" * 16), 0)


def out(destination: PartitionId, sequence: int, count: int = 2) -> Outgoing:
    """A batch of a commit."""
    return Outgoing(
        destination=destination,
        base_sequence=sequence,
        record_count=count,
        payload=b"12345",
        codec=0,
        uncompressed_size=5,
        min_timestamp_ns=0,
        max_timestamp_ns=0,
        checksum=0,
    )


def gap(expected: int) -> OutOfSequence:
    """What a destination says that expects another sequence."""
    return OutOfSequence("a gap", expected=str(expected))


def shipping(*commits: list[Outgoing], in_flight: int = 2) -> Shipping:
    """Commits from 1 on."""
    made = Shipping(0, in_flight)
    for n, outputs in enumerate(commits, 1):
        made.committed(n, outputs)
    return made


def sent(made: Shipping) -> list[tuple[PartitionId, int]]:
    """What is to be sent now."""
    return [(send.destination, send.base_sequence) for send in made.take()]


def three(in_flight: int = 3) -> tuple[Shipping, list[Send]]:
    """Batches for one destination, and those of them that are under way."""
    made = shipping([out(A, 0)], [out(A, 2)], [out(A, 4)], in_flight=in_flight)
    return made, made.take()


def test_so_many_batches_are_under_way_to_each_destination():
    """One that is slow does not hold up others; what is under way is not sent again."""
    made = shipping([out(A, 0), out(B, 0)], [out(A, 2), out(A, 4)])
    sends = made.take()
    assert [(A, 0), (A, 2), (B, 0)] == [(send.destination, send.base_sequence) for send in sends]
    assert ([], 20) == (sent(made), made.bytes)
    made.received(sends[0])
    assert ([(A, 4)], 15) == (sent(made), made.bytes)


def test_shipped_upto_is_all_of_every_commit():
    """Commits without outputs are; a later one does not count while an earlier one waits."""
    made = shipping([], [out(A, 0), out(B, 0)], [], [out(A, 2)], [])
    to_a, later_a, to_b = made.take()
    assert 1 == made.shipped_upto
    made.received(to_a)
    made.received(later_a)
    assert 1 == made.shipped_upto
    made.received(to_b)
    assert (5, 0) == (made.shipped_upto, made.bytes)
    made.committed(6, [])
    assert 6 == made.shipped_upto


def test_a_receipt_settles_all_before_it():
    """They stand before it in the destination's log; a receipt that comes late, of an earlier attempt, does, too."""
    made, sends = three()
    made.refused(sends[0], OutcomeUnknown())
    made.received(sends[1])
    assert 2 == made.shipped_upto
    made.received(sends[0])
    made.again(A)
    assert [(A, 4)] == sent(made)


@pytest.mark.parametrize("error", [OutcomeUnknown(), NotLeader(), UnknownTopic()])
def test_what_may_succeed_later_is_sent_again_after_a_pause(error):
    """All from the first unsettled one; what was under way is of an earlier attempt."""
    made, sends = three()
    made.refused(sends[1], error)
    assert ([], [A]) == (sent(made), made.paused)
    made.refused(sends[2], gap(0))
    made.again(A)
    assert [(A, 0), (A, 2), (A, 4)] == sent(made)
    assert ({}, []) == (made.stopped, made.paused)


@pytest.mark.parametrize("error", [gap(0), UnknownProducer()])
def test_after_a_gap_all_is_sent_again(error):
    """At once; once for each attempt."""
    made, sends = three()
    made.refused(sends[1], error)
    assert [(A, 0), (A, 2), (A, 4)] == sent(made)
    made.refused(sends[2], error)
    assert [] == sent(made)


@pytest.mark.parametrize("error", [gap(0), UnknownProducer()])
def test_a_destination_that_lost_what_it_had_is_a_stop(error):
    """Everything before the batch had been committed there; what is to be done nobody here knows."""
    made, sends = three()
    made.received(sends[0])
    made.refused(sends[1], OutcomeUnknown())
    made.again(A)
    first, _ = made.take()
    made.refused(first, error)
    assert ({A: error}, [], 1) == (made.stopped, sent(made), made.shipped_upto)


@pytest.mark.parametrize("error", [Fenced(), DuplicateForgotten()])
def test_what_has_arrived_need_not_be_committed(error):
    """It is not sent again, makes room for others, and is settled by a later receipt."""
    made, sends = three(in_flight=1)
    made.refused(sends[0], error)
    assert 0 == made.shipped_upto
    (second,) = made.take()
    made.refused(second, error)
    (third,) = made.take()
    assert 0 == made.shipped_upto
    made.received(third)
    assert (3, {}) == (made.shipped_upto, made.stopped)


def test_what_has_arrived_may_be_cut_off_again():
    """The destination's next leader says that there is a gap: all is sent again."""
    made, sends = three(in_flight=1)
    made.refused(sends[0], Fenced())
    (second,) = made.take()
    made.refused(second, gap(0))
    assert [(A, 0)] == sent(made)


def test_fenced_with_nothing_behind_it_waits():
    """Somebody else leads the task, and has shipped more than is known here."""
    made = shipping([out(A, 0)])
    (send,) = made.take()
    made.refused(send, Fenced())
    assert ([A], 0) == (made.paused, made.shipped_upto)
    made.again(A)
    assert [(A, 0)] == sent(made)
    made.committed(2, [out(A, 2)])
    assert [(A, 2)] == sent(made)


def test_a_deleted_topic_stops_its_output_and_no_other():
    """What was for it is settled and counted, also what comes later; the error says why."""
    made = shipping([out(A, 0), out(B, 0)], [out(A, 2)])
    to_a, _, to_b = made.take()
    error = TopicDeleted()
    made.refused(to_a, error)
    assert (0, {A: error}, 4) == (made.shipped_upto, made.stopped, made.undeliverable)
    made.received(to_b)
    assert 2 == made.shipped_upto
    made.committed(3, [out(A, 4, 3), out(B, 2)])
    assert ([(B, 2)], 7, 5) == (sent(made), made.undeliverable, made.bytes)


def test_what_is_refused_for_good_stops_its_output_and_is_kept():
    """It is not shipped, so the task's log keeps it; other outputs go on."""
    made = shipping([out(A, 0)], [out(B, 0)])
    to_a, to_b = made.take()
    error = InvalidRequest("no")
    made.refused(to_a, error)
    made.received(to_b)
    made.committed(3, [out(A, 2), out(B, 2)])
    assert ([(B, 2)], {A: error}, 0, 0) == (sent(made), made.stopped, made.shipped_upto, made.undeliverable)


def test_other_records_at_its_sequences_are_a_stop():
    """Somebody uses the task's producer id: to go on would lose records."""
    made, sends = three()
    made.refused(sends[0], gap(1))
    assert [A] == list(made.stopped)
