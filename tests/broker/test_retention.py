"""What may go by a topic's limits, and when a leader looks again: the rules, one by one."""

import pytest

from cluster.broker.retention import (
    Follower,
    needed_from,
    next_expiry_ns,
    segment_age_max_ns,
    steady_now_ns,
    trim_offset,
)
from cluster.log import SegmentFacts
from cluster.metadata import TopicConfig
from cluster.types import Index, Offset

MS = 1_000_000
SECOND = 1_000_000_000


def segment(number: int, *, bytes_: int = 100, records: int = 10) -> SegmentFacts:
    """The segment of that number: ten entries and ten records each, its last record appended at `number` ms."""
    return SegmentFacts(
        base_offset=Offset(number * 10),
        end_offset=Offset(number * 10 + records),
        last_index=Index(number * 10 + 10),
        bytes=bytes_,
        first_record_time_ns=number * MS if records else None,
        last_record_time_ns=number * MS if records else None,
    )


FOUR = [segment(number) for number in range(4)]


def trim(
    config: TopicConfig,
    *,
    segments: list[SegmentFacts] = FOUR,
    followers: tuple[Follower, ...] = (),
    now_ms: int = 0,
    start: int = 0,
    end: int = 40,
    lagging: int = 1000,
) -> int | None:
    """What is decided."""
    return trim_offset(
        config,
        segments,
        followers,
        now_ns=now_ms * MS,
        start=Offset(start),
        end=Offset(end),
        lagging_bytes_max=lagging,
    )


@pytest.mark.parametrize(
    ("now_ms", "expected"), [(0, None), (100, None), (101, 10), (102, 20), (103, 30), (104, 40), (9999, 40)]
)
def test_by_age_a_segment_goes_when_its_last_record_is_too_old(now_ms: int, expected: int | None):
    """The one that takes entries, too: an idle topic keeps nothing for ever."""
    assert expected == trim(TopicConfig(retention_ms=100), now_ms=now_ms)


@pytest.mark.parametrize(
    ("limit", "expected"), [(1, 30), (100, 30), (101, 20), (200, 20), (300, 10), (301, None), (400, None), (5000, None)]
)
def test_by_size_the_oldest_go_while_the_rest_still_holds_the_limit(limit: int, expected: int | None):
    """And never the segment that takes entries."""
    assert expected == trim(TopicConfig(retention_bytes=limit))


def test_without_a_limit_nothing_goes():
    """However old it is."""
    assert None is trim(TopicConfig(), now_ms=1 << 40)


def test_what_goes_by_one_limit_goes():
    """Each limit stands for itself."""
    assert 20 == trim(TopicConfig(retention_ms=100, retention_bytes=200), now_ms=101)
    assert 30 == trim(TopicConfig(retention_ms=100, retention_bytes=200), now_ms=103)


def test_only_what_is_committed_goes():
    """A segment with an end beyond the commit stays."""
    assert 10 == trim(TopicConfig(retention_ms=1), now_ms=999, end=19)
    assert None is trim(TopicConfig(retention_ms=1), now_ms=999, end=9)


def test_a_follower_is_waited_for_up_to_a_bound():
    """What it still needs stays; one that is too far behind starts again."""
    old = TopicConfig(retention_ms=1)
    assert 20 == trim(old, now_ms=999, followers=(Follower(Index(40), 0), Follower(Index(20), 200)))
    assert 10 == trim(old, now_ms=999, followers=(Follower(Index(15), 250),))
    assert 40 == trim(old, now_ms=999, followers=(Follower(Index(15), 250),), lagging=249)
    assert 20 == trim(old, now_ms=999, followers=(Follower(Index(15), 250), Follower(Index(25), 150)), lagging=249)
    own = TopicConfig(retention_ms=1, lagging_bytes_max=200)
    assert 40 == trim(own, now_ms=999, followers=(Follower(Index(15), 250),))


def test_what_was_trimmed_is_not_trimmed_again():
    """Segments below the start that still wait to be dropped count for nothing."""
    assert None is trim(TopicConfig(retention_bytes=200), start=20)
    assert 30 == trim(TopicConfig(retention_bytes=100), start=20)
    assert None is trim(TopicConfig(retention_ms=1), now_ms=999, start=40)


def test_an_old_segment_without_records_keeps_nothing_back():
    """Elections leave such ones behind."""
    empty = SegmentFacts(
        base_offset=Offset(10),
        end_offset=Offset(10),
        last_index=Index(12),
        bytes=9,
        first_record_time_ns=None,
        last_record_time_ns=None,
    )
    assert 20 == trim(TopicConfig(retention_ms=100), segments=[segment(0), empty, segment(1), segment(2)], now_ms=102)


def test_a_leader_looks_again_when_the_oldest_records_become_old():
    """And never while there are none."""
    config = TopicConfig(retention_ms=100)
    assert 100 * MS == next_expiry_ns(config, FOUR, Offset(0))
    assert 102 * MS == next_expiry_ns(config, FOUR, Offset(20))
    assert None is next_expiry_ns(config, FOUR, Offset(40))
    assert None is next_expiry_ns(TopicConfig(retention_bytes=1), FOUR, Offset(0))


def test_a_segment_takes_entries_for_a_part_of_the_time_that_they_are_kept():
    """But not for so short that there were many."""
    assert None is segment_age_max_ns(TopicConfig(retention_bytes=5), 10)
    assert 25 * SECOND == segment_age_max_ns(TopicConfig(retention_ms=100_000), 10)
    assert 10 * SECOND == segment_age_max_ns(TopicConfig(retention_ms=1), 10)


@pytest.mark.parametrize(("wall", "expected"), [(1005, 1005), (1003, 1003), (900, 900), (99_999, 1005)])
def test_a_clock_that_is_set_ahead_deletes_nothing(wall: int, expected: int):
    """Now is at most what the monotonic clock says; a clock that went back is believed, and keeps more."""
    assert expected * SECOND == steady_now_ns(wall_ns=wall * SECOND, began_wall_ns=1000 * SECOND, led_s=5)


@pytest.mark.parametrize(
    ("followers", "expected"),
    [
        ((), None),
        ((Follower(Index(40), 0),), None),
        ((Follower(Index(39), 10),), 30),
        ((Follower(Index(40), 0), Follower(Index(15), 300)), 10),
        ((Follower(Index(0), 400),), 0),
        ((Follower(Index(0), 1001),), None),
    ],
)
def test_what_a_follower_needs_begins_with_a_segment(followers: tuple[Follower, ...], expected: int | None):
    """Of one that is not too far behind."""
    assert expected == needed_from(TopicConfig(), FOUR, followers, lagging_bytes_max=1000)
