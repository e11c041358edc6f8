"""What is done to packets, measured between the places, with wide margins; and that nothing else is done."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from chaos.arenas.processes.netspace.control import Wiring
from chaos.arenas.processes.netspace.namespaces import CLIENTS
from tests.chaos.netspace.conftest import Places

pytestmark = [pytest.mark.root, pytest.mark.slow]
Make = Callable[[Wiring], Awaitable[Places]]
COUNT = 1000


async def test_datagrams_are_lost_doubled_and_reordered_on_their_pairs_only(make_places: Make) -> None:
    """One fault after another at nodes 1 and 2; elsewhere, and once it is mended, all comes as it was sent."""
    places = await make_places("switch")
    whole = list(range(COUNT))
    mend = await places.inject("packet_loss", [2], share=0.3, links="peers")
    assert 550 < len(await places.arrived(1, 2, COUNT)) < 850
    assert whole == await places.arrived(1, 3, COUNT)
    assert whole == await places.arrived(CLIENTS, 2, COUNT)
    await mend()
    mend = await places.inject("packet_duplicate", [1], share=0.3)
    came = await places.arrived(1, 2, COUNT, at_most=2 * COUNT)
    assert 1150 < len(came) < 1450
    assert set(whole) == set(came)
    await mend()
    mend = await places.inject("packet_reorder", [1], share=0.1)
    came = await places.arrived(1, 2, COUNT)
    assert whole == sorted(came)
    assert 30 < sum(after < before for before, after in pairwise(came)) < 300
    await mend()
    assert whole == await places.arrived(1, 2, COUNT)


async def test_packets_are_delayed_and_several_faults_add_up(make_places: Make) -> None:
    """A delay there and back; two at once; each mended by itself."""
    places = await make_places("switch")
    first = await places.inject("packet_delay", [2], delay_s=0.1, jitter_s=0.0, links="all")
    assert 0.2 <= await places.trip_s(1, 2) < 0.4
    assert 0.2 <= await places.trip_s(CLIENTS, 2) < 0.4
    second = await places.inject("packet_delay", [1], delay_s=0.2, jitter_s=0.0, links="peers")
    assert 0.6 <= await places.trip_s(1, 2) < 0.8
    assert 0.2 <= await places.trip_s(CLIENTS, 2) < 0.4
    await first()
    assert 0.4 <= await places.trip_s(1, 2) < 0.6
    await second()
    assert await places.trip_s(1, 2) < 0.2


async def test_bandwidth_is_limited(make_places: Make) -> None:
    """A megabyte through a link of a megabyte a second takes a second; without the limit a tenth of that."""
    places = await make_places("switch")
    free_s, _ = await places.carry(1, 2, 1_000_000)
    await places.inject("bandwidth_limit", [2], bytes_per_s=1_000_000)
    limited_s, _ = await places.carry(1, 2, 1_000_000)

    assert free_s < 0.6
    assert 0.9 < limited_s < 3.0


async def test_bits_flip_and_tcp_does_not_tell(make_places: Make) -> None:
    """Half of the packets are damaged, and a connection carries all of it to the application without an error."""
    places = await make_places("switch")
    _, whole = await places.carry(1, 2, 200_000)
    await places.inject("packet_corrupt", [1], share=0.5)
    _, damaged = await places.carry(1, 2, 200_000)

    assert 0 == whole
    assert 40 < damaged <= (await places.space.remove())["switch_corrupted"]


@pytest.mark.parametrize("wiring", ["switch", "bridge"])
async def test_cuts_drop_what_comes_from_whom_they_cut(make_places: Make, wiring: Wiring) -> None:
    """One way and both, alone and beside each other; clients hear everybody."""
    places = await make_places(wiring)
    one_way = await places.inject("cut_one_way", [2], direction="to", one=False, grouping=1)
    assert [] == await places.arrived(1, 2, 10)
    assert 10 == len(await places.arrived(2, 1, 10))
    assert 10 == len(await places.arrived(CLIENTS, 2, 10))
    alone = await places.inject("partition_one", [2])
    assert [] == await places.arrived(2, 1, 10)
    await one_way()
    assert [] == await places.arrived(1, 2, 10)
    await alone()
    assert 10 == len(await places.arrived(1, 2, 10))
    assert 10 == len(await places.arrived(2, 1, 10))
    assert (await places.space.remove())["nft_hits"] == 30


async def test_resets_end_connections(make_places: Make) -> None:
    """What is open ends with a reset, what connects is refused; mended, a new connection works."""
    places = await make_places("bridge")
    loop = asyncio.get_running_loop()
    there, here = await places.connection(1, 2)
    mend = await places.inject("nft_reset", [2])
    await loop.sock_sendall(there, b"x")
    async with asyncio.timeout(10):
        with pytest.raises(ConnectionResetError):
            await loop.sock_recv(there, 10)
        await loop.sock_sendall(here, b"x")
        with pytest.raises(ConnectionResetError):
            await loop.sock_recv(here, 10)
    with pytest.raises(ConnectionRefusedError):
        await places.connection(1, 2)
    await mend()
    await places.connection(1, 2)


async def test_a_bridge_loses_by_the_kernels_chance(make_places: Make) -> None:
    """And says of what it cannot do that it cannot."""
    places = await make_places("bridge")
    mend = await places.inject("packet_loss", [1], share=0.3)
    assert 550 < len(await places.arrived(1, 2, COUNT)) < 850
    await mend()
    assert COUNT == len(await places.arrived(1, 2, COUNT))
    assert "bridge" in places.injectors["packet_delay"].missing()
