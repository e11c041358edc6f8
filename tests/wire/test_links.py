"""Links between two nodes, over real gRPC and in the simulated world: who may come in, what goes down, what arrives."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from cluster.config import LinkOptions
from cluster.errors import InvalidRequest, NodeRemoved, RefusedToStart, Unavailable
from cluster.real.clock import RealClock
from cluster.real.disk import RealDisk
from cluster.real.network import RealNetwork
from cluster.types import ClusterId, Lane, NodeId
from cluster.wire.links import EXCHANGE, Links
from cluster.wire.peer import PeerMessage, QuorumEnvelope, decode_exchange
from cluster.world import MESSAGE_BYTES_MAX, Listener, Network
from tests.certificates import CLUSTER, node_tls, shared_authority
from tests.contracts.places import Place, on_all_networks, until, within

MIB = 1024 * 1024
ONE, TWO = NodeId(1), NodeId(2)
OPTIONS = LinkOptions(keepalive_s=0.02, lost_after_s=0.2, reconnect_s_min=0.01, reconnect_s_max=0.02)


class Tries(random.Random):
    """Counts: each try to connect draws once how long to wait before the next."""

    count = 0

    def random(self) -> float:
        """See random."""
        self.count += 1
        return super().random()


@dataclass
class Party:
    """One node's links, and what they told it."""

    links: Links
    listener: Listener
    happened: list[tuple[str, int]] = field(default_factory=list)
    received: list[PeerMessage] = field(default_factory=list)
    work: "list[asyncio.Task[None]]" = field(default_factory=list)

    async def stop(self) -> None:
        """As a process that ends: its tasks, then its connections."""
        for task in self.work:
            task.cancel()
        await asyncio.gather(*self.work, return_exceptions=True)
        await self.links.close()
        await self.listener.close(0)


async def make_party(place: Place, network: Network, me: NodeId, address: str = "", **different: Any) -> Party:
    """A node that listens, with links to nobody yet."""
    party: Party

    def spawn(work: Coroutine[Any, Any, None], *, name: str) -> "asyncio.Task[None]":
        party.work.append(asyncio.create_task(work, name=name))
        return party.work[-1]

    arguments = {"cluster_id": CLUSTER, "secret": b"secret", "incarnation": 100 + me, "options": OPTIONS}
    arguments |= {"refuse_gone": lambda _: None}
    links = Links(
        network=network,
        clock=place.clock,
        random=Tries(me),
        me=me,
        spawn=spawn,
        on_message=lambda _, message: party.received.append(message),
        on_up=lambda _, incarnation: party.happened.append(("up", incarnation)),
        on_down=lambda _: party.happened.append(("down", 0)),
        **arguments | different,
    )
    party = Party(links, await network.listen(address or place.any_port, links.routes(), public=False))
    place.closes(party.stop)
    return party


async def two(place: Place, **different: Any) -> tuple[Party, Party]:
    """Nodes one and two, who know each other; `different`: how the second differs."""
    one = await make_party(place, place.server, ONE)
    other = await make_party(place, place.client, TWO, **different)
    one.links.set_peers({TWO: other.listener.address})
    other.links.set_peers({ONE: one.listener.address})
    return one, other


def said(body: bytes) -> QuorumEnvelope:
    """Something to send."""
    return QuorumEnvelope(configuration=1, body=body)


def both_up(*parties: Party) -> Callable[[], bool]:
    """Whether each has its link."""
    return lambda: all(party.happened[-1:] and party.happened[-1][0] == "up" for party in parties)


@on_all_networks
async def test_a_link_is_up_when_both_directions_work(place: Place) -> None:
    """Each side hears of it once, with the other's incarnation; before, nothing can be sent."""
    one = await make_party(place, place.server, ONE)
    other = await make_party(place, place.client, TWO)
    other.links.set_peers({ONE: one.listener.address})
    message = said(b"x")
    assert not other.links.send(ONE, message, Lane.CONTROL)
    one.links.set_peers({TWO: other.listener.address})
    await until(both_up(one, other))

    assert [("up", 102)] == one.happened
    assert [("up", 101)] == other.happened
    assert other.links.is_up(ONE)


