"""N nodes in one process, under virtual time: the same `Node`, in worlds that fail as told."""

import asyncio
import contextvars
import random
from collections.abc import Sequence
from functools import partial

from cluster.client.client import Client
from cluster.config import ClientOptions, ListenerConfig, NodeConfig, PeerConfig, ProcessingOptions
from cluster.errors import NodeRemoved, RiverrunError
from cluster.metadata import Node as NodeInfo
from cluster.node import Node
from cluster.processing.surroundings import Processing
from cluster.sim.clock import Host, SimClock, SimLoop
from cluster.sim.disk import SimDisk
from cluster.sim.fabric import after
from cluster.sim.hosts import SimHosts
from cluster.sim.network import Fabric, SimNetwork
from cluster.sim.stores import SimStores
from cluster.sim.world import sim_world
from cluster.types import NodeId

CLUSTER_ID = "5eed" * 8
STOP_LOOK_S = 0.5


class SimCluster:
    """Nodes 1 … n, their disks, the network between them, and clients on hosts of their own."""

    node_class: type[Node] = Node
    """Tests plant bugs here."""

    def __init__(self, loop: SimLoop, *, nodes: int = 3, latency_s: Sequence[float] = ()) -> None:
        self.loop = loop
        self.nodes = list(range(1, nodes + 1))
        """Those that are meant to run, without who was switched off."""
        self._first = list(self.nodes)
        """Who forms the cluster; the others join it."""
        self._named: dict[int, list[int]] = {}
        """Whom the configuration of a node that joined names: who was there then."""
        self.fabric = Fabric(random.Random(loop.random.getrandbits(64)))
        self.disks = {
            node: SimDisk(
                random.Random(loop.random.getrandbits(64)),
                latency_s=latency_s[node - 1] if latency_s else 0.001,
            )
            for node in self.nodes
        }
        self.stores = {node: SimStores(random.Random(node)) for node in self.nodes}
        self.user_code: dict[int, SimHosts] = {}
        """What runs it on a node that runs."""
        self.running: dict[int, Node] = {}
        self.hosts: dict[int, Host] = {}
        self.clocks: dict[int, SimClock] = {}
        """Of each node as it was started last; setting one is a fault."""
        self.fatal: list[tuple[int, BaseException]] = []
        """Nodes that ended by themselves, and why: no fault that we inject may do that."""
        self.removed: list[int] = []
        """Nodes that ended because they are none of the cluster any more."""
        self.crashes_in_mid_write = 0
        self._starting: dict[int, asyncio.Future[Node | None]] = {}
        for node, disk in self.disks.items():
            disk.on_crash = partial(self._power_failed, node)

    # --- nodes

    async def start_all(self) -> None:
        """Start every node that does not run."""
        for node in self.nodes:
            if node not in self.running:
                await self.start(node)

    async def start(self, number: int) -> bool:
        """Start one node, as a new incarnation on its old disk; False if its power went before it was ready."""
        host = self.hosts[number] = Host(f"node-{number}")
        world = sim_world(self.loop, self.fabric, host, self.disks[number])
        assert isinstance(world.clock, SimClock)
        self.clocks[number] = world.clock
        user_code = SimHosts(ProcessingOptions(), random.Random(f"{number}/{len(self.user_code)}"))
        self.user_code[number] = user_code
        processing = Processing(hosts=user_code, stores=self.stores[number])
        made: asyncio.Future[Node | None] = self.loop.create_future()
        self._starting[number] = made

        async def live() -> None:
            try:
                node = self.node_class(
                    self._config(number),
                    world,
                    secret=b"",
                    on_fatal=lambda error: self._ended(number, host, error),
                    processing=processing,
                )
                await node.start()
            except RiverrunError as error:
                made.set_exception(error)
            else:
                made.set_result(node)

        host.run(live(), name=f"node-{number}")
        node = await made
        if node is None:
            return False
        self.running[number] = node
        return True

    async def add(self, *, rack: str = "") -> int:
        """Record one more node with the cluster, as an operator does, and start it; which it is."""
        number = self.next_node
        client_address, peer_address = self.addresses(number)
        info = NodeInfo(node=NodeId(number), client_address=client_address, peer_address=peer_address, rack=rack)
        await next(iter(self.running.values())).controller.register_node(info)
        self.give_machine(number)
        await self.start(number)
        return number

    @property
    def next_node(self) -> int:
        """The id that the cluster mints for the node that is added next."""
        return max(self.disks) + 1

    def addresses(self, number: int) -> tuple[str, str]:
        """Where clients and other nodes reach it."""
        return self._address(number), f"node-{number}:7271"

    def give_machine(self, number: int) -> None:
        """One more machine, with an empty disk; it is not started yet."""
        self._named[number] = [*self.nodes, number]
        self.nodes.append(number)
        self._give_disk(number)

    def switch_off(self, number: int) -> None:
        """A node that nobody starts again."""
        if number in self.nodes:
            self.nodes.remove(number)
        if self.hosts[number].alive:
            self.kill(number)

    def wipe(self, number: int) -> None:
        """A node's disk is exchanged for an empty one, while it does not run."""
        assert number not in self.running
        self._give_disk(number)

    def _give_disk(self, number: int) -> None:
        self.disks[number] = SimDisk(random.Random(self.loop.random.getrandbits(64)), latency_s=0.001)
        self.disks[number].on_crash = partial(self._power_failed, number)
        self.stores[number] = SimStores(random.Random(number))

    def crash(self, number: int) -> None:
        """The power of one node goes."""
        self.kill(number)
        self.disks[number].crash()
        self.stores[number].crash()

    def kill(self, number: int) -> None:
        """The process of one node ends without another step; what it has written stays written, synced or not."""
        self.hosts[number].crash()
        self.running.pop(number, None)
        starting = self._starting.pop(number, None)
        if starting is not None and not starting.done():
            starting.set_result(None)
        self.fabric.crash(self.hosts[number])
        self.disks[number].forget_jobs()
        self.stores[number].forget_jobs()

    async def stop(self, number: int) -> None:
        """A node that runs is asked to end, and does so in good order."""
        node, host = self.running[number], self.hosts[number]

        async def end() -> None:
            await node.drain()
            await node.stop()

        ended = host.run(end(), name=f"node-{number} stops")
        while not ended.done() and host.alive:
            await asyncio.wait([ended], timeout=STOP_LOOK_S)
        if host.alive:
            ended.result()
            self.kill(number)

    def crash_in_mid_write(self, number: int, operations: int) -> None:
        """The power of one node goes at its disk's operation after so many more: between a write and its sync, too."""
        disk = self.disks[number]
        disk.crash_at_operation = disk.operations + operations

    def _power_failed(self, number: int) -> None:
        host = self.hosts[number]
        if host.alive:
            host.crash()  # now; the rest when what runs has come to its end
            self.crashes_in_mid_write += 1
            contextvars.Context().run(self.loop.call_soon, self._crash_if_dead, number, host)

    def _crash_if_dead(self, number: int, host: Host) -> None:
        if self.hosts[number] is host:
            self.crash(number)

    def pause(self, number: int, seconds: float) -> None:
        """One node stands still."""
        self.hosts[number].paused_until_s = self.loop.now_s + seconds

    def cut(self, one: int, other: int, *, both: bool = True) -> None:
        """Nothing gets from `one` to `other` (nor back)."""
        self.fabric.cut(f"node-{one}", f"node-{other}")
        if both:
            self.fabric.cut(f"node-{other}", f"node-{one}")

    # --- clients

    def client(self, name: str, options: ClientOptions | None = None) -> Client:
        """A client on a host of its own, reached by no fault but `cut_off`; it still has to be opened."""
        host = Host(name)
        return Client(
            [self._address(node) for node in self.nodes],
            network=SimNetwork(self.fabric, host),
            clock=SimClock(self.loop),
            random=random.Random(self.loop.random.getrandbits(64)),
            options=options,
        )

    def cut_off(self, client: str, seconds: float) -> None:
        """For so long nothing gets from a client to any node, nor back."""
        for node in self.nodes:
            for pair in ((client, f"node-{node}"), (f"node-{node}", client)):
                self.fabric.cut(*pair)
                after(seconds, self.fabric.mend, *pair)

    def _ended(self, number: int, host: Host, error: BaseException) -> None:
        if host.alive:
            host.failed = True
            if isinstance(error.__cause__, NodeRemoved):
                self.removed.append(number)
                host.run(self._leave(number, host), name=f"node-{number} leaves")
            else:
                self.fatal.append((number, error))

    async def _leave(self, number: int, host: Host) -> None:
        """It stops, as its process does, and ends."""
        if number in self.running:
            await self.running[number].stop()
        if self.hosts[number] is host and host.alive:
            contextvars.Context().run(self.loop.call_soon, self.kill, number)

    @staticmethod
    def _address(node: int) -> str:
        return f"node-{node}:7171"

    def _config(self, number: int) -> NodeConfig:
        addresses = {node: self.addresses(node) for node in self._named.get(number, self._first)}
        peers = tuple(PeerConfig(node=node, peer=peer, client=client) for node, (client, peer) in addresses.items())
        return NodeConfig(
            cluster_id=CLUSTER_ID,
            node=number,
            data_dir="",
            client=ListenerConfig(bind=self._address(number)),
            peer=ListenerConfig(bind=f"node-{number}:7271"),
            peers=peers,
            joins=number not in self._first,
        )
