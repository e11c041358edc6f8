"""Hosts of user code behave alike: a real process for each file, and the simulator's in its own."""

import asyncio
import functools
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec
import pytest

from cluster.config import ProcessingOptions
from cluster.errors import HostFailed, InvalidApp, ProcessorFailed, StateUnreadable, TriesLeft, Unavailable
from cluster.processing.hosts import CodeFile, Hosts
from cluster.processing.work import Work
from cluster.real.hosts import RealHosts
from cluster.sim.clock import simulate
from cluster.sim.hosts import SimHosts
from tests.processing.apps import shop as app
from tests.processing.hosting.works import OPTIONS, Kept, seat, shop, values, work


@dataclass(kw_only=True)
class Place:
    """Hosts of one kind, the shop's code for them, and how their processes are made to fail."""

    hosts: Hosts
    code: CodeFile
    broken: CodeFile
    """Code that does not import."""
    deadly: Callable[[int], Work]
    """A work, with this number, at which the process ends."""
    endless: Callable[[int], Work]
    """One that takes longer than is allowed."""


def in_both_kinds(
    options: ProcessingOptions = OPTIONS,
) -> Callable[[Callable[[Place], Awaitable[None]]], Callable[..., None]]:
    """One test for each kind of hosts."""

    def decorate(test: Callable[[Place], Awaitable[None]]) -> Callable[..., None]:
        @pytest.mark.parametrize("kind", [pytest.param("real", marks=pytest.mark.slow), "sim"])
        def run(kind: str, tmp_path) -> None:
            if kind == "real":
                with asyncio.Runner() as runner:
                    runner.run(_in_real(test, tmp_path, options))
            else:
                for seed in range(1, 4):
                    simulate(_in_sim(test, options, seed), seed)

        functools.update_wrapper(run, test, assigned=("__module__", "__name__", "__qualname__", "__doc__"))
        del run.__wrapped__
        return run

    return decorate


async def _in_real(test: Callable[[Place], Awaitable[None]], root, options: ProcessingOptions) -> None:
    hosts = RealHosts(root, options)
    place = Place(
        hosts=hosts,
        code=shop(),
        broken=CodeFile(name="broken.py", app="", content=b"import nothing_of_that_name"),
        deadly=lambda n: work(n, app.DEADLY),
        endless=lambda n: work(n, app.ENDLESS),
    )
    await _whole(test, place)


async def _in_sim(test: Callable[[Place], Awaitable[None]], options: ProcessingOptions, seed: int) -> None:
    hosts = SimHosts(options, random.Random(seed))

    def deadly(n: int) -> Work:
        hosts.crash_next_work()
        return work(n, 1)

    def endless(n: int) -> Work:
        hosts.hang_next_work(3600)
        return work(n, 1)

    place = Place(
        hosts=hosts,
        code=CodeFile(name="shop.py", app="app", content=b"tests.processing.apps.shop"),
        broken=CodeFile(name="broken.py", app="", content=b"nothing_of_that_name"),
        deadly=deadly,
        endless=endless,
    )
    await _whole(test, place)


async def _whole(test: Callable[[Place], Awaitable[None]], place: Place) -> None:
    try:
        await test(place)
    finally:
        await place.hosts.close()


async def none(places: Sequence[object]) -> list[bytes | None]:
    """There is no state."""
    return [None for _ in places]


@in_both_kinds()
async def test_it_says_what_is_in_a_file(place: Place) -> None:
    """The specs are those of the app; code that does not import, or has no such processor, is refused in a sentence."""
    assert app.app.specs() == await place.hosts.describe(place.code)
    assert not place.hosts.trouble(place.code)
    with pytest.raises(InvalidApp, match=r"ModuleNotFoundError: No module named 'nothing_of_that_name'"):
        await place.hosts.describe(place.broken)
    with pytest.raises(InvalidApp, match="shop has no processor total of version 2 in this file"):
        await place.hosts.open(place.code, seat("total", version=2), none, external=False)


@in_both_kinds()
async def test_a_work_reads_committed_state_and_changes_it(place: Place) -> None:
    """State is asked for when it is wanted, and only what is not known yet; a new runner goes on from what was kept."""
    kept = Kept()
    host = await place.hosts.open(place.code, seat("total"), kept.read, external=False)
    first = await host.run(work(1, 1, 2, 3))
    kept.commit(first)
    host.committed(1)
    second = await host.run(work(2, 4, 5))
    kept.commit(second)
    host.committed(2)
    host.close()
    again = await place.hosts.open(place.code, seat("total"), kept.read, external=False)
    third = await again.run(work(3, 6))

    assert [[1, 3, 6], [10, 15], [21]] == [values(effects) for effects in (first, second, third)]
    assert 2 == sum(store == "sum_" for store, _ in kept.asked)
    assert 15 == msgspec.msgpack.decode(kept.values["sum_", b"a"])


