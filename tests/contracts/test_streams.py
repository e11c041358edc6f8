"""Contract of streams: messages both ways, in order and at most once, until somebody ends it."""

import asyncio

import pytest

from cluster.errors import InvalidRequest, NotLeader, Outcome, OutcomeUnknown, RiverrunError, Unavailable, Unsupported
from cluster.world import MESSAGE_BYTES_MAX
from tests.contracts.places import all_of, method, on_all_networks, routes, still, until, within

MANY = 300


async def mirror(requests, call):
    """Each request again."""
    del call
    async for request in requests:
        yield request


def silent():
    """A handler that takes nothing and says nothing, and what became of it."""
    told = {"begun": 0, "ended": 0}

    async def handler(requests, call):
        del requests, call
        told["begun"] += 1
        try:
            await asyncio.Event().wait()
            yield b""
        finally:
            told["ended"] += 1

    return handler, told


@on_all_networks
async def test_both_ways_at_once_in_order(place):
    """Hundreds of messages, sent while answers come: each once, none overtakes another."""
    channel = await place.serve(mirror=mirror)
    stream = channel.stream(method("mirror"))
    sent = [b"%d" % n for n in range(MANY)]

    async def send_all():
        for message in sent:
            await stream.send(message)
        await stream.finish()

    sending = asyncio.create_task(send_all())

    assert sent == await within(all_of(stream))
    await sending


@on_all_networks
async def test_one_request_many_answers(place):
    """The shape of a read: any bytes are a message, also none, and none of them is the end."""

    async def count(requests, call):
        del call
        first = await anext(requests)
        yield b""
        for n in range(MANY):
            yield first + b"%d" % n

    channel = await place.serve(count=count)
    stream = channel.stream(method("count"))
    await stream.send(b"n=")
    await stream.finish()

    assert [b"", *(b"n=%d" % n for n in range(MANY))] == await within(all_of(stream))


@on_all_networks
async def test_many_requests_one_answer(place):
    """The server sees the end of the requests and may still speak."""

    async def count(requests, call):
        del call
        yield b"%d" % len([request async for request in requests])

    channel = await place.serve(count=count)
    stream = channel.stream(method("count"))
    for _ in range(MANY):
        await stream.send(b"")
    await stream.finish()

    assert [b"%d" % MANY] == await within(all_of(stream))


@on_all_networks
async def test_streams_do_not_know_each_other(place):
    """Ten on one channel: one that nobody reads holds none of the others up."""
    stuck, told = silent()
    channel = await place.serve(mirror=mirror, stuck=stuck)
    blocked = channel.stream(method("stuck"))
    filling = asyncio.create_task(_fill(blocked, b"x" * 65_536, limit=1_000))
    streams = [channel.stream(method("mirror")) for _ in range(10)]
    for n, stream in enumerate(streams):
        await within(stream.send(b"%d" % n))
        await stream.finish()
    got = [await within(all_of(stream)) for stream in streams]
    await until(lambda: told["begun"] == 1)
    filling.cancel()
    await asyncio.wait([filling])

    assert [[b"%d" % n] for n in range(10)] == got


@on_all_networks
async def test_metadata_comes_along(place):
    """With the stream, before its first message; a stream without a deadline has all the time."""

    async def look(requests, call):
        del requests
        yield f"{call.metadata().get('x-forwarded')} {call.time_left_s()}".encode()

    channel = await place.serve(look=look)

    assert [b"1 None"] == await within(all_of(channel.stream(method("look"), metadata={"x-forwarded": "1"})))


@on_all_networks
async def test_an_error_comes_after_what_was_said_before_it(place):
    """No message is lost to the error behind it, however late it is read; then it is raised, and again if asked."""

    async def fail_late(requests, call):
        del requests, call
        for n in range(10):
            yield b"%d" % n
        raise NotLeader("moved", leader="node-2:7171")

    channel = await place.serve(fail_late=fail_late)
    stream = channel.stream(method("fail_late"))
    await asyncio.sleep(place.short_s)
    got = [await within(stream.receive()) for _ in range(10)]
    for _ in range(2):
        with pytest.raises(NotLeader, match="moved") as caught:
            await within(stream.receive())
        assert {"leader": "node-2:7171"} == caught.value.metadata

    assert [b"%d" % n for n in range(10)] == got


