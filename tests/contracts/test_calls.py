"""Contract of calls with one request and one answer."""

import asyncio

import pytest

from cluster.errors import (
    Closed,
    DeadlineExceeded,
    InvalidRequest,
    NotLeader,
    OffsetOutOfRange,
    Outcome,
    OutcomeUnknown,
    RefusedToStart,
    RiverrunError,
    Unavailable,
    Unsupported,
)
from cluster.world import MESSAGE_BYTES_MAX
from tests.contracts.places import method, on_all_networks, routes, until, within


async def echo(request, call):
    """The request again."""
    del call
    return request


def held():
    """A handler that waits until it is let go, and what it tells about itself."""
    told = {"begun": 0, "cancelled": 0, "go": asyncio.Event()}

    async def handler(request, call):
        del call
        told["begun"] += 1
        try:
            await told["go"].wait()
        except asyncio.CancelledError:
            told["cancelled"] += 1
            raise
        return request

    return handler, told


@on_all_networks
async def test_an_answer_comes_back(place):
    """Any bytes, also none at all."""
    channel = await place.serve(echo=echo)
    sent = [b"", b"\0", bytes(range(256)), b"x" * 100_000]

    assert sent == [await channel.call(method("echo"), request, timeout_s=5) for request in sent]


@on_all_networks
async def test_a_slow_call_holds_nobody_up(place):
    """Calls on one channel are under way at the same time, and each gets its own answer."""
    slow, told = held()
    channel = await place.serve(echo=echo, slow=slow)
    waiting = [asyncio.create_task(channel.call(method("slow"), b"%d" % n, timeout_s=9)) for n in range(20)]
    await until(lambda: told["begun"] == 20)
    quick = await channel.call(method("echo"), b"quick", timeout_s=5)
    told["go"].set()

    assert b"quick" == quick
    assert [b"%d" % n for n in range(20)] == await within(asyncio.gather(*waiting))


@on_all_networks
async def test_the_handler_knows_its_caller(place):
    """Metadata, the time that is left, and somebody's name."""
    seen = []

    async def look(request, call):
        seen.append((call.metadata().get("x-forwarded"), call.time_left_s(), call.peer()))
        return request

    channel = await place.serve(look=look)
    await channel.call(method("look"), b"", timeout_s=5, metadata={"x-forwarded": "1"})
    await channel.call(method("look"), b"", timeout_s=500)

    assert ["1", None] == [forwarded for forwarded, _, _ in seen]
    assert all(peer for _, _, peer in seen)
    assert 4 < seen[0][1] < 6  # it travels rounded
    assert 400 < seen[1][1] < 600


@on_all_networks
async def test_an_error_arrives_as_it_was_raised(place):
    """Its class, its message in any script, and its metadata."""

    async def refuse(request, call):
        del request, call
        raise OffsetOutOfRange("offset 7 is über the end ☃", first="3", end="5")

    channel = await place.serve(refuse=refuse)
    with pytest.raises(OffsetOutOfRange) as caught:
        await channel.call(method("refuse"), b"", timeout_s=5)

    assert "offset 7 is über the end ☃" == caught.value.message
    assert {"first": "3", "end": "5"} == caught.value.metadata


@on_all_networks
async def test_an_error_that_is_too_long_to_travel_is_still_the_same_error(place):
    """What programs act on arrives; a text of many pages may be cut."""

    async def refuse(request, call):
        del request, call
        raise NotLeader("no " * 20_000, leader="node-2:7171")

    channel = await place.serve(refuse=refuse)
    with pytest.raises(NotLeader, match="no no no") as caught:
        await channel.call(method("refuse"), b"", timeout_s=5)

    assert {"leader": "node-2:7171"} == caught.value.metadata


@on_all_networks
async def test_a_handler_that_breaks_leaves_the_outcome_unknown(place):
    """A bug in a handler ends the call, not the caller's patience; the next call is answered."""

    async def buggy(request, call):
        del call
        raise ValueError(request)

    channel = await place.serve(buggy=buggy, echo=echo)
    with pytest.raises(RiverrunError) as caught:
        await within(channel.call(method("buggy"), b"", timeout_s=9), 5)

    assert Outcome.UNKNOWN is caught.value.outcome
    assert b"next" == await channel.call(method("echo"), b"next", timeout_s=5)


@on_all_networks
async def test_an_unknown_method_is_unsupported(place):
    """Nothing was done, and no retry will help."""
    channel = await place.serve(echo=echo)
    with pytest.raises(Unsupported) as caught:
        await channel.call(method("other"), b"", timeout_s=5)

    assert not caught.value.retry


@on_all_networks
async def test_the_deadline_ends_the_wait_and_the_work(place):
    """DeadlineExceeded for the caller, a cancellation for the handler."""
    handler, told = held()
    channel = await place.serve(slow=handler)
    with pytest.raises(DeadlineExceeded):
        await within(channel.call(method("slow"), b"", timeout_s=place.short_s), 5)
    await until(lambda: told["cancelled"] == 1)

    assert 1 == told["begun"]


@on_all_networks
async def test_a_deadline_that_has_passed(place):
    """Refused at once, the same way."""
    channel = await place.serve(echo=echo)
    for timeout_s in (0.0, -1.0):
        with pytest.raises(DeadlineExceeded):
            await within(channel.call(method("echo"), b"", timeout_s=timeout_s), 5)


@on_all_networks
async def test_a_caller_who_gives_up_cancels_the_handler(place):
    """Cancelling the waiting task reaches the other side."""
    handler, told = held()
    channel = await place.serve(slow=handler)
    caller = asyncio.create_task(channel.call(method("slow"), b"", timeout_s=60))
    await until(lambda: told["begun"] == 1)
    caller.cancel()
    await asyncio.wait([caller])
    await until(lambda: told["cancelled"] == 1)

    assert caller.cancelled()