@in_both_kinds()
async def test_state_is_read_as_often_as_it_takes(place: Place) -> None:
    """A function that finds out what it wants to know on the way gets it, one after another."""
    kept = Kept()
    host = await place.hosts.open(place.code, seat("seen"), kept.read, external=False)
    kept.commit(await host.run(work(1, 1, 2, 1)))
    host.close()
    host = await place.hosts.open(place.code, seat("seen"), kept.read, external=False)

    assert [3, 2, 1, 4] == values(await host.run(work(2, 1, 2, 3, 1)))


@in_both_kinds()
async def test_async_functions_run(place: Place) -> None:
    """They have an event loop of their own, wherever they run."""
    host = await place.hosts.open(place.code, seat("slowly"), Kept().read, external=False)

    assert [1, 3, 6] == values(await host.run(work(1, 1, 2, 3)))
    assert [10] == values(await host.run(work(2, 4)))


@in_both_kinds()
async def test_what_user_code_raises_is_an_answer(place: Place) -> None:
    """The work failed, and says where; the runner is as it was before, and goes on."""
    host = await place.hosts.open(place.code, seat("total"), none, external=False)
    await host.run(work(1, 1))
    with pytest.raises(ProcessorFailed, match="total version 1 failed at the record of orders/0 at offset 1") as caught:
        await host.run(work(2, 5, app.BAD, 7))

    assert ("shop.total", "1", "orders", "0", "1") == tuple(
        caught.value.metadata[name] for name in ("processor", "version", "topic", "partition", "offset")
    )
    assert "in look\n" in caught.value.metadata["traceback"]
    assert [6, 13] == values(await host.run(work(2, 5, 7)))


@in_both_kinds()
async def test_a_wait_for_the_next_attempt_is_an_answer_too(place: Place) -> None:
    """Nobody waits in the process: the work is given up, and whoever hands it over again says how often it failed."""
    host = await place.hosts.open(place.code, seat("patient"), none, external=False)
    await host.run(work(1, 1))
    with pytest.raises(TriesLeft, match="ValueError: a bad order") as caught:
        await host.run(work(2, 5, app.BAD, 7))

    assert ("0", "0", "1", "1", str(10**9)) == tuple(
        caught.value.metadata[name] for name in ("input", "partition", "offset", "failures", "wait_ns")
    )
    assert [6] == values(await host.run(work(2, 5)))
    effects = await host.run(msgspec.structs.replace(work(3, app.BAD), failures=1))
    assert {"dead_lettered": 1} == effects.counts
    assert effects.failure is not None
    assert ("ValueError: a bad order", "dead_lettered", 0) == (
        effects.failure.error,
        effects.failure.became,
        effects.failure.offset,
    )
    assert [13] == values(await host.run(work(4, 7)))


@in_both_kinds()
async def test_state_that_does_not_decode_is_an_answer_too(place: Place) -> None:
    """It names the store, and the runner goes on with what can be read."""
    kept = Kept()
    kept.values["sum_", b"a"] = msgspec.msgpack.encode("no number")
    host = await place.hosts.open(place.code, seat("total"), kept.read, external=False)
    with pytest.raises(StateUnreadable, match="state 'sum_' of key b'a' does not decode") as caught:
        await host.run(work(1, 1))

    assert "sum_" == caught.value.metadata["store"]
    assert [1] == values(await host.run(work(1, 1, key="b")))


@in_both_kinds()
async def test_state_that_cannot_be_read_ends_that_runner_alone(place: Place) -> None:
    """No record is blamed for it, whatever `on_error` says: whoever asked gets the error that there was."""

    async def refuse(places: Sequence[object]) -> list[bytes | None]:
        raise Unavailable(f"{len(places)} places cannot be read now")

    other = await place.hosts.open(place.code, seat("total"), none, external=False)
    host = await place.hosts.open(place.code, seat("total"), refuse, external=False)
    with pytest.raises(Unavailable, match="1 places cannot be read now"):
        await host.run(work(1, 1))
    with pytest.raises(HostFailed, match="closed"):
        await host.run(work(1, 1))

    assert [1] == values(await other.run(work(1, 1)))


@in_both_kinds()
async def test_tasks_share_a_process(place: Place) -> None:
    """What many ask at once is answered to each, as if it were alone."""
    hosts = [await place.hosts.open(place.code, seat("total"), Kept().read, external=False) for _ in range(8)]
    answers = await asyncio.gather(*(host.run(work(1, n, n)) for n, host in enumerate(hosts)))

    assert [[n, 2 * n] for n in range(8)] == [values(effects) for effects in answers]