@on_all_networks
async def test_messages_arrive_once_and_in_order(place: Place) -> None:
    """A thousand on one lane, with pauses of a turn between them."""
    one, other = await two(place)
    await until(both_up(one, other))
    for number in range(1000):
        assert other.links.send(ONE, said(b"%d" % number), Lane.CONTROL)
        if number % 7 == 0:
            await asyncio.sleep(0)
    await until(lambda: len(one.received) == 1000)

    assert [said(b"%d" % number) for number in range(1000)] == one.received


@on_all_networks
async def test_what_one_turn_queues_arrives_though_it_is_more_than_one_message_holds(place: Place) -> None:
    """A follower behind on many partitions: in one message it is refused, and so again after each new connection."""
    options = replace(OPTIONS, lost_after_s=30.0)  # a loop that copies so much is no silence
    one = await make_party(place, place.server, ONE, options=options)
    other = await make_party(place, place.client, TWO, options=options)
    one.links.set_peers({TWO: other.listener.address})
    other.links.set_peers({ONE: one.listener.address})
    await until(both_up(one, other))
    bodies = [letter * (12 * MIB) for letter in (b"a", b"b", b"c", b"d")]
    assert sum(map(len, bodies)) > MESSAGE_BYTES_MAX
    for body in bodies:
        assert other.links.send(ONE, said(body), Lane.BULK)
    await until(lambda: len(one.received) == len(bodies) or ("down", 0) in other.happened)

    assert [body[:1] for body in bodies] == [cast("QuorumEnvelope", message).body[:1] for message in one.received]
    assert ("down", 0) not in other.happened


@on_all_networks
async def test_a_full_queue_refuses(place: Place) -> None:
    """What is not sent yet is bounded; Raft sends again what was refused."""
    one, other = await two(place, options=replace(OPTIONS, queue_bytes_max=1000))
    await until(both_up(one, other))

    assert other.links.send(ONE, said(b"x" * 600), Lane.BULK)
    assert not other.links.send(ONE, said(b"x" * 600), Lane.BULK)
    await until(lambda: len(one.received) == 1)
    assert other.links.send(ONE, said(b"x" * 600), Lane.BULK)


@pytest.mark.parametrize(
    ("different", "says"),
    [
        ({"cluster_id": ClusterId(b"d" * 16)}, "node 2 belongs to another cluster than node 1"),
        ({"secret": b"guess"}, "node 2 does not know this cluster's secret"),
        (
            {"options": replace(OPTIONS, protocol_min=3, protocol_max=4)},
            "node 2 speaks protocol 3 to 4, node 1 1 to 2: upgrade the older one",
        ),
    ],
    ids=["another cluster", "another secret", "another version"],
)
def test_who_does_not_belong_here_gets_no_link(tmp_path: Path, different: dict[str, Any], says: str) -> None:
    """Each side says why in one warning, however often it tries; nothing is ever sent."""

    @on_all_networks
    async def refused(place: Place) -> None:
        await check_refused(await two(place, **different), says)

    for world in ("sim", "real", "tls"):
        refused(world, tmp_path)


async def check_refused(parties: tuple[Party, Party], says: str) -> None:
    """Neither gets through, and each says so once for each lane."""
    one, other = parties
    with capture_logs() as logs:
        await until(lambda: min(party.links.random.count for party in parties) >= 10)

    assert says in {entry.get("detail") for entry in logs}
    warnings = sorted((entry["peer"], entry["lane"]) for entry in logs if entry["log_level"] == "warning")
    assert [(ONE, "BULK"), (ONE, "CONTROL"), (TWO, "BULK"), (TWO, "CONTROL")] == warnings
    assert [] == one.happened + other.happened
    assert not other.links.send(ONE, said(b"x"), Lane.CONTROL)


