"""Which partition a record belongs to, and where that partition is led. Pure.

Partitioner version 1, part of the public API and the same in every client: a record with a key goes to partition
`crc32c(key) mod partitions` (CRC32C: Castagnoli, RFC 3720 appendix B.4); a record without a key goes to any.

>>> [partition_of_key(key, 12) for key in (b"", b"123456789", b"customer-17")]
[0, 3, 11]

Leaders are learned from GetTopic (with the term) and from the hints of NOT_LEADER (without). A hint counts at once;
a description counts unless a newer term is known; an address that failed is forgotten until one of the two names it
again. So stale news can delay a request by one hop and never pin it to a dead node.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import google_crc32c

from cluster.errors import UnknownPartition, Unsupported

PARTITIONER_VERSION = 1


def partition_of_key(key: bytes, partitions: int) -> int:
    """The partition, from 0, of records with this key in a topic of `partitions` partitions."""
    return int(google_crc32c.value(key)) % partitions


class StickyPartition:
    """Where records without a key go: one partition until its batch is closed, then the next.

    Full batches cost less than even spreading record by record, and over time every partition gets its share.
    """

    def __init__(self, partitions: int, first: int) -> None:
        self._partitions = partitions
        self.current = first % partitions

    def advance(self, is_well: Callable[[int], bool]) -> int:
        """Move on to the next partition that is well; simply to the next one if none is."""
        for step in range(1, self._partitions + 1):
            number = (self.current + step) % self._partitions
            if is_well(number):
                break
        else:
            number = (self.current + 1) % self._partitions
        self.current = number
        return number


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderSeen:
    """What one description of a topic says about one partition; `address` empty: no leader is known."""

    partition: int
    address: str
    term: int


class TopicRoute:
    """One topic as this client knows it: its identity, its partition count and where each partition is led."""

    def __init__(self, name: str, topic_id: bytes, partitions: int, partitioner_version: int) -> None:
        if partitioner_version not in {0, PARTITIONER_VERSION}:
            raise Unsupported(
                f"topic {name!r} spreads keys by partitioner version {partitioner_version}; this client knows "
                f"version {PARTITIONER_VERSION}: use a newer client"
            )
        self.name = name
        self.topic_id = topic_id
        self.partitions = partitions
        self._addresses = [""] * partitions
        self._terms = [0] * partitions

    def check_partition(self, number: int) -> None:
        """UnknownPartition if the topic has none of that number."""
        if not 0 <= number < self.partitions:
            raise UnknownPartition(
                f"topic {self.name!r} has no partition {number}; it has 0 to {self.partitions - 1}",
                partitions=str(self.partitions),
            )

    def leader(self, number: int) -> str:
        """The address of the partition's leader; empty: ask."""
        return self._addresses[number]

    def learn(self, seen: Sequence[LeaderSeen]) -> None:
        """A description of the topic arrived."""
        for leader in seen:
            if leader.address and leader.term >= self._terms[leader.partition]:
                self._addresses[leader.partition] = leader.address
                self._terms[leader.partition] = leader.term

    def hint(self, number: int, address: str) -> None:
        """A node that does not lead the partition named the one that does."""
        self._addresses[number] = address

    def suspect(self, number: int, address: str) -> None:
        """An address failed or refused: do not go there again before somebody names it."""
        if self._addresses[number] == address:
            self._addresses[number] = ""
