"""The example clients in Go, Node.js, Java and Rust against real nodes that are killed."""

import asyncio
import contextlib
import json
import subprocess
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import grpc
import pytest

from chaos.arenas.processes.ports import claimed_ports
from cluster import connect
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.client.client import Client
from cluster.client.routing import partition_of_key
from cluster.errors import UnknownTopic
from cluster.wire.api import group_pb2
from tests.processes.programs import CLIENTS, LANGUAGES, Program, built, processed_again
from tests.spoken import thin_channel

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]
PARTITIONER = json.loads((CLIENTS / "partitioner.json").read_text())
RECORDS = 300
MORE_THAN_THERE_IS = 10 * RECORDS
WORK_MS = 10
"""What has arrived is worked on before a broken stream is noticed: all of it takes less than the grace."""
DESCRIBE = "/riverrun.v1.GroupService/DescribeGroup"
Start = Callable[..., Awaitable[Program]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts programs; all of them are ended with the test."""
    async with contextlib.AsyncExitStack() as end:

        async def start(name: str, servers: Sequence[str], **options: object) -> Program:
            program = await Program.start(name, servers, **options)
            end.push_async_callback(program.stop)
            return program

        yield start


@pytest.mark.parametrize("name", LANGUAGES)
@pytest.mark.parametrize("partitions", [1, 7, 12, 4096])
def test_keys_go_to_the_same_partitions_in_every_language(name: str, partitions: int) -> None:
    """The shared vectors: who publishes a key to another partition than the others breaks its order."""
    keys = [vector["key"] for vector in PARTITIONER["vectors"]]
    done = subprocess.run(
        [*built(name), "--partitions", str(partitions)],
        input="".join(f"{key}\n" for key in keys),
        capture_output=True,
        text=True,
        check=True,
        cwd=CLIENTS / name,
    )

    expected = [vector["partitions"][str(partitions)] for vector in PARTITIONER["vectors"]]
    assert expected == [int(line) for line in done.stdout.split()]


async def _group(cluster: LocalCluster, name: str, wanted: Callable[[group_pb2.Group], bool]) -> group_pb2.Group:
    """The group as soon as it is as wanted."""
    async with asyncio.timeout(30), contextlib.AsyncExitStack() as end:
        channels = [await end.enter_async_context(thin_channel(a)) for a in cluster.addresses]
        while True:
            for channel in channels:
                describe = channel.unary_unary(
                    DESCRIBE,
                    request_serializer=group_pb2.DescribeGroupRequest.SerializeToString,
                    response_deserializer=group_pb2.DescribeGroupResponse.FromString,
                )
                with contextlib.suppress(grpc.aio.AioRpcError):
                    found = (await describe(group_pb2.DescribeGroupRequest(group=name), timeout=2)).group
                    if wanted(found):
                        return found
            await asyncio.sleep(0.1)


async def _read(client: Client, topic: str, count: int) -> list[tuple[bytes | None, int]]:
    """The first records of a topic that may not be there yet, as keys and values."""
    while True:
        try:
            found: list[tuple[bytes | None, int]] = []
            async for record in client.read(topic):
                found.append((record.key, int(record.value)))
                if len(found) == count:
                    return found
        except UnknownTopic:
            await asyncio.sleep(0.1)


async def _published(programs: Sequence[Program]) -> None:
    """All of them have got their receipts."""
    for program in programs:
        assert await program.ended() == 0, program.errors
        assert RECORDS == json.loads(program.rest[0])["receipts"]


async def _publish(start: Start, cluster: LocalCluster, client: Client, names: Sequence[str]) -> None:
    """Every program publishes to a topic of its own while a node is killed: all is there, once, in the keys' order."""
    programs = [await start(name, cluster.addresses, topic=f"from-{name}", publish=RECORDS) for name in names]
    for name in names:
        await _read(client, f"from-{name}", RECORDS // 4)
    cluster.kill(1)
    await _published(programs)
    cluster.start(1)
    await wait_ready(cluster)
    for program in programs:
        print(f"{program.name} published: {program.rest[0]}")
        by_key = defaultdict(list)
        async for record in client.read(f"from-{program.name}", until="latest"):
            assert record.key is not None
            assert record.partition == partition_of_key(record.key, 12)
            by_key[record.key].append(int(record.value))

        assert {b"k%d" % n: list(range(n, RECORDS, 10)) for n in range(10)} == by_key


async def _survive_the_node(cluster: LocalCluster, programs: Sequence[Program]) -> None:
    """The node that all of them talk to is killed while they work; they are the same members at another one."""
    for program in programs:
        await program.until(lambda program: len(program.places) >= RECORDS // 6)
    before = [await _group(cluster, f"in-{p.name}", lambda group: len(group.members) == 1) for p in programs]
    cluster.kill(1)
    for program in programs:
        await program.until(lambda program: len(program.places) >= RECORDS)
    after = [await _group(cluster, f"in-{p.name}", lambda group: group.members[0].connected) for p in programs]
    cluster.start(1)
    await wait_ready(cluster)

    assert [group.members[0].id for group in before] == [group.members[0].id for group in after]


async def _survive_themselves(
    start: Start, cluster: LocalCluster, topics: dict[str, str], first: list[Program]
) -> None:
    """More is published, the programs are killed while they work on it, and a second run of each goes on there."""
    more = [await start(name, cluster.addresses, topic=f"from-{name}", publish=RECORDS) for name in topics]

    async def kill(program: Program) -> None:
        await program.until(lambda program: len(program.places) >= RECORDS + RECORDS // 6)
        await program.kill()

    await asyncio.gather(*(kill(program) for program in first))
    await _published(more)
    for program in first:
        group = await _group(cluster, f"in-{program.name}", lambda group: not group.members)
        positions = {part.partition: part.position for part in group.partitions}
        remaining = 2 * RECORDS - sum(positions.values())
        assert 0 < remaining < RECORDS
        arguments = {"topic": topics[program.name], "group": group.name, "consume": remaining}
        second = await start(program.name, cluster.addresses, **arguments)
        assert await second.ended() == 0, second.errors
        again = processed_again([*program.said, *second.said])
        print(f"{program.name} processed: {len(program.processed)}, then {remaining}; {again} of them again")

        assert f"127.0.0.1:{cluster.port}" in program.errors, "it had to move"
        began = {item.partition: item.offset for item in reversed(second.processed)}
        assert {partition: positions[partition] for partition in began} == began
        assert remaining == len(second.processed)
        assert 2 * RECORDS == len(program.places | second.places)


@pytest.mark.parametrize("names", [[name] for name in LANGUAGES] + [list(LANGUAGES)], ids=[*LANGUAGES, "together"])
async def test_a_program_survives_its_node_and_itself(
    make_cluster: Callable[[int], LocalCluster], start: Start, names: list[str]
) -> None:
    """Nothing is skipped, and twice is processed only what was not acknowledged."""
    for name in names:
        built(name)
    cluster = make_cluster(3)
    cluster.start_all()
    await wait_ready(cluster)
    async with await connect(cluster.addresses) as client:
        await _publish(start, cluster, client, names)
    topics = dict(zip(names, [f"from-{name}" for name in (*names[1:], names[0])], strict=True))
    options = {"consume": MORE_THAN_THERE_IS, "work_ms": WORK_MS}
    first = [
        await start(name, cluster.addresses, topic=topic, group=f"in-{name}", **options)
        for name, topic in topics.items()
    ]
    await _survive_the_node(cluster, first)
    await _survive_themselves(start, cluster, topics, first)


@pytest.mark.parametrize("name", LANGUAGES)
async def test_a_program_speaks_tls(data_dir: Path, start: Start, name: str) -> None:
    """It shows its certificate to nodes that want one, and what it publishes it reads again."""
    built(name)
    with claimed_ports(1) as port:
        cluster = LocalCluster(data_dir, nodes=1, port=port, speaks="mutual")
        try:
            cluster.start_all()
            await wait_ready(cluster)
            assert cluster.tls is not None
            files = {f"tls_{part}": getattr(cluster.tls, f"{part}_file") for part in ("ca", "cert", "key")}
            program = await start(name, cluster.addresses, topic="orders", publish=20, consume=20, **files)
            assert await program.ended() == 0, program.errors
        finally:
            cluster.stop()
    assert 20 == json.loads(program.rest[0])["receipts"]
    assert set(range(20)) == {item.value for item in program.processed}


async def test_members_in_four_languages_share_a_topic(
    make_cluster: Callable[[int], LocalCluster], start: Start
) -> None:
    """One group: they give partitions to each other as they come and leave; every record is processed once."""
    for name in LANGUAGES:
        built(name)
    cluster = make_cluster(3)
    cluster.start_all()
    await wait_ready(cluster)
    async with await connect(cluster.addresses) as client:
        await client.create_topic("shared", partitions=12)
        stopping = asyncio.Event()

        async def publish() -> None:
            number = 0
            while not stopping.is_set():
                await client.publish("shared", b"%d" % number, key=b"k%d" % (number % 200))
                number += 1

        publishing = asyncio.create_task(publish())
        members = []
        for name in LANGUAGES:
            members.append(await start(name, cluster.addresses, topic="shared", group="all", consume=RECORDS))
            await members[-1].until(lambda member: bool(member.processed))
        for member in members:
            assert await member.ended() == 0, member.errors
        stopping.set()
        await publishing

    counted = Counter((item.partition, item.offset) for member in members for item in member.processed)
    assert {1} == set(counted.values())
    for number in range(12):
        offsets = sorted(offset for partition, offset in counted if partition == number)
        assert list(range(len(offsets))) == offsets, "nothing was skipped"
    for member in members:
        partitions = {item.partition for item in member.processed}
        print(f"{member.name}: {len(member.processed)} records of {len(partitions)} partitions")
