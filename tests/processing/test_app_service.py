"""Apps on whole clusters in virtual time, through the service: deployed, looked at, paused, removed, redriven."""

import asyncio
from dataclasses import replace

import msgspec
import pytest
from google.protobuf.message import Message

from cluster.client.app_views import Change, TaskState
from cluster.client.client import Client
from cluster.config import ProcessingOptions
from cluster.errors import Forbidden, InvalidApp, InvalidRequest, RiverrunError, UnknownApp, UnknownTopic
from cluster.metadata import TopicConfig
from cluster.node import Node
from cluster.processing.app import App
from cluster.processing.code_store import CodeStore
from cluster.processing.event import Event
from cluster.processing.handles import State, Table
from cluster.processing.internal_topics import CODE_TOPIC, tasks_topic
from cluster.processing.ledger import Ledger
from cluster.processing.policies import dead_letter
from cluster.processing.task_status import TaskState as Said
from cluster.types import Offset, PartitionId
from cluster.wire.api import app_pb2
from examples.retail.app import app as retail
from tests.broker.thin import thin_channel
from tests.processing.deployed import FILES, Deploys, until, with_apps

pytestmark = pytest.mark.slow
RETAIL = b"retail" * 500
"""Three pieces."""
FILES[RETAIL] = retail
FILES[b"retail, a little better"] = retail


class Purchase(Event):
    """A record of `purchases`."""

    customer: str
    amount: int


def shop(*, version: int = 1, to: str = "totals") -> App:
    """An app with one processor, which keeps dead letters."""
    app = App("shop")
    purchases = app.topic("purchases", Purchase, key="customer")

    @app.processor(purchases, to=to, version=version, on_error=dead_letter())
    def totals(p: Purchase, total: State[int]) -> Purchase:
        total.value += p.amount
        return Purchase(p.customer, total.value)

    return app


def priced() -> App:
    """An app with a table."""
    app = App("priced")
    purchases = app.topic("purchases", Purchase, key="customer")
    app.table("prices", Purchase, key="customer")

    @app.processor(purchases, to="totals")
    def totals(p: Purchase, prices: Table[Purchase]) -> Purchase:  # noqa: ARG001
        return p

    return app


FILES[b"shop 1"] = shop()
FILES[b"shop 2"] = shop(version=2)
FILES[b"shop, other output"] = shop(to="sums")
FILES[b"priced"] = priced()
FILES[b"broken"] = "broken.py, line 3: no such module: pandas"
FILES[b"deadly"] = "dies"
FILES[b"empty"] = App("empty")


@with_apps()
async def test_an_app_is_deployed_and_every_node_knows_it(cluster: Deploys, client: Client) -> None:
    """Its topics are made, each task has a log that folds into a ledger, and the code is there again at any node."""
    deployed = await client.deploy_app(RETAIL, file_name="retail.py")
    assert {Change.NEW} == set(deployed.changes.values())
    assert {"stock", "offers", "alerts", "retail.fraud.dead", "daily-sales"} == set(deployed.topics_made)
    assert ["inventory.rekey", "inventory", "recommend", "fraud", "daily.rekey", "daily"] == [
        stage.name for stage in deployed.app.stages
    ]
    assert {3} == {stage.task_count for stage in deployed.app.stages}
    assert {3} == {len(topic.partitions) for topic in await client.list_topics()}
    await asyncio.sleep(1)  # of virtual time: all hear of it
    for node in cluster.running.values():
        app = node.broker.directory.apps["retail"]
        assert RETAIL == await node.apps.store.read(app.stages[0].code)
        for stage in app.stages:
            machine = node.broker.running[PartitionId(stage.topic, 1)].replica.log.fold.machine
            assert isinstance(machine, Ledger)
            assert node.broker.directory.is_task_producer(stage.producer)