@pytest.mark.parametrize(
    ("tls", "says"),
    [
        (lambda: node_tls(shared_authority(), 3), "who says to be node 2 shows a certificate of somebody else: "),
        (lambda: None, "speaks TLS, and was spoken to in plain text"),
    ],
    ids=["a certificate of node 3", "no TLS"],
)
async def test_who_shows_a_wrong_certificate_gets_no_link(tmp_path: Path, tls: Callable, says: str) -> None:
    """Whatever it says, and though it knows the secret. What node one meets at the other is wrong as well."""
    disk = RealDisk(tmp_path / "data")
    first = RealNetwork(node_tls(shared_authority(), 1))
    place = Place(
        name="real",
        server=first,
        client=RealNetwork(tls()),
        clock=RealClock(),
        disk=disk,
        any_port="127.0.0.1:0",
        short_s=0.05,
    )
    try:
        one, other = await two(place)
        with capture_logs() as logs:
            await until(lambda: other.links.random.count >= 10)
        said_of_one = [entry["detail"] for entry in logs if entry.get("peer") == ONE and "detail" in entry]
        assert 2 == len([detail for detail in said_of_one if says in detail])
        assert [] == one.happened + other.happened
    finally:
        await place.close()
        disk.close()


@on_all_networks
async def test_the_first_message_says_who_speaks(place: Place) -> None:
    """Without a hello, with one for another node, or from a node that is no peer: a typed error."""
    one, _ = await two(place)
    stranger = await make_party(place, place.client, NodeId(3))
    channel = place.channel(one.listener.address)
    for hello, error, says in (
        (None, InvalidRequest, "must be a hello"),
        (stranger.links.hello(TWO, Lane.BULK), RefusedToStart, "means to reach node 2; this is node 1"),
        (stranger.links.hello(ONE, Lane.BULK), InvalidRequest, "node 3 is no peer of node 1"),
    ):
        stream = channel.stream(EXCHANGE)
        await stream.send(stranger.links.encode([], hello))
        with pytest.raises(error, match=says):
            await within(stream.receive())
        stream.cancel()


@on_all_networks
async def test_a_node_that_was_removed_ends_once(place: Place) -> None:
    """Both of its lanes are told; one of them fails with what the peer says, the other goes on trying."""

    def refuse_gone(node: NodeId) -> None:
        raise NodeRemoved(f"node {node} was removed")

    one = await make_party(place, place.server, ONE, refuse_gone=refuse_gone)
    other = await make_party(place, place.client, TWO)
    other.links.set_peers({ONE: one.listener.address})
    await until(lambda: any(task.done() for task in other.work))
    tried = other.links.random.count
    await until(lambda: other.links.random.count >= tried + 5)

    ended = [task.exception() for task in other.work if task.done()]
    assert ["node 2 was removed"] == [str(error) for error in ended if isinstance(error, RefusedToStart)]
    assert 1 == len(ended)
    assert [] == one.happened + other.happened


@on_all_networks
async def test_a_peer_that_was_started_again_goes_down_and_comes_up(place: Place) -> None:
    """A new incarnation at the same address: nothing of the earlier one can arrive after it."""
    one, other = await two(place)
    await until(both_up(one, other))
    await other.stop()
    await until(lambda: one.happened[-1][0] == "down")
    again = await make_party(place, place.client, TWO, address=other.listener.address, incarnation=202)
    again.links.set_peers({ONE: one.listener.address})
    await until(both_up(one, again))

    assert [("up", 102), ("down", 0), ("up", 202)] == one.happened


