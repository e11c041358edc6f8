"""What nodes say of themselves, asked of all that matter at once; who does not answer in time is told, with why."""

import asyncio
from collections.abc import Callable, Collection

from cluster.broker.broker import Broker
from cluster.broker.explaining.looking import MS_PER_S, NS_PER_MS, Looking
from cluster.broker.forwarding import Forwarding, OwnCall
from cluster.broker.operations_service import STATES
from cluster.config import ExplainOptions
from cluster.errors import RiverrunError, Unsupported
from cluster.types import NodeId
from cluster.wire import api
from cluster.wire.api import explain_pb2
from cluster.world import Clock

LOOK_AT_NODE = "/riverrun.v1.ExplainService/LookAtNode"


class Asking:
    """From one node."""

    def __init__(
        self,
        *,
        broker: Broker,
        forwarding: Forwarding,
        looking: Looking,
        gone_s: Callable[[NodeId], float | None],
        clock: Clock,
        options: ExplainOptions,
    ) -> None:
        """`gone_s`: for how long another node has not been connected with this one; None: it is."""
        self._broker = broker
        self._forwarding = forwarding
        self._looking = looking
        self._gone_s = gone_s
        self._clock = clock
        self._options = options

    async def ask(
        self, nodes: Collection[NodeId], request: explain_pb2.LookAtNodeRequest
    ) -> list[explain_pb2.NodeLook]:
        """What these nodes see, by number. Followers that are behind are looked at twice, for how fast they are."""
        looks = await self._ask_all(sorted(nodes), request)
        behind = {look.node for look in looks if any(map(self._is_behind, _followers(look)))}
        if behind:
            first_s = asyncio.get_running_loop().time()
            await asyncio.sleep(self._options.look_again_s)
            again = {look.node: look for look in await self._ask_all(sorted(behind), request)}
            within_ms = int((asyncio.get_running_loop().time() - first_s) * MS_PER_S)
            looks = [_compared(look, again.get(look.node, look), within_ms) for look in looks]
        return looks

    def _is_behind(self, one: explain_pb2.FollowerLook) -> bool:
        """For longer than records are usually under way."""
        long_ms = self._options.behind_ms_min // 2
        return one.behind_entries > 0 and (one.reinstalling or one.silent or one.behind_ms >= long_ms)

    async def _ask_all(
        self, nodes: Collection[int], request: explain_pb2.LookAtNodeRequest
    ) -> list[explain_pb2.NodeLook]:
        looks = await asyncio.gather(*(self._ask(NodeId(node), request) for node in nodes))
        for look in looks:
            known = self._broker.directory.nodes.get(NodeId(look.node))
            if known is not None:
                look.state = STATES[known.state]
            gone_s = self._gone_s(NodeId(look.node))
            if gone_s is not None:
                look.gone_ms = int(gone_s * MS_PER_S)
        return list(looks)

    async def _ask(self, node: NodeId, request: explain_pb2.LookAtNodeRequest) -> explain_pb2.NodeLook:
        if node == self._broker.me:
            return await self._looking.look(request)
        wait_s = self._options.answer_wait_s_max
        began_s, began_ns = self._clock.monotonic_s(), self._clock.wall_ns()
        address = self._forwarding.address(node)
        if not address:
            return explain_pb2.NodeLook(node=node, silence="its address is not known here")
        try:
            async with asyncio.timeout(wait_s):
                data = request.SerializeToString()
                answer = await self._forwarding.call(address, LOOK_AT_NODE, data, OwnCall(wait_s))
            look = api.parse(explain_pb2.LookAtNodeResponse, answer).node
        except TimeoutError:
            return explain_pb2.NodeLook(node=node, silence=f"nothing came from {address} within {wait_s:g} s")
        except Unsupported:
            return explain_pb2.NodeLook(node=node, silence="it runs a version of riverrun that cannot be asked")
        except RiverrunError as error:
            return explain_pb2.NodeLook(node=node, silence=_refusal(address, error, wait_s))
        answer_ms = int((self._clock.monotonic_s() - began_s) * MS_PER_S)
        look.answer_ms = answer_ms
        look.clock_ahead_ms = (look.wall_ns - began_ns) // NS_PER_MS - answer_ms // 2
        return look


def _refusal(address: str, error: RiverrunError, wait_s: float) -> str:
    """In short: what gRPC says of a connection that fails is long, and says little."""
    if error.reason == "DEADLINE_EXCEEDED":
        return f"nothing came from {address} within {wait_s:g} s"
    return f"{address} cannot be reached ({error.reason.lower().replace('_', ' ')})"


def _followers(look: explain_pb2.NodeLook) -> list[explain_pb2.FollowerLook]:
    return [one for led in look.looks for one in led.followers]


def _compared(before: explain_pb2.NodeLook, look: explain_pb2.NodeLook, within_ms: int) -> explain_pb2.NodeLook:
    """The second look, with how far followers got since the first."""
    if look.silence:
        return before
    matched = {
        (led.topic, led.partition, one.replica): led.last_index - one.behind_entries
        for led in before.looks
        for one in led.followers
    }
    for led in look.looks:
        for one in led.followers:
            known = matched.get((led.topic, led.partition, one.replica))
            if known is not None and one.behind_entries:
                one.moved_entries = max(led.last_index - one.behind_entries - known, 0)
                one.moved_within_ms = within_ms
    return look