@with_apps()
async def test_other_code_under_the_same_versions_goes_on(cluster: Deploys, client: Client) -> None:
    """Deploying the same again changes nothing; other code takes its place, and no log or producer changes."""
    await client.deploy_app(RETAIL, file_name="retail.py")
    before = cluster.running[1].controller.state.apps["retail"]
    again = await client.deploy_app(RETAIL, file_name="retail.py")
    assert {Change.UNCHANGED} == set(again.changes.values())
    assert before == cluster.running[1].controller.state.apps["retail"]
    better = await client.deploy_app(b"retail, a little better", file_name="retail.py")
    assert ({Change.REPLACED}, ()) == (set(better.changes.values()), better.topics_made)
    await asyncio.sleep(1)  # of virtual time: all hear of it
    after = cluster.running[1].controller.state.apps["retail"]
    assert [(stage.topic, stage.producer) for stage in before.stages] == [
        (stage.topic, stage.producer) for stage in after.stages
    ]
    code = after.stages[0].code
    assert b"retail, a little better" == await cluster.running[2].apps.store.read(code)


@with_apps()
async def test_a_new_version_runs_beside_the_old_one_until_that_is_removed(cluster: Deploys, client: Client) -> None:
    """And what is removed and deployed again begins from nothing: it has a new log."""
    await client.deploy_app(b"shop 1", file_name="shop.py")
    first = cluster.running[1].broker.directory.apps["shop"].stages[0]
    await client.deploy_app(b"shop 2", file_name="shop.py")
    described = await client.describe_app("shop")
    assert [("totals", 1), ("totals", 2)] == [(stage.name, stage.version) for stage in described.stages]
    assert (("totals", 1),) == await client.remove_app("shop", "totals", 1)
    assert [2] == [stage.version for stage in (await client.describe_app("shop")).stages]
    await client.deploy_app(b"shop 1", file_name="shop.py")
    await asyncio.sleep(1)  # of virtual time: all hear of it
    apps = cluster.running[1].broker.directory.apps["shop"]
    again = next(stage for stage in apps.stages if stage.version == 1)
    assert first.topic != again.topic
    assert first.topic in cluster.running[1].broker.directory.deleted
    assert 2 == len(await client.remove_app("shop"))
    assert () == await client.list_apps()
    assert "shop.totals.dead" in [topic.name for topic in await client.list_topics()]


@with_apps(seeds=1)
async def test_what_cannot_be_deployed_is_refused_in_a_sentence(cluster: Deploys, client: Client) -> None:
    """And nothing has changed then."""
    del cluster
    await client.deploy_app(b"shop 1", file_name="shop.py")
    topics = [topic.name for topic in await client.list_topics()]
    for content, name, kind, words in (
        (b"broken", "broken.py", InvalidApp, "no such module: pandas"),
        (b"deadly", "deadly.py", InvalidApp, "its process ended with exit code 9"),
        (b"empty", "empty.py", InvalidApp, "the app in empty.py has no processors"),
        (
            b"shop 1",
            "../shop.py",
            InvalidRequest,
            "'../shop.py' is no name of a Python file, a wheel or a route file: ",
        ),
        (b"shop 1", "my shop.py", InvalidRequest, ": letters, digits and . _ - + !"),
        (b"", "shop.py", InvalidRequest, "takes 0 bytes"),
        (b"shop, other output", "shop.py", InvalidRequest, "shop.totals@1 is deployed, and writes totals"),
        (b"priced", "priced.py", UnknownTopic, "reads the table 'prices', which is not there: riverrun topic create"),
    ):
        with pytest.raises(kind) as caught:
            await client.deploy_app(content, file_name=name)
        assert words in caught.value.message
    with pytest.raises(UnknownApp, match="there is no app 'other'; deployed are: shop"):
        await client.describe_app("other")
    with pytest.raises(UnknownApp, match="app 'shop' has no fraud; it has totals@1"):
        await client.pause_app("shop", "fraud")
    assert topics == [topic.name for topic in await client.list_topics()]


