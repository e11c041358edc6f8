"""The purchases that the benchmark processes, in the forms in which somebody wants them, and plain loops over them."""

import random
from collections import Counter
from collections.abc import Iterator

import msgspec

from cluster.config import ProcessingOptions
from cluster.processing.work import Batch, Work
from cluster.records import Record
from cluster.wire.pb.riverrun.v1 import records_pb2
from cluster.wire.records import encode_records
from tests.bench.purchases import DEAR_USD, Purchase, Total

CUSTOMERS = 10_000
BATCH = 1_000


class Input:
    """The records, in all the forms in which somebody wants them."""

    def __init__(self, records: int) -> None:
        chance = random.Random(1)
        self.values: list[bytes] = []
        self.batches: list[Batch] = []
        for begin in range(0, records, BATCH):
            made = [self._purchase(chance, number) for number in range(begin, begin + BATCH)]
            stored = [
                Record(value=msgspec.json.encode(made_), key=made_.customer_id.encode(), timestamp_ns=number * 10**6)
                for number, made_ in enumerate(made, begin)
            ]
            self.values += [record.value for record in stored]
            payload = encode_records(stored)
            self.batches.append(
                Batch(
                    input=0,
                    partition=0,
                    payload=payload,
                    codec=0,
                    uncompressed_size=len(payload),
                    record_count=BATCH,
                    base_offset=begin,
                    begin=begin,
                    end=begin + BATCH,
                )
            )
        self.decoded = [*map(msgspec.json.Decoder(Purchase).decode, self.values)]
        self.counts = Counter(purchase.customer_id for purchase in self.decoded)
        self.dear = sum(purchase.amount_usd > DEAR_USD for purchase in self.decoded)

    @staticmethod
    def _purchase(chance: random.Random, number: int) -> Purchase:
        return Purchase(
            order_id=f"o{number}",
            customer_id=f"c{chance.randrange(CUSTOMERS)}",
            sku=f"s{chance.randrange(500)}",
            quantity=chance.randint(1, 5),
            amount_usd=chance.randrange(100_000) / 100,
            region="eu",
            channel="web",
            date="2026-11-27",
        )

    def works(self, first: int, passes: int) -> Iterator[Work]:
        """As a node makes them for a task that has all of this before it (`Feeding.take`): so many passes over it."""
        options = ProcessingOptions()
        batches: list[Batch] = []
        for number, batch in enumerate(self.batches * passes, first):
            batches.append(batch)
            is_full = sum(len(taken.payload) for taken in batches) >= options.work_bytes_max
            if is_full or len(batches) * BATCH >= options.work_records_max:
                yield self._work(number, batches)
                batches = []
        if batches:
            yield self._work(number, batches)

    @staticmethod
    def _work(number: int, batches: list[Batch]) -> Work:
        return Work(task=0, n=number, now_ns=number, batches=batches, fired=[], idle=[], in_time_order=True)


def decoded_filter_map(input_: Input) -> list[Total]:
    """What takes the fewest steps in Python, a record at a time."""
    found = []
    for purchase in input_.decoded:
        if purchase.amount_usd > DEAR_USD:
            found.append(Total(purchase.customer_id, purchase.amount_usd * purchase.quantity))  # noqa: PERF401  as many write it
    return found


def decoded_count(input_: Input) -> dict[str, int]:
    """The same for the count."""
    seen: dict[str, int] = {}
    for purchase in input_.decoded:
        seen[purchase.customer_id] = seen.get(purchase.customer_id, 0) + 1
    return seen


def stored_filter_map(input_: Input) -> list[bytes]:
    """From stored batches to encoded values."""
    found = []
    decode, encode = msgspec.json.Decoder(Purchase).decode, msgspec.json.Encoder().encode
    for batch in input_.batches:
        for record in records_pb2.Records.FromString(batch.payload).records:
            purchase = decode(record.value)
            if purchase.amount_usd > DEAR_USD:
                found.append(encode(Total(purchase.customer_id, purchase.amount_usd * purchase.quantity)))
    return found


def stored_count(input_: Input) -> dict[str, int]:
    """From stored batches to the counts."""
    seen: dict[str, int] = {}
    decode = msgspec.json.Decoder(Purchase).decode
    for batch in input_.batches:
        for record in records_pb2.Records.FromString(batch.payload).records:
            purchase = decode(record.value)
            seen[purchase.customer_id] = seen.get(purchase.customer_id, 0) + 1
    return seen