@on_all_networks
async def test_the_end_stays_the_end(place):
    """None, each time it is asked for; and nothing can be sent into it."""

    async def brief(requests, call):
        del requests, call
        yield b"all"

    channel = await place.serve(brief=brief)
    stream = channel.stream(method("brief"))

    assert [b"all"] == await within(all_of(stream))
    assert None is await within(stream.receive())
    with pytest.raises(Unavailable):
        await within(stream.send(b""))
    await within(stream.finish())


@on_all_networks
async def test_nothing_is_sent_after_the_finish(place):
    """Unavailable, and what was said before is answered."""
    channel = await place.serve(mirror=mirror)
    stream = channel.stream(method("mirror"))
    await stream.send(b"first")
    await stream.finish()
    with pytest.raises(Unavailable):
        await stream.send(b"second")
    await stream.finish()

    assert [b"first"] == await within(all_of(stream))


@on_all_networks
async def test_a_handler_that_breaks_leaves_the_outcome_unknown(place):
    """A bug in a handler ends the stream; whoever waits is told."""

    async def buggy(requests, call):
        del call
        async for request in requests:
            raise ValueError(request)
        yield b""

    channel = await place.serve(buggy=buggy)
    stream = channel.stream(method("buggy"))
    await stream.send(b"")
    with pytest.raises(RiverrunError) as caught:
        await within(stream.receive(), 5)

    assert Outcome.UNKNOWN is caught.value.outcome


@on_all_networks
async def test_an_unknown_method_is_unsupported(place):
    """As for calls."""
    channel = await place.serve(mirror=mirror)
    stream = channel.stream(method("other"))
    with pytest.raises(Unsupported):
        await within(stream.receive(), 5)


@on_all_networks
async def test_nobody_there(place):
    """Opening is no I/O; Unavailable comes with the first use, soon."""
    listener = await place.listen(routes(mirror=mirror))
    await listener.close(0)
    stream = place.channel(listener.address).stream(method("mirror"))
    with pytest.raises(Unavailable):
        await within(stream.receive(), 5)
    with pytest.raises(Unavailable):
        await within(stream.send(b""), 5)


@on_all_networks
async def test_a_dropped_stream_ends_the_handler(place):
    """Its `finally` runs, wherever it stood; the one who dropped it can neither send nor receive."""
    handler, told = silent()
    channel = await place.serve(silent=handler)
    stream = channel.stream(method("silent"))
    await stream.send(b"")
    await until(lambda: told["begun"] == 1)
    stream.cancel()
    stream.cancel()
    await until(lambda: told["ended"] == 1)
    with pytest.raises(Unavailable):
        await within(stream.receive(), 5)
    with pytest.raises(Unavailable):
        await within(stream.send(b""), 5)
    await within(stream.finish(), 5)


@on_all_networks
async def test_a_dropped_stream_is_no_finish(place):
    """Whoever reads the requests beside the handler never takes the break for the client's last word."""
    told = {"begun": 0, "finished": 0, "ended": 0}

    async def read_all(requests):
        async for _ in requests:
            told["begun"] += 1
        told["finished"] += 1

    async def handler(requests, call):
        del call
        reading = asyncio.create_task(read_all(requests))
        try:
            await reading
            yield b"all"
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            told["ended"] += 1

    channel = await place.serve(beside=handler)
    for number in range(1, 4):
        stream = channel.stream(method("beside"))
        await stream.send(b"")
        await until(lambda number=number: told["begun"] == number)
        stream.cancel()
        await until(lambda number=number: told["ended"] == number)

    assert 0 == told["finished"]
    stream = channel.stream(method("beside"))
    await stream.send(b"")
    await stream.finish()
    assert [b"all"] == await within(all_of(stream))


