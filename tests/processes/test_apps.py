"""User code that does its worst, on real nodes: nothing is lost, nothing counts twice, and the broker goes on."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.arenas.processes.ports import claimed_ports
from cluster import connect
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.client.app_views import StageView
from cluster.client.client import Client
from cluster.errors import InvalidApp, InvalidRequest, UnknownApp, UnknownTopic
from tests.processes import apps
from tests.processes.apps import Probe, code, counted, counts, deploy, look, mended, sale, sell, states, stopped, why
from tests.spoken import in_environment, spoken

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(240)]
VERSIONS, PARTITIONS, REPLICAS = 2, 3, 3
P99_S_MAX, P99_TIMES_MAX = 1.0, 5
"""Of a publish to an unrelated topic, whatever user code does: so much more than so many times what it was before."""
DEAD = "dead_letter(retries=0)"
WORST = ["exit", "quit", "kill", "crash", "hang", "spin", "leak", "fork", "print", "close", "garble"]
"""What ends the process, or keeps it: found by doing the work again in smaller parts."""
RAISES = ["raise", "files"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[LocalCluster]:
    """Three nodes for all tests here, which end well whatever was done to them."""
    with claimed_ports(3) as port, contextlib.ExitStack() as end:
        cluster = LocalCluster(tmp_path_factory.mktemp("apps"), nodes=3, port=port, speaks=spoken(pytestconfig))
        end.enter_context(in_environment(cluster.tls))
        apps.limit(cluster)
        cluster.start_all()
        try:
            asyncio.run(wait_ready(cluster))
            yield cluster
            assert {} == cluster.stopped(), "a node ended by itself"
        finally:
            codes = cluster.stop()
    assert {0} == set(codes.values())


async def harmed(client: Client, name: str, harms: list[str], probe: Probe) -> StageView:
    """Among good records some that do harm, which become dead letters; what describe says when all is done."""
    await deploy(client, name, code(name, on_error=DEAD))
    good = [sale(number) for number in range(90)]
    async with probe.watching("before"):
        await sell(client, name, good[:30])
        await counts(client, name, 30)
    before_s = probe.quantile(0.99)
    sales = [*good[30:60], *(sale(1_000 + n, harm) for n, harm in enumerate(harms)), *good[60:]]
    async with probe.watching(", ".join(harms)):
        await sell(client, name, sales)
        found = await counts(client, name, 90)
    assert counted(good) == found
    assert probe.quantile(0.99) < P99_S_MAX + P99_TIMES_MAX * before_s
    letters = [json.loads(value)["harm"] for value in await apps.records(client, f"{name}.count.dead", len(harms))]
    assert sorted(harms) == sorted(letters)
    return await look(
        client, name, lambda stage: stage.counts.get("dead_lettered") == len(harms) and states(stage) == {"running"}
    )


async def test_one_record_after_another_that_does_its_worst(cluster: LocalCluster) -> None:
    """Each becomes a dead letter, all others count once, and publishing beside them is as quick as it was."""
    async with connect(cluster.addresses) as client:
        stage = await harmed(client, "worst", ["exit", "hang", "leak", "raise"], Probe(client))
        assert 0 < sum(task.restarts for task in stage.tasks)
        await client.remove_app("worst")


async def test_code_that_leaks_goes_on_in_new_processes(cluster: LocalCluster) -> None:
    """No record is to blame: all count once, and describe says how often, and why it does not run now."""
    body = "hoard.append(bytearray(40 << 20))"
    async with connect(cluster.addresses) as client:
        await deploy(client, "leaky", code("leaky", body=body), partitions=1)
        sales = [sale(number) for number in range(40)]
        await sell(client, "leaky", sales)
        seen = await look(client, "leaky", lambda stage: "memory" in why(stage))
        assert "the process of leaky.py failed" in why(seen) or "ran out of memory" in why(seen), why(seen)
        assert counted(sales) == await counts(client, "leaky", 40)
        stage = await look(client, "leaky", lambda stage: stage.lag_records == 0 and states(stage) == {"running"})
        assert 4 <= sum(task.restarts for task in stage.tasks)
        assert {} == stage.counts
        said = await asyncio.to_thread(apps.riverrun, cluster, "app", "describe", "leaky")
        assert "leaky.count@1" not in said.stdout
        assert "the process with its code ended" in said.stdout
        await client.remove_app("leaky")


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ("spin", "a work took longer than 1 s"),
        pytest.param("kill", "ended by signal 9", marks=pytest.mark.long),
        pytest.param("leak", "memory", marks=pytest.mark.long),
    ],
)
async def test_code_that_ends_its_process_at_a_record_stops_there(cluster: LocalCluster, harm: str, says: str) -> None:
    """With `stop`, which is the default; describe names the record, and what it does, and better code goes on there."""
    name = f"stops-at-{harm}"
    async with connect(cluster.addresses) as client:
        await deploy(client, name, code(name), partitions=1)
        sales = [sale(0), sale(1, harm), sale(2)]
        await sell(client, name, sales)
        stage = await look(client, name, lambda stage: bool(stopped(stage)))
        assert f"failed at the record of {name}-sales/0 at offset 1: HostFailed: " in why(stage)
        assert says in why(stage)
        assert 1 == why(stage).count("HostFailed")
        said = await asyncio.to_thread(apps.riverrun, cluster, "app", "describe", name)
        assert says in said.stdout
        await deploy(client, name, mended(name), partitions=1)
        assert counted(sales) == await counts(client, name, 3)
        await client.remove_app(name)


@pytest.mark.long
@pytest.mark.parametrize("harm", [*WORST, *RAISES])
async def test_one_record_that_does_its_worst(cluster: LocalCluster, harm: str) -> None:
    """The same, one by one, with what each costs the broker."""
    async with connect(cluster.addresses) as client:
        name = f"worst-{harm}"
        await harmed(client, name, [harm], Probe(client))
        await client.remove_app(name)


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("stop()", "stopped"),
        ("skip()", "skipped 1"),
        (DEAD, "dead_lettered 1"),
    ],
)
async def test_a_poison_record_that_is_the_first_of_its_log(cluster: LocalCluster, policy: str, says: str) -> None:
    """Describe says what became of it, and where it is; whoever stops goes on with better code, from there."""
    name = "first-" + policy.partition("(")[0].replace("_", "-")
    async with connect(cluster.addresses) as client:
        await deploy(client, name, code(name, on_error=policy))
        await sell(client, name, [b'{"till": "t0", "number": "many"}', *map(sale, range(12))])
        if policy == "stop()":
            stage = await look(client, name, lambda stage: bool(stopped(stage)))
            (task,) = stopped(stage)
            assert f"failed at the record of {name}-sales/" in task.why
            assert "offset 0: ValidationError: Expected `int`, got `str` - at `$.number`" in task.why
            assert "ValidationError" in task.error_traceback
            assert 0 == min(at.position for at in task.positions)
            await deploy(client, name, mended(name, on_error="skip()"))
        assert counted(map(sale, range(12))) == await counts(client, name, 12)
        await look(client, name, lambda stage: stage.lag_records == 0 and states(stage) == {"running"})
        said = await asyncio.to_thread(apps.riverrun, cluster, "app", "describe", name)
        assert says in said.stdout or policy == "stop()", said.stdout + said.stderr
        await client.remove_app(name)


WRONG = {
    "syntax": ("app = = 1\n", InvalidApp, "line 1 of {}: SyntaxError: invalid syntax"),
    "absent": ("\nimport no_such_thing\n", InvalidApp, "line 2 of {}: ModuleNotFoundError: No module named"),
    "raises": ("x = 1\nx / 0\n", InvalidApp, "line 2 of {}: ZeroDivisionError: division by zero"),
    "exits": ("import sys\nsys.exit('no')\n", InvalidApp, "SystemExit: no"),
    "dies": ("import os\nos._exit(7)\n", InvalidApp, "exit code 7"),
    "sleeps": ("import time\ntime.sleep(60)\n", InvalidApp, "takes longer than 5 s to import"),
    "no-app": ("x = 1\n", InvalidApp, "defines no app"),
    "two-apps": (
        "from cluster.processing.app import App\na = App('a')\nb = App('b')\n",
        InvalidApp,
        "defines several apps (a, b): say which one",
    ),
    "empty": ("from cluster.processing.app import App\na = App('a')\n", InvalidApp, "has no processors"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_no_app_is_refused_and_leaves_nothing(cluster: LocalCluster, name: str) -> None:
    """With what is wrong, and where."""
    text, error, says = WRONG[name]
    async with connect(cluster.addresses) as client:
        with pytest.raises(error) as caught:
            await client.deploy_app(text.encode(), file_name=f"{name}.py")
        assert says.format(f"{name}.py") in caught.value.message
        assert [] == [app.name for app in await client.list_apps() if app.name in {"a", "b"}]


TYPES = """
from cluster.processing.app import App
from cluster.processing.event import Event
from cluster.processing.handles import Table

