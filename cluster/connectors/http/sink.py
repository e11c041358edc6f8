"""Records POSTed to others, several at once, those of one key in their order.

An answer of 2xx means that it is there. 408, 425, 429 and 5xx mean later; 400, 409, 413, 415, 422 and their like that
this record is not wanted; 401, 403, 404, 405 and 410 that the route is not as it should be. Those that were taken are
remembered by the process, so that they are not sent again when one of their batch was refused, nor when the batch took
longer than a write may: the next sink begins it anew, and gets further.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import httpx2
import msgspec

from cluster.connectors.clock import wall_ns
from cluster.connectors.contract import Delivery, Position
from cluster.connectors.durations import duration_s
from cluster.connectors.http.options import WebhookTarget
from cluster.connectors.http.signatures import key_of, signed
from cluster.errors import InvalidRoute, RecordRefused, Unreachable

LATER = frozenset({408, 425, 429})
MISTAKEN = frozenset({401, 403, 404, 405, 407, 410})
SAID_CHARS_MAX = 200
TAKEN_MAX = 10_000
TAKEN: dict[tuple[str, str], None] = {}
"""The last ones of this process: where they went, and their ids."""
NS_PER_S = 10**9


class WebhookSink:
    """See Sink."""

    def __init__(self, options: WebhookTarget) -> None:
        self._options = options
        self._where = options.summary
        self._key = key_of(options.secret) if options.secret else b""
        self._client: httpx2.AsyncClient | None = None

    async def last_position(self, lane: str) -> int | None:  # noqa: ARG002  nobody keeps it
        """See Sink."""
        return None

    async def write(self, batch: Sequence[Delivery], position: Position) -> bool:  # noqa: ARG002  as above
        """See Sink."""
        chains: dict[object, list[int]] = defaultdict(list)
        for place, delivery in enumerate(batch):
            chains[place if delivery.key is None else delivery.key].append(place)
        room = asyncio.Semaphore(self._options.concurrency)
        refused: list[RecordRefused] = []
        try:
            async with asyncio.TaskGroup() as group:
                for places in chains.values():
                    group.create_task(self._chain(batch, places, room, refused))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        if refused:
            raise min(refused, key=lambda each: each.place)
        return True

    async def settle(self) -> None:
        """See Sink: nothing is held."""

    async def close(self) -> None:
        """See Sink."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _chain(
        self, batch: Sequence[Delivery], places: list[int], room: asyncio.Semaphore, refused: list[RecordRefused]
    ) -> None:
        for place in places:
            taken = (self._options.url, batch[place].id)
            if taken in TAKEN:
                continue
            async with room:
                if refused:
                    return
                try:
                    await self._post(batch[place], place)
                except RecordRefused as error:
                    refused.append(error)
                    return
                TAKEN[taken] = None
                if len(TAKEN) > TAKEN_MAX:
                    del TAKEN[next(iter(TAKEN))]

    async def _post(self, delivery: Delivery, place: int) -> None:
        options = self._options
        if self._client is None:
            self._client = httpx2.AsyncClient(timeout=duration_s(options.timeout, "timeout"))
        raw = isinstance(delivery.value, bytes)
        body = delivery.value if raw else msgspec.json.encode(delivery.value)
        headers = {
            "content-type": "application/octet-stream" if raw else "application/json",
            "idempotency-key": delivery.id,
            **({} if delivery.key is None else {"riverrun-key": delivery.key.decode(errors="backslashreplace")}),
            **(signed(self._key, delivery.id, body, wall_ns() // NS_PER_S) if self._key else {}),
            **options.headers,
        }
        try:
            answer = await self._client.request(options.method, options.url, content=body, headers=headers)
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise InvalidRoute(f"{self._where}: {error}") from error
        except httpx2.HTTPError as error:
            raise Unreachable(f"{self._where}: {type(error).__name__}: {error}".rstrip(": ")) from error
        self._judge(answer, place)

    def _judge(self, answer: httpx2.Response, place: int) -> None:
        status = answer.status_code
        if 200 <= status < 300:
            return
        words = " ".join(answer.text[: SAID_CHARS_MAX * 2].split())[:SAID_CHARS_MAX]
        said = f"{self._where} answers {status}" + (f": {words}" if words else "")
        if status in LATER or status >= 500:
            raise Unreachable(said)
        if status in MISTAKEN or status < 400:
            raise InvalidRoute(said)
        raise RecordRefused(said, place=place)