@in_both_kinds()
async def test_whoever_leaves_in_the_middle_disturbs_nobody(place: Place) -> None:
    """A work that nobody waits for any more is done with; the next one of another task is answered."""
    reached = asyncio.Event()

    async def never(places: Sequence[object]) -> list[bytes | None]:
        reached.set()
        await asyncio.sleep(3600)
        return [None for _ in places]

    left = await place.hosts.open(place.code, seat("total"), never, external=False)
    stays = await place.hosts.open(place.code, seat("total"), none, external=False)
    leaving = asyncio.create_task(left.run(work(1, 1)))
    await reached.wait()
    leaving.cancel()
    await asyncio.wait({leaving})

    assert [7] == values(await stays.run(work(1, 7)))
    with pytest.raises(HostFailed, match="closed"):
        await left.run(work(1, 1))


@in_both_kinds()
async def test_a_process_that_ends_ends_for_all_who_share_it(place: Place) -> None:
    """They get HostFailed, and whose work it was; then a new one is opened, which waits until it may start."""
    kept = Kept()
    guilty = await place.hosts.open(place.code, seat("total"), none, external=False)
    other = await place.hosts.open(place.code, seat("total"), kept.read, external=False)
    kept.commit(await other.run(work(1, 1)))
    with pytest.raises(HostFailed) as caught:
        await guilty.run(place.deadly(1))

    assert ("exit", "yes") == (caught.value.metadata["cause"], caught.value.metadata["at_work"])
    assert place.hosts.trouble(place.code).startswith("the process of shop.py failed once and may be started again in")
    with pytest.raises(HostFailed) as told:
        await other.run(work(2, 2))
    assert ("exit", "no") == (told.value.metadata["cause"], told.value.metadata["at_work"])
    loop = asyncio.get_running_loop()
    failed_s = loop.time()
    again = await place.hosts.open(place.code, seat("total"), kept.read, external=False)
    assert loop.time() - failed_s > 0.5 * OPTIONS.restart_s_min
    assert not place.hosts.trouble(place.code)
    assert [3] == values(await again.run(work(2, 2)))


@in_both_kinds(ProcessingOptions(work_s_max=1.0, restart_s_min=0.05))
async def test_a_work_without_end_is_ended(place: Place) -> None:
    """Beyond `work_s_max` the process is killed: a hang, for the one whose work it was, and for all who wait."""
    guilty = await place.hosts.open(place.code, seat("total"), none, external=False)
    other = await place.hosts.open(place.code, seat("total"), none, external=False)
    started_s = asyncio.get_running_loop().time()
    hanging = asyncio.create_task(guilty.run(place.endless(1)))
    await asyncio.sleep(0.1)  # it has begun
    first, second = await asyncio.gather(hanging, other.run(work(1, 1)), return_exceptions=True)

    assert isinstance(first, HostFailed)
    assert isinstance(second, HostFailed)
    assert ("hang", "yes") == (first.metadata["cause"], first.metadata["at_work"])
    assert ("hang", "no") == (second.metadata["cause"], second.metadata["at_work"])
    assert 1.0 <= asyncio.get_running_loop().time() - started_s < 10.0
    again = await place.hosts.open(place.code, seat("total"), none, external=False)
    assert [1] == values(await again.run(work(1, 1)))


@in_both_kinds(ProcessingOptions(work_s_max=1.0))
async def test_waiting_for_state_is_no_hang(place: Place) -> None:
    """The clock stands still while the node reads."""

    async def slowly(places: Sequence[object]) -> list[bytes | None]:
        await asyncio.sleep(1.5)
        return [None for _ in places]

    host = await place.hosts.open(place.code, seat("total"), slowly, external=False)

    assert [1] == values(await host.run(work(1, 1)))


@in_both_kinds(ProcessingOptions(restart_s_min=0.1, restart_s_max=5.0))
async def test_starts_are_spaced_out(place: Place) -> None:
    """Each wait is twice that of before it."""
    loop = asyncio.get_running_loop()
    waits = []
    for _ in range(4):
        asked_s = loop.time()
        host = await place.hosts.open(place.code, seat("total"), none, external=False)
        waits.append(loop.time() - asked_s)
        with pytest.raises(HostFailed):
            await host.run(place.deadly(1))

    assert [True] * 3 == [wait >= least for wait, least in zip(waits[1:], (0.09, 0.19, 0.39), strict=True)]
    assert "failed 4 times in a row" in place.hosts.trouble(place.code)