@on_all_networks
async def test_nobody_there(place):
    """Unavailable, soon: nothing was done, a retry may help."""
    listener = await place.listen(routes(echo=echo))
    await listener.close(0)
    channel = place.channel(listener.address)
    with pytest.raises(Unavailable):
        await within(channel.call(method("echo"), b"", timeout_s=60), 5)


@on_all_networks
async def test_a_server_that_goes_leaves_the_outcome_unknown(place):
    """The request was there, the answer never came: that is not the same as Unavailable."""
    handler, told = held()
    listener = await place.listen(routes(slow=handler))
    channel = place.channel(listener.address)
    caller = asyncio.create_task(channel.call(method("slow"), b"", timeout_s=60))
    await until(lambda: told["begun"] == 1)
    await listener.close(0)
    with pytest.raises(OutcomeUnknown):
        await within(caller, 5)
    await until(lambda: told["cancelled"] == 1)

    assert told["begun"] == 1


@on_all_networks
async def test_a_channel_finds_a_server_that_came_back(place):
    """The same channel, the same address, a new listener: within seconds."""
    first = await place.listen(routes(echo=echo))
    channel = place.channel(first.address)
    before = await channel.call(method("echo"), b"1", timeout_s=5)
    await first.close(0)
    with pytest.raises(Unavailable):
        await within(channel.call(method("echo"), b"2", timeout_s=60), 5)
    await place.listen(routes(echo=echo), first.address)
    after = None
    async with asyncio.timeout(5):
        while after is None:
            try:
                after = await channel.call(method("echo"), b"3", timeout_s=5)
            except Unavailable:
                await asyncio.sleep(0.01)

    assert (b"1", b"3") == (before, after)


@on_all_networks
async def test_closing_lets_running_calls_end(place):
    """Within the grace they are answered; whoever comes now is refused."""
    handler, told = held()
    listener = await place.listen(routes(slow=handler, echo=echo))
    channel = place.channel(listener.address)
    running = asyncio.create_task(channel.call(method("slow"), b"in time", timeout_s=60))
    await until(lambda: told["begun"] == 1)
    closing = asyncio.create_task(listener.close(30))
    await asyncio.sleep(place.short_s)
    with pytest.raises(Unavailable):
        await within(channel.call(method("echo"), b"", timeout_s=60), 5)
    assert not closing.done()
    told["go"].set()

    assert b"in time" == await within(running, 5)
    await within(closing, 5)


@on_all_networks
async def test_closing_cuts_what_outlasts_the_grace(place):
    """The caller learns that the outcome is unknown, the handler is cancelled, the close ends."""
    handler, told = held()
    listener = await place.listen(routes(slow=handler))
    channel = place.channel(listener.address)
    running = asyncio.create_task(channel.call(method("slow"), b"", timeout_s=60))
    await until(lambda: told["begun"] == 1)
    await within(listener.close(place.short_s), 5)
    with pytest.raises(OutcomeUnknown):
        await within(running, 5)

    assert 1 == told["cancelled"]


@on_all_networks
async def test_a_closed_channel_ends_what_is_under_way(place):
    """With a typed error, not with a cancellation that nobody asked for; the handler is cancelled."""
    handler, told = held()
    channel = await place.serve(slow=handler)
    running = asyncio.create_task(channel.call(method("slow"), b"", timeout_s=60))
    await until(lambda: told["begun"] == 1)
    await channel.close()
    with pytest.raises(OutcomeUnknown):
        await within(running, 5)
    await until(lambda: told["cancelled"] == 1)

    assert 1 == told["begun"]


@on_all_networks
async def test_a_closed_channel_stays_closed(place):
    """Closed for every use; closing again is fine."""
    channel = await place.serve(echo=echo)
    await channel.call(method("echo"), b"", timeout_s=5)
    await channel.close()
    await channel.close()
    with pytest.raises(Closed):
        await channel.call(method("echo"), b"", timeout_s=5)
    with pytest.raises(Closed):
        channel.stream(method("echo"))


@pytest.mark.slow
@on_all_networks
async def test_the_largest_message_and_one_byte_more(place):
    """Up to the limit both ways; beyond it a refusal that says so, before anything is sent, and life goes on."""
    begun = []

    async def grow(request, call):
        del call
        begun.append(len(request))
        return request + b"x"

    channel = await place.serve(grow=grow, echo=echo)
    largest = b"x" * MESSAGE_BYTES_MAX
    assert largest == await channel.call(method("echo"), largest, timeout_s=30)
    with pytest.raises(InvalidRequest, match="at most 33554432"):
        await channel.call(method("grow"), largest + b"x", timeout_s=30)
    assert [] == begun
    with pytest.raises(InvalidRequest, match="at most 33554432"):
        await channel.call(method("grow"), largest, timeout_s=30)

    assert b"yx" == await channel.call(method("grow"), b"y", timeout_s=5)


@on_all_networks
async def test_a_port_is_listened_on_once(place):
    """The second one is refused in one sentence; after the first is closed the address is free."""
    first = await place.listen(routes(echo=echo))
    with pytest.raises(RefusedToStart, match="cannot listen on"):
        await place.listen(routes(echo=echo), first.address)
    await first.close(0)
    second = await place.listen(routes(echo=echo), first.address)

    assert first.address == second.address


@on_all_networks
async def test_port_0_is_any_free_port(place):
    """Each listener has its own, and says which."""
    one, other = await place.listen(routes(echo=echo)), await place.listen(routes(echo=echo))

    assert one.address != other.address
    assert not {one.address, other.address} & {place.any_port}
    assert b"?" == await place.channel(other.address).call(method("echo"), b"?", timeout_s=5)