@on_all_networks
async def test_a_dropped_stream_frees_who_waits_on_it(place):
    """The tasks that send and receive get an error; they are not cancelled themselves."""
    handler, told = silent()
    channel = await place.serve(silent=handler)
    stream = channel.stream(method("silent"))
    receiving = asyncio.create_task(stream.receive())
    sending = asyncio.create_task(_fill(stream, b"x" * 65_536, limit=1_000))
    await until(lambda: told["begun"] == 1)
    await asyncio.sleep(place.short_s)
    assert not sending.done()
    stream.cancel()
    for task in (receiving, sending):
        with pytest.raises(Unavailable):
            await within(task, 5)


@on_all_networks
async def test_a_handler_that_waits_for_room_is_ended(place):
    """Dropping a stream that one never read closes the generator behind it."""
    told = {"ended": 0}

    async def flood(requests, call):
        del requests, call
        try:
            while True:
                yield b"x" * 65_536
        finally:
            told["ended"] += 1

    channel = await place.serve(flood=flood)
    stream = channel.stream(method("flood"))
    await within(stream.receive())
    await asyncio.sleep(place.short_s)
    stream.cancel()
    await until(lambda: told["ended"] == 1)

    assert 1 == told["ended"]


@on_all_networks
async def test_giving_up_a_wait_drops_the_stream(place):
    """What a cancelled receive may have taken cannot come again, so the stream ends, for both sides."""
    handler, told = silent()
    channel = await place.serve(silent=handler)
    stream = channel.stream(method("silent"))
    await stream.send(b"")
    await until(lambda: told["begun"] == 1)
    with pytest.raises(TimeoutError):
        await within(stream.receive(), place.short_s)
    await until(lambda: told["ended"] == 1)
    with pytest.raises(Unavailable):
        await within(stream.receive(), 5)


@on_all_networks
async def test_a_server_that_goes_breaks_its_streams(place):
    """Both the reader and the writer who waits for room are told; the handler is cancelled."""
    handler, told = silent()
    listener = await place.listen(routes(silent=handler))
    stream = place.channel(listener.address).stream(method("silent"))
    sending = asyncio.create_task(_fill(stream, b"x" * 65_536, limit=1_000))
    receiving = asyncio.create_task(stream.receive())
    await until(lambda: told["begun"] == 1)
    await asyncio.sleep(place.short_s)
    await within(listener.close(0), 5)
    with pytest.raises(OutcomeUnknown):
        await within(receiving, 5)
    with pytest.raises(RiverrunError):
        await within(sending, 5)
    await until(lambda: told["ended"] == 1)


@on_all_networks
async def test_a_server_that_ends_frees_a_waiting_writer(place):
    """The handler is done and has not taken everything: the writer is told instead of waiting for ever."""
    go = asyncio.Event()

    async def impatient(requests, call):
        del requests, call
        await go.wait()
        yield b"enough"

    channel = await place.serve(impatient=impatient)
    stream = channel.stream(method("impatient"))
    sending = asyncio.create_task(_fill(stream, b"x" * 65_536, limit=1_000))
    await asyncio.sleep(place.short_s)
    go.set()

    assert [b"enough"] == await within(all_of(stream))
    with pytest.raises(Unavailable):
        await within(sending, 5)


@on_all_networks
async def test_a_refusal_reaches_a_reader_whose_writer_waits(place):
    """The handler says something and refuses: both are read, whatever the writer met in the meantime."""
    go = asyncio.Event()

    async def refuse(requests, call):
        del requests, call
        await go.wait()
        yield b"so far"
        raise NotLeader("moved", leader="node-2:7171")

    channel = await place.serve(refuse=refuse)
    stream = channel.stream(method("refuse"))
    sending = asyncio.create_task(_fill(stream, b"x" * 65_536, limit=1_000))
    await asyncio.sleep(place.short_s)
    go.set()
    with pytest.raises(Unavailable):
        await within(sending, 5)

    assert b"so far" == await within(stream.receive(), 5)
    with pytest.raises(NotLeader, match="moved"):
        await within(stream.receive(), 5)