class Sale(Event):
    till: str

class Other(Event):
    name: str

app = App("typed")
sales = app.topic("typed-sales", Sale, key="till")
{more}
"""
MISFITS = {
    "wrong-event": (
        "@app.processor(sales)\ndef f(other: Other) -> None: ...\n",
        InvalidApp,
        ("Other", "Sale", "typed-sales"),
    ),
    "unknown-table": (
        "@app.processor(sales)\ndef f(sale: Sale, customers: Table[Other]) -> None: ...\n",
        InvalidApp,
        ("customers", "table"),
    ),
    "table-that-is-not-there": (
        "customers = app.table('typed-customers', Other)\n"
        "@app.processor(sales)\ndef f(sale: Sale, typed_customers: Table[Other]) -> None: ...\n",
        UnknownTopic,
        ("typed-customers", "riverrun topic create typed-customers --compacted"),
    ),
    "key-that-is-no-field": (
        "others = app.topic('typed-others', Other, key='till')\n"
        "@app.processor(others)\ndef f(other: Other) -> None: ...\n",
        InvalidApp,
        ("Other has no field 'till'",),
    ),
    "no-annotation": ("@app.processor(sales)\ndef f(sale) -> None: ...\n", InvalidApp, ("sale", "annotation")),
    "result-without-topic": ("@app.processor(sales)\ndef f(sale: Sale) -> Sale: ...\n", InvalidApp, ("to=",)),
}


@pytest.mark.parametrize("name", MISFITS)
async def test_what_does_not_fit_its_topics_is_refused(cluster: LocalCluster, name: str) -> None:
    """The sentence names the function, or the topic, and what would be right."""
    more, error, words = MISFITS[name]
    async with connect(cluster.addresses) as client:
        await client.create_topic("typed-sales", partitions=1, if_absent=True)
        with pytest.raises(error) as caught:
            await client.deploy_app(TYPES.format(more=more).encode(), file_name="typed.py")
        print(caught.value.message)
        assert [] == [word for word in words if word not in caught.value.message], caught.value.message


async def test_an_input_that_is_not_there_is_named(cluster: LocalCluster) -> None:
    """With the command that makes it."""
    async with connect(cluster.addresses) as client:
        with pytest.raises(UnknownTopic, match="'nowhere-sales', which is not there: riverrun topic create"):
            await client.deploy_app(code("nowhere"), file_name="nowhere.py")
        with pytest.raises(UnknownApp):
            await client.describe_app("nowhere")


async def test_state_that_no_longer_decodes(cluster: LocalCluster) -> None:
    """The task stops and says which state of which key; with the old type it goes on, and nothing was lost."""
    name = "types"
    async with connect(cluster.addresses) as client:
        await deploy(client, name, code(name))
        sales = [sale(number) for number in range(24)]
        await sell(client, name, sales[:12])
        await counts(client, name, 12)
        body = "seen.value = seen.value[1:] if False else seen.value"
        await deploy(client, name, code(name, state="list[str]", body=body))
        await sell(client, name, sales[12:])
        stage = await look(client, name, lambda stage: bool(stopped(stage)))
        assert "of key b't" in why(stage)
        assert "does not decode as its type" in why(stage)
        await deploy(client, name, code(name))
        assert counted(sales) == await counts(client, name, 24)
        await client.remove_app(name)


async def test_a_version_beside_another_and_the_end_of_both(cluster: LocalCluster) -> None:
    """The second begins at the beginning; pausing stops one of them; removing leaves no topic, file or process."""
    name = "beside"
    async with connect(cluster.addresses) as client:
        await deploy(client, name, code(name))
        sales = [sale(number) for number in range(30)]
        await sell(client, name, sales[:20])
        await counts(client, name, 20)
        await deploy(client, name, code(name, version=2))
        await apps.records(client, f"{name}-counts", 40)
        await client.pause_app(name, "count", 1)
        await look(client, name, lambda stage: states(stage) == {"paused"})
        await sell(client, name, sales[20:])
        values = await apps.records(client, f"{name}-counts", 50)
        stage = await look(client, name, lambda stage: stage.lag_records == 10)
        assert {"paused"} == states(stage)
        await client.resume_app(name, "count", 1)
        values = await apps.records(client, f"{name}-counts", 60)
        found = sorted((item["till"], item["number"], item["count"]) for item in map(json.loads, values))
        assert sorted([*counted(sales)] * 2) == found
        kept = len(_directories(cluster))
        await client.remove_app(name)
        await _gone(client, name)
        left = kept - VERSIONS * PARTITIONS * REPLICAS
        await apps.until(lambda: not apps.children(cluster) and len(_directories(cluster)) <= left)


async def _gone(client: Client, name: str) -> None:
    """Return when every node has heard that there is no such app: the client asks all of them before it believes it."""
    async with asyncio.timeout(apps.PATIENCE_S):
        with contextlib.suppress(UnknownApp):
            while True:
                await client.describe_app(name)


def _directories(cluster: LocalCluster) -> list[Path]:
    """Of tasks' replicas, on all nodes."""
    return [path.parent for path in cluster.data_dir.glob("node-*/data/**/state.db")]


async def test_two_deployments_at_once_are_one_after_the_other(cluster: LocalCluster) -> None:
    """Whoever is second finds what the first has made; every record counts once, by one code or the other."""
    name = "twice"
    async with connect(cluster.addresses) as client:
        both = await asyncio.gather(
            *(deploy(client, name, code(name, body=f"pass  # {number}")) for number in range(4)), return_exceptions=True
        )
        assert [] == [error for error in both if isinstance(error, BaseException)]
        sales = [sale(number) for number in range(200)]
        selling = asyncio.create_task(sell(client, name, sales))
        for number in range(5):
            await deploy(client, name, code(name, body=f"pass  # again {number}"))
        await selling
        assert counted(sales) == await counts(client, name, 200)
        with pytest.raises(InvalidRequest, match="give it a new version"):
            await deploy(client, name, code(name).replace(b'key="till"', b'key="number"'))
        await client.remove_app(name)
