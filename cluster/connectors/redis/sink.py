"""Writes batches, each with the position behind it: values, hashes, entries of lists and streams."""

import contextlib
from collections.abc import Sequence
from typing import Any

import msgspec
from redis.exceptions import NoPermissionError, RedisError

from cluster.connectors.contract import Delivery, Position
from cluster.connectors.durations import duration_s
from cluster.connectors.redis.connection import answer, connection
from cluster.connectors.redis.options import RedisSink
from cluster.connectors.redis.script import POSITION_PREFIX, WRITE
from cluster.connectors.templates import Template
from cluster.errors import InvalidRoute, RecordRefused, Unreachable


class RedisWriter:
    """A batch and its position are one script. Connects at the first call."""

    def __init__(self, options: RedisSink) -> None:
        self._options, self._address = options, options.address
        self._redis = connection(options)
        self._key = Template(options.key, "key")
        self._limit = options.length_max
        if options.ttl:
            self._limit = max(1, round(1000 * duration_s(options.ttl, "ttl")))
        self._write = self._redis.register_script(WRITE)
        self._positions: dict[str, int | None] = {}
        """As this instance has found them, or moved them."""
        self._memory_checked = not options.appends

    async def last_position(self, lane: str) -> int | None:
        """What the script has left there."""
        if not self._memory_checked:
            await self._check_memory()
        self._positions.pop(lane, None)
        found = await answer(self._address, self._redis.get(_position_key(lane)))
        try:
            self._positions[lane] = None if found is None else int(found)
        except ValueError as error:
            key = _position_key(lane).decode()
            what = f"redis {self._address}: {key} holds no position: somebody else has written it"
            raise InvalidRoute(what) from error
        return self._positions[lane]

    async def write(self, batch: Sequence[Delivery], position: Position) -> bool:
        """Unreachable, too, if the position is not where the batch begins."""
        keys = [self._key_of(delivery, place) for place, delivery in enumerate(batch)]
        entries = [self._entry(delivery, place) for place, delivery in enumerate(batch)]
        lane = position.lane
        expected = self._positions[lane] if lane in self._positions else await self.last_position(lane)
        if expected not in {None, position.begin}:
            self._moved(position, str(expected))
        arguments: list[Any] = ["" if expected is None else expected, position.end, self._options.mode, self._limit]
        for entry in entries:
            arguments += [len(entry), *entry]
        self._positions.pop(lane)  # until it is known
        outcome, *more = await answer(self._address, self._write(keys=[_position_key(lane), *keys], args=arguments))
        if outcome == b"position":
            self._moved(position, more[0].decode() or "nowhere")
        if outcome != b"written":
            raise self._refusal(outcome, more, keys)
        self._positions[lane] = position.end
        return True

    async def settle(self) -> None:
        """Nothing is held."""

    async def close(self) -> None:
        """What was under way is done by Redis, or not."""
        with contextlib.suppress(RedisError, OSError):
            await self._redis.aclose()

    def _key_of(self, delivery: Delivery, place: int) -> bytes:
        key = self._key.fill(delivery.value, delivery.key, place=place)
        if key.startswith(POSITION_PREFIX):
            raise RecordRefused(f"the key {key[:80]!r} is one of riverrun's own", place=place)
        return key

    def _entry(self, delivery: Delivery, place: int) -> list[bytes | str]:
        """What the script is given of it."""
        mode, value = self._options.mode, delivery.value
        if mode == "list":
            return [content(value)]
        if mode == "stream":
            entry: list[bytes | str] = ["id", delivery.id]
            if delivery.key is not None:
                entry += ["key", delivery.key]
            return entry if value is None else [*entry, "value", content(value)]
        if value is None:
            return []
        return [content(value)] if mode == "set" else _fields(value, place)

    def _moved(self, position: Position, found: str) -> None:
        self._positions.pop(position.lane, None)
        raise Unreachable(
            f"redis {self._address}: {position.lane} is at {found} there, not at {position.begin}: "
            "somebody else has written, or it has lost what it acknowledged"
        )

    def _refusal(self, outcome: bytes, more: list[Any], keys: list[bytes]) -> Exception:
        place = int(more[0])
        key = keys[place].decode(errors="replace") if keys else "nothing"
        if outcome == b"right":
            return InvalidRoute(f"redis {self._address}: our user may not write {key!r}, or not its lane's position")
        what = f"redis {self._address}: {key!r} is a {more[1].decode()}, not a {self._options.mode}"
        return InvalidRoute(what) if self._key.fixed else RecordRefused(what, place=place)

    async def _check_memory(self) -> None:
        """InvalidRoute where a position could be evicted as any other key. Who may not ask is believed."""
        try:
            found = await answer(self._address, self._redis.info("memory"))
        except InvalidRoute as error:
            if isinstance(error.__cause__, NoPermissionError):
                found = {}
            else:
                raise
        policy = found.get("maxmemory_policy", "")
        if found.get("maxmemory") and policy.startswith("allkeys"):
            raise InvalidRoute(
                f"redis {self._address} evicts any key when its memory is full ({policy}), positions among them: "
                "it needs maxmemory-policy noeviction or volatile-*"
            )
        self._memory_checked = True


def content(value: Any) -> bytes:
    """Bytes as they are, else JSON."""
    return value if isinstance(value, bytes) else msgspec.json.encode(value)


def _fields(value: Any, place: int) -> list[bytes | str]:
    """Text as it is, else JSON; null is left out, as fields are that a record has not."""
    if not isinstance(value, dict):
        raise RecordRefused("a hash is made of a record with fields, which this is not", place=place)
    found: list[bytes | str] = []
    for name, field in value.items():
        if field is not None:
            found += [str(name), field if isinstance(field, str | bytes) else msgspec.json.encode(field)]
    return found


def _position_key(lane: str) -> bytes:
    return POSITION_PREFIX + lane.encode()
