"""Somebody who deletes records, from the beginning of a partition to anywhere."""

from chaos.workloads.load import Load
from cluster.errors import RiverrunError


async def delete_now_and_then(load: Load) -> None:
    """Until the load stops. What is told to be the first record left goes into the history."""
    client, process = load.client("deleter"), "d"
    while not load.stopping:
        await load.think(0.1, 2 * load.plan.deletes_every_s)
        partition = load.random.randrange(load.plan.partitions)
        try:
            place = (await client.offsets(load.topic, [partition]))[partition]
        except RiverrunError:
            continue
        before = load.random.randint(place.first, place.end)
        operation = load.invoke(process, "delete", partition=partition, before=before)
        try:
            left = await client.delete_records(load.topic, partition, before=before)
        except RiverrunError as error:
            load.ended(operation, process, "delete", error, partition=partition, before=before)
        else:
            load.counts["deleted"] += 1
            load.ok(operation, process, "delete", partition=partition, before=before, left=left)
    await client.abandon()