class Swallowing:
    """A network whose streams, once told to, swallow what is sent on one lane, as one does that waits for the rest."""

    def __init__(self, network: Network, lane: Lane) -> None:
        self._network = network
        self._lane = lane
        self.swallows = False
        self.opened = 0

    def listen(self, address: str, routes: Any, *, public: bool) -> Any:
        """See Network."""
        return self._network.listen(address, routes, public=public)

    def channel(self, address: str) -> Any:
        """See Network."""
        channel, outer = self._network.channel(address), self

        class Switched:
            """Its channel."""

            close = channel.close

            def stream(self, method: str) -> Any:
                """See Channel."""
                stream = channel.stream(method)
                send, sent, lanes = stream.send, [0], []

                async def maybe(message: bytes) -> None:
                    if not sent[0]:
                        hello = decode_exchange(message).hello
                        assert hello is not None
                        lanes.append(hello.lane)
                        outer.opened += hello.lane is outer._lane
                    sent[0] += 1
                    if not (outer.swallows and lanes[0] is outer._lane and outer.opened == 1):
                        await send(message)

                stream.send = maybe  # type: ignore[method-assign]
                return stream

        return Switched()


@on_all_networks
async def test_a_lane_that_swallows_what_is_sent_is_opened_anew(place: Place) -> None:
    """The other lane is heard all the time, so only that lane's silence tells (scenario packets, seed 13)."""
    network = Swallowing(place.client, Lane.CONTROL)
    options = replace(OPTIONS, control_silent_s_max=0.5)
    one = await make_party(place, place.server, ONE, options=options)
    other = await make_party(place, cast("Network", network), TWO, options=options)
    one.links.set_peers({TWO: other.listener.address})
    other.links.set_peers({ONE: one.listener.address})
    await until(both_up(one, other))
    network.swallows = True
    await until(lambda: ("down", 0) in one.happened and both_up(one, other)())
    assert other.links.send(ONE, said(b"again"), Lane.CONTROL)
    await until(lambda: one.received == [said(b"again")])

    assert 2 == network.opened


class OneSided:
    """A network whose streams, once told to, end for whoever opened them, and for nobody else."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._open: list[asyncio.Future[None]] = []

    def listen(self, address: str, routes: Any, *, public: bool) -> Any:
        """See Network."""
        return self._network.listen(address, routes, public=public)

    def break_all(self) -> None:
        """The other side does not hear of it."""
        while self._open:
            self._open.pop().set_result(None)

    def channel(self, address: str) -> Any:
        """See Network."""
        channel, outer = self._network.channel(address), self

        class Switched:
            """Its channel."""

            close = channel.close

            def stream(self, method: str) -> Any:
                """See Channel."""
                stream = channel.stream(method)
                receive, cancel, broken = stream.receive, stream.cancel, asyncio.get_running_loop().create_future()
                outer._open.append(broken)

                async def received() -> bytes | None:
                    coming = asyncio.ensure_future(receive())
                    await asyncio.wait([coming, broken], return_when=asyncio.FIRST_COMPLETED)
                    if broken.done():
                        raise Unavailable("the connection was lost")
                    return await coming

                stream.receive = received  # type: ignore[method-assign]
                stream.cancel = lambda: None if broken.done() else cancel()  # type: ignore[method-assign]
                return stream

        return Switched()


@on_all_networks
async def test_a_break_that_one_side_alone_notices_is_one_break(place: Place) -> None:
    """Both open their lanes anew, once: what the first to notice has opened since counts for the other one, too."""
    network = OneSided(place.client)
    one = await make_party(place, place.server, ONE)
    other = await make_party(place, cast("Network", network), TWO)
    one.links.set_peers({TWO: other.listener.address})
    other.links.set_peers({ONE: one.listener.address})
    await until(both_up(one, other))
    for _ in range(5):
        one.happened.clear()
        other.happened.clear()
        network.break_all()
        await asyncio.sleep(0.5)
        assert ["down", "up"] == [what for what, _ in other.happened]
        assert ["down", "up"] == [what for what, _ in one.happened]
