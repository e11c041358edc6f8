"""Links while the cluster changes: nodes come, move and go, and one is started twice."""

import asyncio
from typing import Any, cast

from structlog.testing import capture_logs

from cluster.types import NodeId
from cluster.wire.runs import RETURNS_MAX, Runs
from cluster.world import Network
from tests.contracts.places import Place, in_both_worlds, until, within
from tests.wire.test_links import ONE, TWO, both_up, make_party, two


class Lingering:
    """A network whose channels take a moment to close, as one does that has old connections."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def listen(self, address: str, routes: Any, *, public: bool) -> Any:
        """See Network."""
        return self._network.listen(address, routes, public=public)

    def channel(self, address: str) -> Any:
        """See Network."""
        channel: Any = self._network.channel(address)
        close = channel.close

        async def lingering() -> None:
            await asyncio.sleep(0.01)
            await close()

        channel.close = lingering
        return channel


@in_both_worlds
async def test_a_node_that_goes_is_refused_and_one_that_comes_is_not(place: Place) -> None:
    """Its link goes down at once, and its tries are refused with what to do; named again, it is back."""
    one, other = await two(place)
    await until(both_up(one, other))
    with capture_logs() as logs:
        one.links.set_peers({})
        assert [("up", 102), ("down", 0)] == one.happened
        await until(lambda: any("riverrun cluster add" in entry.get("detail", "") for entry in logs))
    assert [] == one.links.peers()
    one.links.set_peers({TWO: other.listener.address})
    await until(both_up(one, other))


@in_both_worlds
async def test_a_node_that_moves_is_followed(place: Place) -> None:
    """The link to the old address is given up, and one to the new address comes up."""
    one, other = await two(place)
    await until(both_up(one, other))
    await other.stop()
    moved = await make_party(place, place.client, TWO, incarnation=202)
    moved.links.set_peers({ONE: one.listener.address})
    one.links.set_peers({TWO: moved.listener.address})
    await until(both_up(one, moved))

    assert ("up", 202) == one.happened[-1]


@in_both_worlds
async def test_of_two_processes_under_one_id_the_later_is_refused(place: Place) -> None:
    """They take turns until it is sure that both run; then the first one keeps its link, and the trace says it."""
    one, other = await two(place)
    await until(both_up(one, other))
    with capture_logs() as logs:
        twin = await make_party(place, place.client, TWO, incarnation=202)
        twin.links.set_peers({ONE: one.listener.address})
        await until(lambda: any("two processes run as node 2" in entry.get("detail", "") for entry in logs))
        await until(both_up(one, other))
    told = [entry for entry in logs if entry["event"] == "node_runs_twice"]
    assert [202] == [entry["refused"] for entry in told]
    assert ("up", 102) == one.happened[-1]


@in_both_worlds
async def test_links_that_change_while_they_are_closed_are_closed_all_the_same(place: Place) -> None:
    """A node that stops may hear of new nodes to the end: the rest of its stop was left out."""
    one = await make_party(place, cast("Network", Lingering(place.server)), ONE)
    others = {NodeId(number): await make_party(place, place.client, NodeId(number)) for number in (2, 3)}
    one.links.set_peers({node: other.listener.address for node, other in others.items()})
    for other in others.values():
        other.links.set_peers({ONE: one.listener.address})
    await until(both_up(*others.values()))
    closing = asyncio.ensure_future(one.links.close())
    await asyncio.sleep(0)
    one.links.set_peers({NodeId(4): others[TWO].listener.address})
    await within(closing)


def test_late_words_of_a_run_that_is_over_are_no_second_process() -> None:
    """A stream or two of the old one arrive after the new one's."""
    runs = Runs()
    for incarnation in (1, 1, 2, 1, 2):
        assert runs.opens(incarnation, other_is_heard=True)
    assert 0 == runs.refused
    for incarnation in [3, *[2, 3] * RETURNS_MAX]:
        runs.opens(incarnation, other_is_heard=True)
    assert 3 == runs.refused
    assert runs.opens(2, other_is_heard=True)
    assert not runs.opens(3, other_is_heard=True)
    assert runs.opens(3, other_is_heard=False), "the other one is gone"
