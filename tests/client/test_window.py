"""The rules of `cluster.client.window`, one by one."""

import random
from collections import deque

import pytest

from cluster.client.backoff import Backoff
from cluster.client.outgoing import OutgoingBatch
from cluster.client.window import Identity, Window
from cluster.errors import (
    DeadlineExceeded,
    DuplicateForgotten,
    Fenced,
    InvalidRequest,
    NotLeader,
    Outcome,
    OutcomeUnknown,
    OutOfSequence,
    RecordTooLarge,
    RiverrunError,
    TopicDeleted,
    Unavailable,
    UnknownProducer,
    UnknownTopic,
)
from cluster.records import Receipt
from cluster.types import Codec, Durability, Offset, ProducerId, Term


def receipt(offset=0, *, duplicate=False):
    """What a leader answers."""
    return Receipt(
        offset=Offset(offset),
        record_count=2,
        term=Term(1),
        durability=Durability.MAJORITY_SYNCED,
        replicas_synced=2,
        replicas=3,
        duplicate=duplicate,
    )


class Desk:
    """A window with batches `a`, `b`, `c`, … of two records each; batch n's deadline is 100 + n."""

    def __init__(self, batches, *, in_flight_max=4, named=False):
        self.closed = deque()
        self.names = {}
        for n in range(batches):
            outgoing = OutgoingBatch("t", 0, opened_s=0.0, deadline_s=100.0 + n)
            for _ in range(2):
                outgoing.add(b"v", None, (), 1, 30)
            outgoing.close(Codec.NONE)
            self.names[outgoing] = "abcdefghij"[n]
            self.closed.append(outgoing)
        backoff = Backoff(1.0, 8.0, random.Random(1))
        self.window = Window(self.closed, in_flight_max=in_flight_max, backoff=backoff, renewable=not named)
        self.identify(1, first_of_epoch=named)

    def identify(self, producer, next_sequence=0, *, first_of_epoch=False):
        """Send as this producer from now on."""
        self.window.identified(
            Identity(
                producer_id=ProducerId(producer),
                epoch=0,
                next_sequence=next_sequence,
                first_of_epoch=first_of_epoch,
            )
        )

    def take(self, now_s=0.0):
        """Everything that may be sent now, as {name: attempt}, in order."""
        taken = {}
        while (attempt := self.window.take(now_s)) is not None:
            assert attempt.batch.is_intact()
            taken[self.names[attempt.slot.outgoing]] = attempt
        return taken

    def named(self, settled):
        """{name: outcome's class} of what was settled."""
        return {self.names[outgoing]: type(outcome) for outgoing, outcome in settled}

    def acknowledge(self, attempt, **kind):
        """A receipt arrives; who is settled by it."""
        return self.named(self.window.acknowledged(attempt, receipt(**kind)))

    def refuse(self, attempt, error, now_s=0.0):
        """An error arrives; who is settled by it."""
        return self.named(self.window.refused(attempt, error, now_s))


def sequences(taken):
    """{name: (producer, base sequence)}."""
    return {name: (attempt.batch.producer_id, attempt.batch.base_sequence) for name, attempt in taken.items()}


def test_rule_1_numbers_are_dense_and_count_records():
    """Batches of two records are 0, 2, 4."""
    assert {"a": (1, 0), "b": (1, 2), "c": (1, 4)} == sequences(Desk(3).take())


def test_rule_2_the_window_is_bounded_by_its_oldest():
    """A receipt in the middle makes no room; the oldest one's does."""
    desk = Desk(6, in_flight_max=3)
    taken = desk.take()
    assert ["a", "b", "c"] == list(taken)
    assert {"b": Receipt} == desk.acknowledge(taken["b"])
    assert {} == desk.take()
    assert {"a": Receipt} == desk.acknowledge(taken["a"])
    assert ["d", "e"] == list(desk.take())


def test_rule_3_a_refusal_for_now_sends_everything_again_in_order():
    """After a wait, the same numbers, oldest first and alone; nothing new in between."""
    desk = Desk(5)
    first = desk.take()
    assert {} == desk.refuse(first["b"], Unavailable(), now_s=10.0)
    assert {} == desk.take(10.0)
    probe = desk.take(20.0)
    assert {"a": (1, 0)} == sequences(probe)
    desk.acknowledge(probe["a"])
    assert {"b": (1, 2), "c": (1, 4), "d": (1, 6), "e": (1, 8)} == sequences(desk.take(20.0))


def test_rule_3_a_probe_that_is_refused_is_followed_by_another_one():
    """Until somebody leads, one batch at a time is sent in vain."""
    desk = Desk(4)
    desk.refuse(desk.take()["a"], Unavailable())
    for now_s in (20.0, 40.0):
        probe = desk.take(now_s)
        assert ["a"] == list(probe)
        desk.refuse(probe["a"], Unavailable(), now_s)