@with_apps(seeds=1)
async def test_a_topic_that_somebody_makes_meanwhile_is_left_alone(cluster: Deploys, client: Client) -> None:
    """A deployment had planned to make it; what is in it by now stays there."""
    for node in cluster.running.values():
        store = node.apps.store

        async def stored(content: bytes, store: CodeStore = store) -> Offset:
            offset = await CodeStore.store(store, content)
            await client.create_topic("totals", partitions=3, if_absent=True)
            await client.publish("totals", b"here already")
            await until(lambda: all("totals" in n.broker.directory.by_name for n in cluster.running.values()))
            return offset

        store.store = stored  # type: ignore[method-assign]
    deployed = await client.deploy_app(b"shop 1", file_name="shop.py")
    assert ("shop.totals.dead",) == deployed.topics_made
    assert [b"here already"] == [record.value async for record in client.read("totals", until="latest")]


@with_apps(seeds=1)
async def test_inputs_are_made_where_that_is_wanted(cluster: Deploys, client: Client) -> None:
    """A table is compacted, and has as many partitions as what is read beside it."""
    del cluster
    made = await client.deploy_app(b"priced", file_name="priced.py", create_topics=True, partitions=7)
    assert {"prices", "totals"} == set(made.topics_made)
    prices, totals = await client.describe_topic("prices"), await client.describe_topic("totals")
    assert ((3, True), (3, None)) == (
        (len(prices.partitions), prices.config.compacted),
        (len(totals.partitions), totals.config.compacted),
    )


@with_apps()
async def test_describe_asks_every_task_where_it_runs(cluster: Deploys, client: Client) -> None:
    """What a node is not there to tell is said to be unknown, and why; the rest is told."""
    await client.deploy_app(b"shop 1", file_name="shop.py")
    await asyncio.sleep(2)  # of virtual time: their logs have leaders
    cluster.said()[0].said = {"state": Said.STOPPED, "why": "it raised", "error_traceback": "line 1\n" * 9_000}
    (stage,) = (await client.describe_app("shop")).stages
    assert [0, 1, 2] == [task.number for task in stage.tasks]
    assert {1, 2, 3} == {task.node for task in stage.tasks}
    stopped = next(task for task in stage.tasks if task.node == 1)
    assert (TaskState.STOPPED, "it raised") == (stopped.state, stopped.why)
    assert 16 * 1024 + 4 >= len(stopped.error_traceback.encode())
    assert (6, 1.5, 1_000, {"late": 9}) == (stage.lag_records, stage.lag_s, stage.watermark_ns, stage.counts)
    assert ("purchases", 7, 9) == (stopped.positions[0].topic, stopped.positions[0].position, stopped.positions[0].end)
    cluster.crash(3)
    (stage,) = (await client.describe_app("shop", timeout_s=30)).stages
    lost = [task for task in stage.tasks if task.state is TaskState.UNKNOWN]
    assert 1 >= len(lost)
    assert all(task.why and task.node is None for task in lost)


@with_apps()
async def test_a_pause_is_for_a_processor_with_all_that_belongs_to_it(cluster: Deploys, client: Client) -> None:
    """Its re-keying, too; without a name it is for all."""
    await client.deploy_app(RETAIL, file_name="retail.py")
    paused = await client.pause_app("retail", "inventory", 1)
    assert ["inventory.rekey", "inventory"] == [stage.name for stage in paused.stages if stage.paused]
    paused = await client.pause_app("retail")
    assert all(stage.paused for stage in paused.stages)
    assert not any(stage.paused for stage in (await client.resume_app("retail")).stages)
    removed = await client.remove_app("retail", "inventory")
    assert (("inventory.rekey", 1), ("inventory", 1)) == removed
    assert "__rekey.retail.inventory" not in cluster.running[1].controller.state.by_name


@with_apps(seeds=1)
async def test_a_resumption_is_told_to_every_task(cluster: Deploys, client: Client) -> None:
    """Also where nothing was paused: it may have stopped. Those that could not be told are in the answer."""
    await client.deploy_app(b"shop 1", file_name="shop.py")
    await asyncio.sleep(2)  # of virtual time: their logs have leaders
    app = await client.resume_app("shop")
    resumed = [partition for tasks in cluster.said() for partition in tasks.resumed]
    assert sum(stage.task_count for stage in app.stages) == len(resumed) == len(set(resumed))
    assert [] == [task for stage in app.stages for task in stage.tasks]


