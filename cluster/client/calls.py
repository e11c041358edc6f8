"""Requests with one answer, to whichever node answers: any node takes any of them and forwards what it must.

What is repeated, and when: a request of which nothing was done goes to the next node after a short wait, until the
time is up. A request whose outcome is unknown is repeated only if its caller said that repeating it is harmless.
"""

import asyncio
from collections.abc import Collection, Sequence

from cluster.client.backoff import Backoff
from cluster.client.servers import Servers
from cluster.config import ClientOptions
from cluster.errors import DeadlineExceeded, Outcome, OutcomeUnknown, RiverrunError, Untrusted
from cluster.wire import api
from cluster.wire.api import cluster_pb2
from cluster.world import Channel, Network, Random

GET_CLUSTER = "/riverrun.v1.ClusterService/GetCluster"
TRIES_PER_TIMEOUT = 3
"""A repeatable request gives a silent node this share of its time, so that another one can still be asked."""


class Calls:
    """The nodes that this client knows, one channel for each, and requests to any of them."""

    def __init__(self, network: Network, servers: Sequence[str], options: ClientOptions, random: Random) -> None:
        self._network = network
        self._servers = Servers(servers)
        self._options = options
        self._random = random
        self._channels: dict[str, Channel] = {}
        self._dropped: dict[str, float] = {}
        """Addresses with a channel that are not asked any more, and since when."""
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def servers(self) -> tuple[str, ...]:
        """The addresses that were given and those that were learned, in the end those that are asked last."""
        return self._servers.all

    def learn(self, addresses: Sequence[str]) -> None:
        """More nodes of the same cluster."""
        self._servers.learn(addresses)

    def name(self, version: int, addresses: Sequence[str]) -> None:
        """All nodes of the cluster, as of its decision of that number: others are asked no longer (see `Servers`).

        What is under way to them is not cut: their channels are closed when they have been of no use for a while.
        """
        self._servers.name(version, [address for address in addresses if address])
        now_s, known = asyncio.get_running_loop().time(), self.servers
        self._dropped = {other: self._dropped.get(other, now_s) for other in self._channels if other not in known}
        for address, since_s in list(self._dropped.items()):
            if now_s - since_s >= self._options.metadata_age_s_max:
                del self._dropped[address]
                closing = asyncio.create_task(self._channels.pop(address).close(), name=f"leave {address}")
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

    def have_all_said(self, some: Collection[str]) -> bool:
        """Whether these are all that would be asked."""
        return not self._servers.all_but(some)

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
        self._servers.pass_over()

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
        node has said it that the cluster does not take for dead: news of a new topic may not have reached all of them
        yet. Nor is Untrusted believed of one node, whose certificate alone may be amiss. Where the last node that was
        asked says nothing, the error has what another one said.
        """
        loop = asyncio.get_running_loop()
        total_s = self._options.request_timeout_s if timeout_s is None else timeout_s
        end_s = loop.time() + total_s
        backoff, doubts = self.backoff(), _Doubts(doubt)
        lost, said = False, ""
        while True:
            left_s = end_s - loop.time()
            address = self._servers.current
            share_s = max(total_s / TRIES_PER_TIMEOUT, 0.1) if repeatable and len(self.servers) > 1 else left_s
            try:
                answer = await self.channel(address).call(method, request, timeout_s=min(left_s, share_s))
            except RiverrunError as caught:
                error, silent = caught, _is_silence(caught)
            else:
                self._servers.answered(address)
                return answer
            has_left = silent and self._servers.silent(address)
            if not silent and error.outcome is not Outcome.UNKNOWN:
                self._servers.answered(address)
            doubted = doubts.heard(address, error, silent=silent)
            final = self.have_all_said(doubts.doubters) if doubted else _is_final(error, repeatable=repeatable)
            wait_s = 0.0 if doubted or final else backoff.next_s()
            if not final and doubts.refusal is not None and self.have_all_said(doubts.doubters | doubts.silent):
                dead = await self._dead(doubts, min(end_s - loop.time(), share_s))
                if self.have_all_said(doubts.doubters | dead):
                    error, silent, final = doubts.refusal, False, True
            if final or loop.time() + wait_s >= end_s:
                raise _told(error, lost=lost and changes, said=said if silent else "")
            lost = lost or error.outcome is Outcome.UNKNOWN
            said = said if silent else error.message
            if not has_left:
                self.pass_over()
            await asyncio.sleep(wait_s)

    async def _dead(self, doubts: "_Doubts", timeout_s: float) -> frozenset[str]:
        """Those of the nodes that are there who need not be waited for, by the word of one that answers."""
        doubts.silent.clear()  # whoever says nothing once more is asked about once more
        try:
            answer = await self.channel(doubts.witness).call(GET_CLUSTER, b"", timeout_s=max(timeout_s, 0.0))
        except RiverrunError:
            return frozenset()
        cluster = api.parse(cluster_pb2.GetClusterResponse, answer)
        self.name(cluster.metadata_version, [node.client_address for node in cluster.nodes])
        alive = cluster_pb2.NODE_STATE_ALIVE
        return frozenset(node.client_address for node in cluster.nodes if node.state != alive and not cluster.trouble)

    async def close(self) -> None:
        """Close every channel."""
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            await channel.close()
        await asyncio.gather(*self._closing)


class _Doubts:
    """Who has said, in the course of one request, what is not believed of one node alone."""

    def __init__(self, doubt: type[RiverrunError] | None) -> None:
        self._doubt = doubt
        self.doubters: set[str] = set()
        self.silent: set[str] = set()
        """Who has said nothing."""
        self.refusal: RiverrunError | None = None
        """What was said last of what the caller doubts …"""
        self.witness = ""
        """… and by whom."""

    def heard(self, address: str, error: RiverrunError, *, silent: bool) -> bool:
        """Whether it is doubted."""
        if silent:
            self.silent.add(address)
            return False
        if self._doubt is not None and isinstance(error, self._doubt):
            self.refusal, self.witness = error, address
        elif not isinstance(error, Untrusted):
            return False
        self.doubters.add(address)
        return True


def _is_final(error: RiverrunError, *, repeatable: bool) -> bool:
    return not error.retry or (error.outcome is Outcome.UNKNOWN and not repeatable)


def _told(error: RiverrunError, *, lost: bool, said: str) -> RiverrunError:
    """The error as its caller gets it. `lost`: an answer was, before. `said`: by another node, before this silence."""
    told = error.message + (f"; before, a node said: {said}" if said else "")
    told_error = error
    if lost and error.outcome is Outcome.NOTHING:
        told_error = OutcomeUnknown(f"an answer was lost, then: {told}", **error.metadata)
    elif said:
        told_error = type(error)(told, **error.metadata)
    if told_error is not error:
        told_error.__cause__ = error
    return told_error


def _is_silence(error: RiverrunError) -> bool:
    """Whether no node said it: it was not reached, or did not answer in time."""
    return isinstance(error, DeadlineExceeded) or error.metadata.get("reached") == "no"
