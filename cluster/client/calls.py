"""Requests with one answer, to whichever node answers: any node takes any of them and forwards what it must.

What is repeated, and when: a request of which nothing was done goes to the next node after a short wait, until the
time is up. A request whose outcome is unknown is repeated only if its caller said that repeating it is harmless.
"""

import asyncio
from collections.abc import Sequence

from cluster.client.backoff import Backoff
from cluster.config import ClientOptions
from cluster.errors import DeadlineExceeded, Outcome, OutcomeUnknown, RiverrunError, Untrusted
from cluster.world import Channel, Network, Random

TRIES_PER_TIMEOUT = 3
"""A repeatable request gives a silent node this share of its time, so that another one can still be asked."""


class Calls:
    """The nodes that this client knows, one channel for each, and requests to any of them."""

    def __init__(self, network: Network, servers: Sequence[str], options: ClientOptions, random: Random) -> None:
        self._network = network
        self._servers = list(dict.fromkeys(servers))
        self._options = options
        self._random = random
        self._current = 0
        self._channels: dict[str, Channel] = {}

    @property
    def servers(self) -> tuple[str, ...]:
        """The addresses that were given and those that were learned."""
        return tuple(self._servers)

    def learn(self, addresses: Sequence[str]) -> None:
        """More nodes of the same cluster."""
        self._servers += [address for address in dict.fromkeys(addresses) if address not in self._servers]

    def channel(self, address: str) -> Channel:
        """The channel to a node; made when first asked for, shared by all who talk to that node.

        The node is one of those that can be asked anything from now on: the ones that were given may all go.
        """
        channel = self._channels.get(address)
        if channel is None:
            self.learn([address])
            channel = self._channels[address] = self._network.channel(address)
        return channel

    def pass_over(self) -> None:
        """The node that answered last answers, and is of no help: the next request goes to the next one."""
        self._current = (self._current + 1) % len(self._servers)

    def backoff(self) -> Backoff:
        """The waits of something that is tried again."""
        return Backoff(self._options.retry_s_min, self._options.retry_s_max, self._random)

    async def call(
        self,
        method: str,
        request: bytes,
        *,
        timeout_s: float | None = None,
        repeatable: bool,
        doubt: type[RiverrunError] | None = None,
        changes: bool = False,
    ) -> bytes:
        """The answer of whichever node gives one.

        `changes`: a refusal that follows a lost answer is OutcomeUnknown, for what was lost may have been done.
        `timeout_s` None: `ClientOptions.request_timeout_s`. An error of class `doubt` is believed only after every
        node that could be asked has said it: news of a new topic may not have reached all of them yet. Nor is Untrusted
        believed of one node, whose certificate alone may be amiss. Where the last node that was asked says nothing, the
        error has what another one said.
        """
        loop = asyncio.get_running_loop()
        total_s = self._options.request_timeout_s if timeout_s is None else timeout_s
        end_s = loop.time() + total_s
        backoff = self.backoff()
        doubters: set[str] = set()
        lost, said = False, ""
        while True:
            left_s = end_s - loop.time()
            address = self._servers[self._current % len(self._servers)]
            share_s = max(total_s / TRIES_PER_TIMEOUT, 0.1) if repeatable and len(self._servers) > 1 else left_s
            try:
                return await self.channel(address).call(method, request, timeout_s=min(left_s, share_s))
            except RiverrunError as error:
                doubted = isinstance(error, Untrusted if doubt is None else (doubt, Untrusted))
                if doubted:
                    doubters.add(address)
                    final = doubters.issuperset(self._servers)
                else:
                    final = not error.retry or (error.outcome is Outcome.UNKNOWN and not repeatable)
                wait_s = 0.0 if doubted or final else backoff.next_s()
                if final or loop.time() + wait_s >= end_s:
                    told = error.message
                    if said and _is_silence(error):
                        told += f"; before, a node said: {said}"
                    if lost and changes and error.outcome is Outcome.NOTHING:
                        raise OutcomeUnknown(f"an answer was lost, then: {told}", **error.metadata) from error
                    if told != error.message:
                        raise type(error)(told, **error.metadata) from error
                    raise
                lost = lost or error.outcome is Outcome.UNKNOWN
                said = said if _is_silence(error) else error.message
                self.pass_over()
                await asyncio.sleep(wait_s)

    async def close(self) -> None:
        """Close every channel."""
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            await channel.close()


def _is_silence(error: RiverrunError) -> bool:
    """Whether no node said it: it was not reached, or did not answer in time."""
    return isinstance(error, DeadlineExceeded) or error.metadata.get("reached") == "no"