def test_rule_3_waits_grow_until_something_works():
    """1, 2, 4 seconds at most, then 1 again."""
    desk = Desk(2, in_flight_max=1)
    waits = []
    for _ in range(3):
        attempt = desk.take(1e6)["a"]
        desk.refuse(attempt, Unavailable(), now_s=0.0)
        waits.append(desk.window.retry_at_s)
    assert [True, True, True] == [low <= wait <= 2 * low for low, wait in zip((0.5, 1.0, 2.0), waits, strict=True)]
    desk.acknowledge(desk.take(1e6)["a"])
    desk.refuse(desk.take(1e6)["b"], Unavailable(), now_s=0.0)
    assert desk.window.retry_at_s <= 1.0


def test_rule_3_the_first_hint_is_followed_at_once():
    """A refusal that names the leader costs no wait; the second in a row does, or two nodes could play ball."""
    desk = Desk(1)
    desk.refuse(desk.take()["a"], NotLeader(leader="b:1"), now_s=5.0)
    again = desk.take(5.0)
    assert ["a"] == list(again)
    desk.refuse(again["a"], NotLeader(leader="a:1"), now_s=5.0)
    assert {} == desk.take(5.0)


def test_rule_3_a_receipt_of_an_earlier_round_counts():
    """It was appended; what else is there to know."""
    desk = Desk(2)
    first = desk.take()
    desk.refuse(first["b"], Unavailable())
    assert {"a": Receipt} == desk.acknowledge(first["a"])
    assert ["b"] == list(desk.take(50.0))


def test_rule_3_a_refusal_of_an_earlier_round_decides_nothing():
    """Not even one that would be final."""
    desk = Desk(2)
    first = desk.take()
    desk.refuse(first["a"], Unavailable())
    second = desk.take(50.0)
    assert {} == desk.refuse(first["b"], Fenced())
    assert {"a": Receipt} == desk.acknowledge(second["a"])
    assert {"b": Receipt} == desk.acknowledge(desk.take(50.0)["b"])


@pytest.mark.parametrize("echo", [OutOfSequence(expected="0"), UnknownProducer()])
def test_rule_4_a_gap_behind_the_oldest_is_an_echo(echo):
    """The batch before it did not arrive: both go again under the same numbers."""
    desk = Desk(2)
    assert {} == desk.refuse(desk.take()["b"], echo)
    probe = desk.take(50.0)
    assert {"a": (1, 0)} == sequences(probe)
    desk.acknowledge(probe["a"], duplicate=True)
    assert {"b": (1, 2)} == sequences(desk.take(50.0))


def test_rule_5_what_is_refused_for_good_fails_alone():
    """The rest waits for those before it, then starts anew under a fresh identity."""
    desk = Desk(5)
    taken = desk.take()
    assert {"b": InvalidRequest} == desk.refuse(taken["b"], InvalidRequest())
    assert {} == desk.refuse(taken["c"], OutOfSequence())
    assert not desk.window.needs_identity
    assert {"a": Receipt} == desk.acknowledge(desk.take(50.0)["a"])
    assert desk.window.needs_identity
    desk.identify(2)
    assert {"c": (2, 0), "d": (2, 2), "e": (2, 4)} == sequences(desk.take(50.0))


@pytest.mark.parametrize("named", [False, True])
def test_rule_5_what_may_have_arrived_before_it_was_refused_is_not_told_as_undone(named):
    """The next leader has lower limits than the one that took it: what is behind it may be in the log, too."""
    desk = Desk(4, named=named)
    taken = desk.take()
    for name in "abcd":
        desk.window.lost(taken[name], Unavailable("gone"), 0.0, sent=name in "ab")
    settled = desk.window.refused(desk.take(50.0)["a"], RecordTooLarge("too large"), 50.0)
    last = {"c": RecordTooLarge, "d": RecordTooLarge} if named else {}
    assert {"a": OutcomeUnknown, "b": OutcomeUnknown, **last} == desk.named(settled)
    assert "too large" in str(settled[0][1])
    if not named:
        desk.identify(2)
        assert {"c": (2, 0), "d": (2, 2)} == sequences(desk.take(50.0))


def test_rule_5_who_is_behind_it_may_have_arrived_as_long_as_it_may():
    """An answer is still to come: nothing says that the number before it is missing."""
    desk = Desk(3)
    taken = desk.take()
    desk.refuse(taken["b"], OutcomeUnknown())
    desk.acknowledge(desk.take(50.0)["a"])
    again = desk.take(50.0)
    assert {"b": OutcomeUnknown, "c": OutcomeUnknown} == desk.refuse(again["b"], RecordTooLarge())
    assert {} == desk.acknowledge(taken["c"])
    assert not desk.window.needs_identity


def test_rule_5_answers_under_the_old_identity_mean_nothing():
    """They belong to numbers that are no more."""
    desk = Desk(2)
    old = desk.take()
    desk.refuse(old["a"], InvalidRequest())
    desk.identify(2)
    new = desk.take(50.0)
    assert {} == desk.refuse(old["b"], OutOfSequence())
    assert {"b": Receipt} == desk.acknowledge(new["b"])


def test_rule_6_what_was_never_sent_fails_for_certain():
    """No identity, no leader: nothing left this client."""
    desk = Desk(2)
    settled = desk.window.expire(100.0)
    assert {"a": Unavailable} == desk.named(settled)
    assert settled[0][1].outcome is Outcome.NOTHING


