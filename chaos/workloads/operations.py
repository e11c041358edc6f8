"""An operator at work while others load the cluster: nodes are added, drained, replaced and restarted.

Each thing that is done is an operation of the history; what is refused or fails on the way is tried again until its
bound, and told. A step that has begun is done whole; when the run's time is over the next one does not begin.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar

from chaos.arenas.arena import Arena
from chaos.checkers.anomaly import Anomaly
from chaos.checkers.changes import BEGAN, LEFT, SETTLED, check_changes
from chaos.history import Event, History, Kind
from chaos.workloads.outcomes import kind_of, reason_of
from cluster.client.views import ClusterView
from cluster.config import ClientOptions
from cluster.errors import RiverrunError, Unavailable

OPERATOR = "operator"
LOOK_S = 0.3
SETTLED_LOOKS = 3
"""So many in a row: each may be another node's answer."""
REQUEST_S = 5.0


class OperationsWorkload:
    """See `Workload`."""

    name: ClassVar[str] = "operations"
    options: ClassVar[Mapping[str, Any]] = {
        "steps": ["add", "add", "drain", "drain", "replace", "restart"],
        "shuffled": False,
        "begin_s": 5.0,
        "pause_s": 1.0,
        "calm_s_max": 20.0,
        "step_s_max": 90.0,
        "settle_s_max": 90.0,
        "strict": False,
    }
    """`steps` in their order, unless `shuffled`: then it is drawn, and so is whom each is done to, else the node that
    came first. `restart` is of all, one by one. `calm_s_max`: how long moves are waited for after a step.
    `strict`: every step has to be done, and accepted at once."""

    def __init__(self, arena: Arena, history: History, options: Mapping[str, Any]) -> None:
        self._arena = arena
        self._history = history
        self._options = {**self.options, **options}
        self._stopping = False
        self._client = arena.client(OPERATOR, ClientOptions(request_timeout_s=REQUEST_S))
        self._refused: list[tuple[str, str]] = []

    @property
    def topics(self) -> Sequence[str]:
        """None of its own."""
        return []

    async def prepare(self) -> None:
        """Who is there at first."""
        self._history.end(0, OPERATOR, Kind.OK, BEGAN, self._arena.now_s(), nodes=list(self._arena.nodes))

    def stop(self) -> None:
        """See Workload."""
        self._stopping = True

    @classmethod
    def judge(cls, events: Sequence[Event], options: Mapping[str, Any]) -> list[Anomaly]:
        """See Workload."""
        return check_changes(events, strict={**cls.options, **options}["strict"])

    async def run(self) -> None:
        """Step after step."""
        await asyncio.sleep(self._options["begin_s"])
        left = self._order()
        while left and not self._stopping:
            match left[0]:
                case "add":
                    await self._add()
                case "drain":
                    await self._drain(self._whom())
                case "replace":
                    await self._replace(self._whom())
                case "restart":
                    await self._restart_all()
                case other:
                    raise ValueError(f"there is no step called {other!r}")
            if self._stopping and left[0] == "restart":
                break
            left.pop(0)
            await asyncio.sleep(self._options["pause_s"])
        if left:
            self._history.end(0, OPERATOR, Kind.OK, LEFT, self._arena.now_s(), steps=left)

    def _order(self) -> list[str]:
        """All steps; however they are drawn, no node is drained before another one was added in its stead."""
        steps, chance = list(self._options["steps"]), self._arena.random
        if not self._options["shuffled"]:
            return steps
        drawn: list[str] = []
        while steps:
            spare = drawn.count("add") - drawn.count("drain")
            may = [step for step in steps if step != "drain" or spare > 0] or steps
            drawn.append(chance.choice(may))
            steps.remove(drawn[-1])
        return drawn

    def _whom(self) -> int:
        on = self._arena.machines.on
        return self._arena.random.choice(on) if self._options["shuffled"] else on[0]

    # --- steps

    async def _add(self) -> int | None:
        async def work() -> dict[str, Any]:
            return {"node": await self._arena.machines.add()}

        done = await self._do("add", work)
        await self._calm()
        return done["node"] if done is not None else None

    async def _drain(self, node: int) -> None:
        async def drain() -> dict[str, Any]:
            await self._decide(lambda: self._client.drain_node(node))
            view = await self._until(lambda view: _holds_nothing(view, node))
            return {"version": view.metadata_version}

        async def remove() -> dict[str, Any]:
            await self._decide(lambda: self._client.remove_node(node), lambda view: _is_gone(view, node))
            return {}

        if await self._do("drain", drain, node=node) is None:
            return
        if await self._do("remove", remove, node=node) is not None:
            await self._arena.machines.switch_off(node)
            await self._calm()

    async def _replace(self, node: int) -> None:
        machines = self._arena.machines

        async def work() -> dict[str, Any]:
            await machines.wipe(node)
            new = await machines.add()
            await self._decide(
                lambda: self._client.replace_node(node, replacement=new), lambda view: _is_gone(view, node)
            )
            await self._until(lambda view: _is_gone(view, node))
            return {"replacement": new}

        await self._do("replace", work, node=node)
        await self._calm()

    async def _restart_all(self) -> None:
        for node in list(self._arena.machines.on):
            if self._stopping:
                return

            async def work(node: int = node) -> dict[str, Any]:
                await self._arena.machines.restart(node)
                return {}

            await self._do("restart", work, node=node)
            await self._calm()

    # --- how

    async def _do(self, name: str, work: Callable[[], Awaitable[dict[str, Any]]], **said: Any) -> dict[str, Any] | None:
        """One operation; None if it was refused, or did not come to its end."""
        number = self._history.invoke(OPERATOR, name, self._arena.now_s(), **said)
        self._refused = []
        try:
            async with asyncio.timeout(self._options["step_s_max"]):
                told = await work()
        except (RiverrunError, RuntimeError, TimeoutError) as error:
            end = {**said, "error": reason_of(error), "detail": str(error), "refused": self._refused}
            self._history.end(number, OPERATOR, kind_of(error), name, self._arena.now_s(), **end)
            return None
        self._history.end(number, OPERATOR, Kind.OK, name, self._arena.now_s(), **said, **told, refused=self._refused)
        return told

    async def _decide(
        self, call: Callable[[], Awaitable[None]], is_done: Callable[[ClusterView], bool] = lambda _: False
    ) -> None:
        """Until it is decided. `is_done`: what it looks like where an answer was lost."""
        while True:
            try:
                await call()
            except RiverrunError as error:
                refusal = (error.reason, error.message)
                definite = kind_of(error) is Kind.FAIL and not isinstance(error, Unavailable)
                if definite and refusal not in self._refused:
                    self._refused.append(refusal)
            else:
                return
            view = await self._look()
            if view is not None and is_done(view):
                return
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> ClusterView | None:
        try:
            return await self._client.cluster_status()
        except RiverrunError:
            return None

    async def _until(self, done: Callable[[ClusterView], bool]) -> ClusterView:
        while True:
            view = await self._look()
            if view is not None and done(view):
                return view
            await asyncio.sleep(LOOK_S)

    async def _calm(self) -> None:
        """Wait until nothing moves and nothing is missing, for a while."""
        await self._rest(self._options["calm_s_max"])

    async def _rest(self, seconds_max: float) -> dict[str, Any]:
        """Wait until everything is as it should be; what is not."""
        end_s = self._arena.now_s() + seconds_max
        looks, left = 0, await self._unsettled()
        while looks < SETTLED_LOOKS and self._arena.now_s() < end_s:
            await asyncio.sleep(LOOK_S)
            left = await self._unsettled()
            looks = 0 if left else looks + 1
        return left

    async def _unsettled(self) -> dict[str, Any]:
        """What is not as it should be; empty: all is."""
        try:
            view = await self._client.cluster_status()
            moves = await self._client.reassignments()
        except RiverrunError as error:
            return {"error": error.reason, "detail": error.message}
        found = {
            "moving": [[item.topic, item.number, list(item.replicas), list(item.target)] for item in moves.moving],
            "waiting": [[item.topic, item.number, item.why] for item in moves.waiting],
            "under_replicated": [[item.topic, item.number, item.why] for item in view.under_replicated],
            "without_leader": view.partitions_without_leader,
            "draining": [int(node.node) for node in view.nodes if node.draining],
            "dead": [int(node.node) for node in view.nodes if not node.alive],
        }
        return {name: what for name, what in found.items() if what}

    # --- the end

    async def finish(self) -> None:
        """Everything has come to where it should be, or the history says what has not."""
        number = self._history.invoke(OPERATOR, SETTLED, self._arena.now_s())
        left = await self._rest(self._options["settle_s_max"])
        view = await self._look()
        nodes = [int(node.node) for node in view.nodes] if view is not None else []
        kind = Kind.INFO if left else Kind.OK
        self._history.end(number, OPERATOR, kind, SETTLED, self._arena.now_s(), nodes=nodes, **left)
        await self._client.abandon()


def _holds_nothing(view: ClusterView, node: int) -> bool:
    return any(item.node == node and item.draining and not item.leaders and not item.replicas for item in view.nodes)


def _is_gone(view: ClusterView, node: int) -> bool:
    return all(item.node != node for item in view.nodes)