@on_all_networks
async def test_a_stream_ends_within_the_grace(place):
    """A listener that closes waits for a stream that is about to end."""
    listener = await place.listen(routes(mirror=mirror))
    stream = place.channel(listener.address).stream(method("mirror"))
    await stream.send(b"1")
    first = await within(stream.receive())
    closing = asyncio.create_task(listener.close(30))
    await asyncio.sleep(place.short_s)
    assert not closing.done()
    await stream.send(b"2")
    await stream.finish()

    assert [b"1", b"2"] == [first, *await within(all_of(stream))]
    await within(closing, 5)


@on_all_networks
async def test_a_closed_channel_breaks_its_streams(place):
    """Both sides learn of it."""
    handler, told = silent()
    channel = await place.serve(silent=handler)
    stream = channel.stream(method("silent"))
    receiving = asyncio.create_task(stream.receive())
    await until(lambda: told["begun"] == 1)
    await channel.close()
    with pytest.raises(RiverrunError):
        await within(receiving, 5)
    await until(lambda: told["ended"] == 1)


async def held_back(place, *, many, size):
    """How many messages of that size get under way to a handler that takes none yet; then it takes all of them."""
    go = asyncio.Event()

    async def late(requests, call):
        del call
        await go.wait()
        async for request in requests:
            yield request[:4]

    channel = await place.serve(late=late)
    stream = channel.stream(method("late"))
    taken = []
    sending = asyncio.create_task(_fill(stream, b"x" * size, limit=many, taken=taken))
    under_way = await still(lambda: len(taken))
    go.set()

    assert [b"%04d" % n for n in range(many)] == await within(all_of(stream))
    await within(sending)
    return under_way


@pytest.mark.slow
@on_all_networks
async def test_a_slow_handler_holds_the_writer_back(place):
    """What a writer can have under way is bounded, and goes on when the reader does; nothing is lost."""
    assert 0 < await held_back(place, many=MANY, size=65_536) < MANY


@pytest.mark.slow
@on_all_networks
async def test_large_messages_are_held_back_too(place):
    """Of messages of a mebibyte no more than a few are under way."""
    assert 0 < await held_back(place, many=40, size=1 << 20) <= 20


@pytest.mark.slow
@on_all_networks
async def test_a_slow_reader_holds_the_handler_back(place):
    """The same in the other direction."""
    written = []

    async def flood(requests, call):
        del requests, call
        for n in range(MANY):
            yield b"%04d" % n + b"x" * 65_532
            written.append(n)

    channel = await place.serve(flood=flood)
    stream = channel.stream(method("flood"))
    under_way = await still(lambda: len(written))
    got = [message[:4] for message in await within(all_of(stream))]

    assert 0 < under_way < MANY
    assert [b"%04d" % n for n in range(MANY)] == got


@pytest.mark.slow
@on_all_networks
async def test_a_message_that_is_too_large(place):
    """Refused before anything is sent; the stream goes on. An answer that is too large ends it with an error."""

    async def grow(requests, call):
        del call
        async for request in requests:
            yield request * 2

    channel = await place.serve(grow=grow)
    stream = channel.stream(method("grow"))
    with pytest.raises(InvalidRequest, match="at most 33554432"):
        await stream.send(b"x" * (MESSAGE_BYTES_MAX + 1))
    await stream.send(b"x")
    first = await within(stream.receive())
    await stream.send(b"x" * (MESSAGE_BYTES_MAX // 2 + 1))
    with pytest.raises(InvalidRequest, match="at most 33554432"):
        await within(stream.receive())

    assert b"xx" == first


async def _fill(stream, message, *, limit, taken=None):
    """Send numbered messages of that size; the numbers of those that were handed over go to `taken`."""
    for n in range(limit):
        await stream.send(b"%04d" % n + message[4:])
        if taken is not None:
            taken.append(n)
    await stream.finish()
