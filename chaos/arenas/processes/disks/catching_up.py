"""A node whose disk has forgotten something has it again: asked of the nodes themselves, by what they verify.

Before that another fault, of another node, could take the second copy of what only two had: nothing can be promised
then. So what takes bytes that were acknowledged is mended only when they are back.
"""

import asyncio
from collections.abc import Sequence

from cluster.client.client import Client
from cluster.client.verifying import CopyState
from cluster.config import ClientOptions
from cluster.errors import OffsetOutOfRange, RiverrunError, UnknownTopic
from cluster.real.clock import RealClock, real_random
from cluster.real.network import RealNetwork

WITHIN_S = 30.0
ASK_S = 0.1
THERE = {CopyState.HELD, CopyState.TRIMMED, CopyState.COMPACTED}


async def caught_up(node: int, servers: Sequence[str], *, within_s: float = WITHIN_S) -> bool:
    """Whether the node came to hold, on its disk, the last record that each partition had when this was called."""
    options = ClientOptions(connect_timeout_s=2.0, request_timeout_s=3.0)
    client = Client(servers, network=RealNetwork(), clock=RealClock(), random=real_random(), options=options)
    try:
        async with asyncio.timeout(within_s):
            missing = await _ends(client)
            while missing:
                missing = [place for place in missing if not await _is_there(client, node, *place)]
                await asyncio.sleep(ASK_S if missing else 0)
    except TimeoutError:
        return False
    finally:
        await client.abandon()
    return True


async def _ends(client: Client) -> list[tuple[str, int, int]]:
    """The last record of each partition that has some."""
    while True:
        try:
            found = []
            for topic in await client.list_topics():
                for number, part in (await client.offsets(topic.name)).items():
                    if part.end > part.first:
                        found.append((topic.name, number, int(part.end) - 1))
        except RiverrunError:
            await asyncio.sleep(ASK_S)
        else:
            return found


async def _is_there(client: Client, node: int, topic: str, partition: int, offset: int) -> bool:
    try:
        found = await client.verify(topic, partition, offset)
    except (UnknownTopic, OffsetOutOfRange):
        return True  # deleted meanwhile
    except RiverrunError:
        return False
    copies = [copy for copy in found.copies if copy.node == node]
    return not copies or copies[0].state in THERE