@with_apps(seeds=1)
async def test_a_redrive_is_begun_at_every_task_or_says_why_not(cluster: Deploys, client: Client) -> None:
    """Of one version of a processor that keeps dead letters."""
    await client.deploy_app(b"shop 1", file_name="shop.py")
    await asyncio.sleep(2)  # of virtual time: their logs have leaders
    told = await client.redrive_app("shop", "totals")
    assert [(0, 5, ""), (1, 5, ""), (2, 0, "one is under way")] == [
        (task.task, task.records, task.error) for task in told
    ]
    assert 2 == sum(len(tasks.redriven) for tasks in cluster.said())
    await client.deploy_app(b"shop 2", file_name="shop.py")
    with pytest.raises(InvalidRequest, match="which version of 'totals' is to be redriven"):
        await client.redrive_app("shop", "totals")
    await client.deploy_app(RETAIL, file_name="retail.py")
    with pytest.raises(InvalidRequest, match="keeps no dead letters"):
        await client.redrive_app("retail", "recommend")


@with_apps(seeds=1)
async def test_a_piece_that_is_none_is_refused(cluster: Deploys, client: Client) -> None:
    """Too large, empty, of nothing, beyond any file; and a deployment of what was never uploaded."""
    channel = thin_channel(cluster, 1)

    async def refused(method: str, request: Message, words: str) -> None:
        with pytest.raises(InvalidRequest, match=words):
            await channel.call(f"/riverrun.v1.AppService/{method}", request.SerializeToString(), timeout_s=60)

    sha256 = b"h" * 32
    for number, content, words in (
        (0, b"x" * 1001, "has 1 to 1000 bytes, not 1001"),
        (0, b"", "has 1 to 1000 bytes, not 0"),
        (1 << 31, b"x", "a file has at most"),
    ):
        await refused("UploadCode", app_pb2.UploadCodeRequest(sha256=sha256, number=number, content=content), words)
    await refused("UploadCode", app_pb2.UploadCodeRequest(sha256=b"h", content=b"x"), "32 bytes, not 1")
    await client.deploy_app(b"shop 1", file_name="shop.py")
    for size, offset, words in (
        (3, 0, "is not uploaded as it should be"),
        (3, 99, "is not uploaded as it should be"),
        (1 << 40, 0, "code takes 1 to"),
    ):
        uploaded = app_pb2.UploadedCode(sha256=sha256, size_bytes=size, offset=offset)
        await refused("DeployApp", app_pb2.DeployAppRequest(file_name="a.py", uploaded=uploaded), words)


class OnlyHere(Deploys):
    """As it comes."""

    options = ProcessingOptions()


@with_apps(cluster_class=OnlyHere, seeds=1)
async def test_code_from_elsewhere_is_refused(cluster: Deploys, client: Client) -> None:
    """Whoever may deploy may run what they like: so it is for this machine only, unless somebody decided otherwise."""
    for content in (b"shop 1", b"x" * 2_000_000):
        with pytest.raises(Forbidden, match=r"from this node's own machine only, not from writer"):
            await client.deploy_app(content, file_name="shop.py")
    assert CODE_TOPIC not in cluster.running[1].controller.state.by_name


@with_apps(seeds=1)
async def test_nobody_deletes_or_trims_what_the_cluster_keeps_for_apps(cluster: Deploys, client: Client) -> None:
    """Code and tasks' logs go with their apps, and in no other way."""
    del cluster
    await client.deploy_app(b"shop 1", file_name="shop.py")
    for name in (CODE_TOPIC, tasks_topic("shop", "totals", 1)):
        for call in (
            client.delete_topic(name),
            client.alter_topic(name, TopicConfig(retention_ms=1)),
            client.delete_records(name, 0, before=0),
            client.publish(name, b"x"),
        ):
            with pytest.raises(InvalidRequest, match="belongs to the cluster itself"):
                await call