def test_rule_6_what_may_have_arrived_fails_as_unknown():
    """With everything behind it of which the same is true; the others go on under a fresh identity."""
    desk = Desk(4)
    taken = desk.take()
    for name in "abc":
        desk.window.lost(taken[name], Unavailable("gone"), 0.0, sent=name != "c")
    desk.window.lost(taken["d"], Unavailable("gone"), 0.0, sent=False)
    assert {"a": DeadlineExceeded, "b": DeadlineExceeded} == desk.named(desk.window.expire(100.0))
    desk.identify(2)
    assert {"c": (2, 0), "d": (2, 2)} == sequences(desk.take(100.0))


def test_rule_6_a_definite_refusal_is_told_as_such():
    """Refused every time: certainly nothing was appended, and the error names the last refusal."""
    desk = Desk(1)
    desk.refuse(desk.take()["a"], NotLeader("no leader"))
    settled = desk.window.expire(100.0)
    assert {"a": Unavailable} == desk.named(settled)
    assert "last: no leader" in str(settled[0][1])


def test_rule_6_an_unknown_error_leaves_doubt():
    """An error that the rules do not name may have come after the append."""
    desk = Desk(1)
    desk.refuse(desk.take()["a"], RiverrunError("?"))
    assert {"a": DeadlineExceeded} == desk.named(desk.window.expire(100.0))


def test_rule_6_an_unknown_topic_leaves_none():
    """A node that has not heard of the topic has appended nothing to it."""
    desk = Desk(1)
    desk.refuse(desk.take()["a"], UnknownTopic())
    assert {"a": Unavailable} == desk.named(desk.window.expire(100.0))


def test_rule_7_a_forgotten_producer_starts_anew_and_loses_nothing():
    """The partition expired it; the same records go under a fresh identity."""
    desk = Desk(3, in_flight_max=2)
    taken = desk.take()
    desk.acknowledge(taken["a"])
    taken |= desk.take()
    assert {} == desk.refuse(taken["b"], UnknownProducer())
    desk.identify(2)
    assert {"b": (2, 0), "c": (2, 2)} == sequences(desk.take())


def test_rule_8_a_gap_at_the_oldest_is_told():
    """Everything before it was acknowledged and is gone: nobody may overlook that."""
    desk = Desk(3)
    taken = desk.take()
    desk.acknowledge(taken["a"])
    settled = desk.window.refused(taken["b"], OutOfSequence(expected="0"), 0.0)
    assert {"b": OutOfSequence, "c": OutcomeUnknown} == desk.named(settled)


@pytest.mark.parametrize("final", [Fenced(), TopicDeleted()])
def test_rule_9_the_end_of_the_window(final):
    """What may have arrived is unknown, what did not leave fails for certain, what comes later fails too."""
    desk = Desk(4, in_flight_max=3)
    taken = desk.take()
    assert {"a": type(final), "b": OutcomeUnknown, "c": OutcomeUnknown, "d": type(final)} == desk.refuse(
        taken["a"], final
    )
    assert final is desk.window.ended
    assert {} == desk.acknowledge(taken["b"])


def test_rule_10_a_named_producer_ends_where_others_start_anew():
    """It has one identity, and taking another epoch of it is the application's decision."""
    desk = Desk(3, named=True)
    taken = desk.take()
    assert {"a": InvalidRequest, "b": OutcomeUnknown, "c": OutcomeUnknown} == desk.refuse(taken["a"], InvalidRequest())
    assert isinstance(desk.window.ended, InvalidRequest)
    assert not desk.window.needs_identity


def test_rule_10_the_first_batch_of_an_epoch_is_no_duplicate():
    """It was sent once, so whoever wrote that number is another holder of the name."""
    desk = Desk(2, named=True)
    taken = desk.take()
    assert {"a": Fenced, "b": OutcomeUnknown} == desk.acknowledge(taken["a"], duplicate=True)


def test_rule_10_a_later_duplicate_is_our_own():
    """After the first receipt the epoch is established."""
    desk = Desk(2, named=True)
    taken = desk.take()
    assert {"a": Receipt} == desk.acknowledge(taken["a"])
    assert {"b": Receipt} == desk.acknowledge(taken["b"], duplicate=True)


def test_a_forgotten_duplicate_keeps_its_number():
    """It is in the log, at an offset that nobody knows any more, and not told as undone; what is behind it goes on."""
    desk = Desk(2)
    taken = desk.take()
    settled = desk.window.refused(taken["a"], DuplicateForgotten(), 0.0)
    assert {"a": DuplicateForgotten} == desk.named(settled)
    assert settled[0][1].outcome is Outcome.UNKNOWN
    assert {"b": Receipt} == desk.acknowledge(taken["b"])


def test_receipts_name_their_partition():
    """The wire's receipt and the window know it together."""
    desk = Desk(1)
    ((_, outcome),) = desk.window.acknowledged(desk.take()["a"], receipt(7))
    assert (0, 7) == (outcome.partition, outcome.offset)
