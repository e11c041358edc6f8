"""External workers in both worlds: what a node's side makes of a stream that speaks frames, goes on, or breaks."""

import asyncio
import dataclasses

import pytest

from cluster.config import ProcessingOptions
from cluster.errors import HostFailed
from cluster.processing.hosting.frames import (
    PROTOCOL,
    Described,
    Done,
    Ended,
    Open,
    Opened,
    ReadState,
    Run,
    decode_node_frame,
    encode,
)
from cluster.processing.hosting.workers import Workers
from cluster.processing.hosts import Seat
from cluster.processing.work import Effects, StateChange
from cluster.wire.work import WORK, Pieces, hello, pieces_of, request
from tests.contracts.places import on_all_networks, until
from tests.processing.apps import shop as app
from tests.processing.hosting.works import Kept, shop, work

LARGE = bytes(5 * 1024 * 1024)


class Speaking:
    """A worker without user code: to each work it reads one value, and gives it back as a change."""

    def __init__(self, channel) -> None:
        self.stream = channel.stream(WORK)
        self.last_words: bytes = b""
        self.mute = False

    async def run(self) -> None:
        """Until the node ends it."""
        said = hello(app="shop", code_sha256=shop().sha256, worker="w", version="1", protocol=PROTOCOL)
        await self.stream.send(said)
        await self.stream.receive()
        await self.say(Described(protocol=PROTOCOL, specs=app.app.specs()))
        pieces, seat = Pieces(1 << 32), 0
        while (data := await self.stream.receive()) is not None:
            frame = pieces.take_response(data)
            match decode_node_frame(frame) if frame is not None else None:
                case Open(seat=number):
                    await self.say(Opened(seat=number))
                case Run(seat=number):
                    seat = number
                    if self.last_words:
                        await self.say_encoded(self.last_words)
                        await self.stream.finish()
                    elif not self.mute:
                        await self.say(ReadState(seat=number, places=[("s", b"k")]))
                case None:
                    continue
                case state:
                    change = StateChange(store="s", key=b"k", value=(state.values[0] or b"") + b"1")
                    effects = Effects(state=[change], timers=[], outputs=[], watermark_ns=0, counts={})
                    await self.say(Done(seat=seat, effects=effects))

    async def say(self, frame) -> None:
        """A frame to the node."""
        await self.say_encoded(encode(frame))

    async def say_encoded(self, data: bytes) -> None:
        """The same."""
        for piece in pieces_of(data):
            await self.stream.send(request(piece))


async def connected(place, workers: Workers) -> tuple[Speaking, asyncio.Task]:
    """A worker that talks."""
    listener = await place.listen(workers.routes())
    worker = Speaking(place.channel(listener.address))
    speaking = asyncio.create_task(worker.run())
    await until(lambda: bool(workers._workers))
    return worker, speaking


async def opened(workers: Workers, kept: Kept):
    """A task's runner."""
    seat = Seat(app="shop", stage="total", version=1, task=0, tasks=1, partitions=1)
    return await workers.open(shop(), seat, kept.read)


@on_all_networks
async def test_frames_of_any_size_go_both_ways(place) -> None:
    """State of more than a message goes there, and comes back changed."""
    workers, kept = Workers(ProcessingOptions(), version="1"), Kept()
    _, speaking = await connected(place, workers)
    kept.values["s", b"k"] = LARGE
    host = await opened(workers, kept)
    for n in (1, 2):
        kept.commit(await host.run(work(n, 1)))

    assert LARGE + b"11" == kept.values["s", b"k"]
    await workers.close()
    with pytest.raises(HostFailed, match="this node closes"):
        await speaking


@on_all_networks
async def test_what_a_worker_has_need_not_be_imported_here(place) -> None:
    """It has said what is in its code, and says nothing of other code, or of another app in it."""
    workers, code = Workers(ProcessingOptions(), version="1"), shop()
    assert workers.described(code) is None
    _, speaking = await connected(place, workers)

    assert app.app.specs() == workers.described(code)
    assert workers.described(dataclasses.replace(code, content=b"other")) is None
    assert workers.described(dataclasses.replace(code, app="other")) is None
    await workers.close()
    await asyncio.wait({speaking})
    assert workers.described(code) is None


@on_all_networks
async def test_the_last_words_of_a_worker_are_the_reason(place) -> None:
    """What it says of its own end is what whoever waits hears."""
    workers = Workers(ProcessingOptions(), version="1")
    worker, speaking = await connected(place, workers)
    host = await opened(workers, Kept())
    worker.last_words = encode(Ended(cause="memory", why="it has eaten too much"))
    with pytest.raises(HostFailed, match="it has eaten too much") as caught:
        await host.run(work(1, 1))

    assert ("memory", "yes") == (caught.value.metadata["cause"], caught.value.metadata["at_work"])
    assert [] == workers._workers
    await asyncio.wait({speaking})


@on_all_networks
async def test_a_stream_that_breaks_is_a_worker_that_is_lost(place) -> None:
    """In the middle of a work, and no work is to blame."""
    workers = Workers(ProcessingOptions(), version="1")
    worker, speaking = await connected(place, workers)
    worker.mute = True
    host = await opened(workers, Kept())
    running = asyncio.create_task(host.run(work(1, 1)))
    await asyncio.sleep(place.short_s)
    worker.stream.cancel()
    with pytest.raises(HostFailed, match="worker w was lost") as caught:
        await running

    assert ("exit", "no") == (caught.value.metadata["cause"], caught.value.metadata["at_work"])
    await asyncio.wait({speaking})


@on_all_networks
async def test_a_worker_that_hangs_is_told_so(place) -> None:
    """Its stream ends with the reason."""
    workers = Workers(ProcessingOptions(work_s_max=0.2), version="1")
    worker, speaking = await connected(place, workers)
    worker.mute = True
    host = await opened(workers, Kept())
    with pytest.raises(HostFailed, match=r"a work took longer than 0\.2 s") as caught:
        await host.run(work(1, 1))
    assert ("hang", "yes") == (caught.value.metadata["cause"], caught.value.metadata["at_work"])
    with pytest.raises(HostFailed, match=r"a work took longer than 0\.2 s"):
        await speaking