LARGE = b"a wheel of some size, " * 100_000
FILES[LARGE] = shop()


class LargeFiles(Deploys):
    """With pieces as they come."""

    options = ProcessingOptions(deploy_from_anywhere=True)


@with_apps(cluster_class=LargeFiles)
async def test_a_large_file_comes_in_pieces_and_survives_its_leader(cluster: Deploys, client: Client) -> None:
    """The node that keeps them fails in between; what was stored twice then does no harm."""
    uploading = asyncio.create_task(client.deploy_app(LARGE, file_name="shop-1.0-py3-none-any.whl", timeout_s=60))
    await until(lambda: all(CODE_TOPIC in node.broker.directory.by_name for node in cluster.running.values()))
    home = PartitionId(cluster.running[1].broker.directory.by_name[CODE_TOPIC].id, 0)
    await until(lambda: any(is_leader(node, home) for node in cluster.running.values()))
    leader = next(number for number, node in cluster.running.items() if is_leader(node, home))
    cluster.crash(leader)
    await asyncio.sleep(1)
    await cluster.start(leader)
    deployed = await uploading
    assert len(LARGE) == deployed.app.stages[0].code_bytes
    for node in cluster.running.values():
        apps = node.broker.directory.apps
        await until(lambda apps=apps: "shop" in apps)  # type: ignore[misc]
        assert LARGE == await node.apps.store.read(apps["shop"].stages[0].code)


def is_leader(node: Node, partition: PartitionId) -> bool:
    """Whether it leads it."""
    running = node.broker.running.get(partition)
    return running is not None and running.replica.raft.is_leader


@with_apps(seeds=1)
async def test_code_that_is_not_what_it_is_said_to_be_is_never_run(cluster: Deploys, client: Client) -> None:
    """Another hash, another size, another place: each is refused."""
    await client.deploy_app(RETAIL, file_name="retail.py")
    code = cluster.running[1].broker.directory.apps["retail"].stages[0].code
    store = cluster.running[2].apps.store
    for wrong in (
        replace(code, size_bytes=code.size_bytes - 1),
        replace(code, size_bytes=code.size_bytes + 1),
        replace(code, sha256=b"\0" * 32),
        replace(code, offset=code.offset + 1),
    ):
        store._kept.clear()  # its tasks have read it
        with pytest.raises(RiverrunError, match=r"are where they were said to be|its hash is another one"):
            await store.read(wrong)
    assert RETAIL == await store.read(code)


class RealTasks(Deploys):
    """Nodes as they are: a file's content is the name of a module (see `SimHosts`)."""

    node_class = Node


@with_apps(cluster_class=RealTasks, seeds=1)
async def test_what_runs_is_told_of(cluster: Deploys, client: Client) -> None:
    """From the deployment to the last record, with tasks as they are."""
    del cluster
    await client.deploy_app(b"examples.retail.app", file_name="retail.py")
    bought = msgspec.json.encode(
        {"date": "2026-01-01", "customer_id": "c", "sku": "s", "quantity": 2, "amount_usd": "500"}
    )
    await client.publish("purchases", bought, key=b"c")
    async with asyncio.timeout(60):  # of virtual time
        async for record in client.read("alerts", start="earliest"):
            assert {"customer_id": "c", "amount_usd": "500"} == msgspec.json.decode(record.value)
            break
        while True:
            fraud = next(stage for stage in (await client.describe_app("retail")).stages if stage.name == "fraud")
            if {TaskState.RUNNING} == {task.state for task in fraud.tasks} and fraud.lag_records == 0:
                break
            assert all(task.why for task in fraud.tasks if task.state is TaskState.UNKNOWN)
            await asyncio.sleep(0.1)
    assert [(1, 1)] == [(at.position, at.end) for task in fraud.tasks for at in task.positions if at.end]
