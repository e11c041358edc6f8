"""Which partition, and which node."""

import json
from pathlib import Path

import google_crc32c
import pytest

from cluster.client.routing import PARTITIONER_VERSION, LeaderSeen, StickyPartition, TopicRoute, partition_of_key
from cluster.errors import UnknownPartition, Unsupported

VECTORS = [
    (b"", 0x00000000),
    (b"123456789", 0xE3069283),
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
]
"""RFC 3720, appendix B.4, the check value of the CRC catalogue, and nothing at all."""


@pytest.mark.parametrize(("key", "checksum"), VECTORS)
@pytest.mark.parametrize("partitions", [1, 7, 12, 4096])
def test_keys_go_to_crc32c_mod_partitions(key, checksum, partitions):
    """Partitioner version 1 is the published function, so that clients in other languages agree."""
    assert checksum % partitions == partition_of_key(key, partitions)


def test_the_vectors_for_other_languages_are_true():
    """The file that the example clients are held to says what this client does."""
    shared = json.loads((Path(__file__).parents[2] / "examples" / "clients" / "partitioner.json").read_text())
    for vector in shared["vectors"]:
        key = vector["key"].encode()
        assert vector["crc32c"] == google_crc32c.value(key)
        assert vector["partitions"] == {number: partition_of_key(key, int(number)) for number in vector["partitions"]}
    assert PARTITIONER_VERSION == shared["partitioner_version"]


def test_sticky_goes_round():
    """Without trouble every partition gets its turn."""
    sticky = StickyPartition(3, first=7)
    assert [1, 2, 0, 1] == [sticky.current] + [sticky.advance(lambda _: True) for _ in range(3)]


def test_sticky_passes_by_what_is_not_well():
    """Records without a key need not wait for a partition in trouble."""
    sticky = StickyPartition(4, first=0)
    assert [2, 0, 2] == [sticky.advance(lambda number: number in {0, 2}) for _ in range(3)]


def test_sticky_moves_on_when_nothing_is_well():
    """If all are in trouble the load is spread all the same."""
    sticky = StickyPartition(3, first=0)
    assert [1, 2, 0] == [sticky.advance(lambda _: False) for _ in range(3)]


def route():
    """A topic of two partitions, both led at `a` in term 5."""
    topic = TopicRoute("t", b"id", 2, 1)
    topic.learn([LeaderSeen(partition=number, address="a:1", term=5) for number in (0, 1)])
    return topic


def test_older_descriptions_change_nothing():
    """A node that lags behind does not lead us back to an old leader."""
    topic = route()
    topic.learn([LeaderSeen(partition=0, address="old:1", term=4), LeaderSeen(partition=1, address="new:1", term=6)])
    assert ["a:1", "new:1"] == [topic.leader(0), topic.leader(1)]


def test_a_description_without_a_leader_changes_nothing():
    """Not to know a leader is no news."""
    topic = route()
    topic.learn([LeaderSeen(partition=0, address="", term=9)])
    assert topic.leader(0) == "a:1"


def test_hints_count_at_once():
    """The node that refused knows better than our last description."""
    topic = route()
    topic.hint(1, "b:1")
    assert ["a:1", "b:1"] == [topic.leader(0), topic.leader(1)]


def test_a_suspect_is_forgotten_unless_another_one_leads_by_now():
    """A late failure of the old leader does not touch the new one."""
    topic = route()
    topic.suspect(0, "a:1")
    topic.hint(1, "b:1")
    topic.suspect(1, "a:1")
    assert ["", "b:1"] == [topic.leader(0), topic.leader(1)]


@pytest.mark.parametrize("number", [-1, 2])
def test_partitions_outside_of_the_topic_are_refused(number):
    """Before anything is sent."""
    with pytest.raises(UnknownPartition, match="it has 0 to 1"):
        route().check_partition(number)


def test_an_unknown_partitioner_is_refused():
    """Guessing would put equal keys into different partitions."""
    with pytest.raises(Unsupported, match="version 2"):
        TopicRoute("t", b"id", 2, 2)
