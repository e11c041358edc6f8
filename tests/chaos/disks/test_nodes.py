"""Three real nodes whose disks fail in every way: nothing that was acknowledged is lost, and the others go on."""

import contextlib
import errno
from pathlib import Path

import pytest

from chaos.arenas.processes.disks.fitting import DamagedDisks, FailingDisks, LoopDisks, LyingDisks
from chaos.arenas.processes.disks.layout import files_of
from chaos.arenas.processes.fitting import Fitting
from cluster.errors import OutcomeUnknown
from tests.chaos.disks.nodes import TOPIC, run_with
from tests.processes.file_systems import require_root

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(90)]


def _possible(fitting: Fitting) -> Fitting:
    why = fitting.missing()
    if why:
        require_root()
        pytest.skip(why)
    return fitting


@pytest.mark.root
async def test_power_loss_of_all_nodes_at_once(tmp_path: Path):
    """Everything that was acknowledged by then is there afterwards, and the cluster goes on."""
    async with run_with(tmp_path, _possible(LoopDisks())) as run:
        async with run.load():
            await run.more(300)
            mend = await run.injectors["power_loss_all"].inject([1, 2, 3], {})
            assert mend is not None
            assert [None, None, None] == [run.nodes.pid(node) for node in (1, 2, 3)]
            await mend()
            await run.more(100)
        await run.nothing_lost()
        await run.held_everywhere(every=20)


async def test_a_failed_sync_ends_the_node(tmp_path: Path):
    """EIO from the leader's syncs: the process ends, the others go on, and started again it has all that it said."""
    async with run_with(tmp_path, _possible(FailingDisks())) as run:
        async with run.load():
            await run.more(100)
            mend = await run.injectors["sync_fails"].inject([1], {"sync_errno": errno.EIO, "sync_every": 1})
            await run.until(lambda: run.nodes.pid(1) is None)
            await run.more(100)
            assert mend is not None
            await mend()
        await run.nothing_lost()
        await run.held_everywhere(every=20)


@pytest.mark.long
async def test_a_failed_sync_of_the_journal_ends_the_node(tmp_path: Path):
    """A message of the controller's quorum met it first, and the next tick tried again, on the same file."""
    async with run_with(tmp_path, _possible(FailingDisks())) as run:
        controller = (await run.client.cluster_status()).controller
        node = next(node for node in run.nodes.launches if node != controller)
        options = {"sync_errno": errno.EIO, "sync_every": 1, "only": "controller/journal"}
        mend = await run.injectors["sync_fails"].inject([node], options)
        with contextlib.suppress(OutcomeUnknown):  # that node may be asked
            await run.client.create_topic("another")
        await run.until(lambda: run.nodes.pid(node) is None)
        assert "DiskFailed" in run.nodes.log_lines(node, "node_failed")[0]["error"]
        assert "unhandled exception" not in run.nodes.local.last_words(node, 1000)
        assert mend is not None
        await mend()
        await run.produce(30)
        await run.nothing_lost()


@pytest.mark.long
async def test_a_failed_write_ends_the_node_at_once(tmp_path: Path):
    """EIO where a replica is made: it went on for seconds, with files that it cannot trust, to end in good order."""
    async with run_with(tmp_path, _possible(FailingDisks())) as run:
        options = {"write_errno": errno.EIO, "write_every": 1, "only": "vote"}
        mend = await run.injectors["write_fails"].inject([3], options)
        with contextlib.suppress(OutcomeUnknown):
            await run.client.create_topic("another")
        await run.until(lambda: run.nodes.log_lines(3, "node_failed") != [])
        await run.until(lambda: run.nodes.pid(3) is None, within_s=1.0)
        assert mend is not None
        await mend()
        await run.produce(30)
        await run.nothing_lost()


@pytest.mark.long
async def test_slow_syncs_of_one_node_do_not_stop_the_others(tmp_path: Path):
    """Each takes two seconds: with the other two, records are acknowledged as ever."""
    async with run_with(tmp_path, _possible(FailingDisks())) as run:
        async with run.load():
            await run.more(100)
            mend = await run.injectors["slow_sync"].inject([1], {"sync_delay_ms": 2000})
            await run.more(100)
            took_s = await run.more(300)
            assert took_s < 10
            assert mend is not None
            await mend()
        await run.nothing_lost()
        await run.held_everywhere(every=50)


@pytest.mark.long
@pytest.mark.root
async def test_a_lying_disk_of_one_node_loses_nothing(tmp_path: Path):
    """Its syncs do nothing, its power fails, and it gets what it had promised from the others."""
    async with run_with(tmp_path, _possible(LyingDisks())) as run:
        async with run.load():
            await run.more(100)
            mend = await run.injectors["lying_sync"].inject([2], {"node": 2})
            await run.more(300)
            assert mend is not None
            await mend()
            await run.more(100)
        await run.nothing_lost()
        await run.held_everywhere(every=20)


@pytest.mark.long
@pytest.mark.root
async def test_a_full_disk_of_one_node_costs_nothing(tmp_path: Path):
    """The others go on, it does not end, and with room again it catches up."""
    async with run_with(tmp_path, _possible(LoopDisks())) as run:
        async with run.load():
            await run.more(100)
            mend = await run.injectors["full_disk"].inject([1], {"left_kib": 0})
            await run.more(600)
            assert run.nodes.pid(1) is not None
            assert mend is not None
            await mend()
            await run.more(100)
        await run.nothing_lost()
        await run.held_everywhere(every=50)


@pytest.mark.long
@pytest.mark.parametrize("how", ["flip", "cut"])
async def test_a_damaged_journal_refuses_and_is_put_back(tmp_path: Path, how: str):
    """Flipped or cut: the node says that it is damaged and does not run, until a good one is put there."""
    async with run_with(tmp_path, DamagedDisks()) as run:
        await run.produce(30)
        options = {"node": 2, "what": "journal", "how": how, "file": 0.0, "place": 0.4, "size": 0.0}
        mend = await run.injectors["damaged_journal"].inject([2], options)
        assert mend is not None
        await mend()
        assert "damaged" in run.nodes.log_lines(2, "node_refused")[0]["detail"]
        await run.produce(30)
        await run.nothing_lost()


@pytest.mark.long
async def test_a_lost_vote_gives_the_replica_up_until_it_is_put_back(tmp_path: Path):
    """Both copies are cut off: the replica does not run, the others go on, and with its vote it comes back."""
    async with run_with(tmp_path, DamagedDisks()) as run:
        await run.produce(30)
        options = {"node": 2, "what": "vote", "how": "cut", "file": 0.0, "place": 0.1, "size": 0.0}
        mend = await run.injectors["damaged_vote"].inject([2], options)
        await run.produce(30)
        assert mend is not None
        await mend()
        assert "CORRUPT_STORAGE" == run.nodes.log_lines(2, "replica_lost")[0]["reason"]
        await run.nothing_lost()
        await run.held_everywhere(every=10)


@pytest.mark.long
async def test_an_old_copy_of_a_log_is_made_good(tmp_path: Path):
    """It looks whole: its leader finds out what it has not, says so, and sends it again."""
    async with run_with(tmp_path, DamagedDisks()) as run:
        async with run.load():
            await run.more(100)
            leaders = (await run.client.describe_topic(TOPIC)).partitions
            node = next(node for node in run.nodes.launches if any(part.leader != node for part in leaders))
            options = {"node": node, "what": "log", "how": "stale-file", "file": 0.5, "place": 0.0, "size": 0.0}
            mend = await run.injectors["damaged_log"].inject([node], options)
            assert mend is not None
            await mend()
            await run.more(50)
        await run.nothing_lost()
        await run.held_everywhere(every=50)


@pytest.mark.parametrize("where", [pytest.param("middle", id="middle"), pytest.param("end", marks=pytest.mark.long)])
async def test_a_flipped_bit_in_one_log_is_reported_and_healed(tmp_path: Path, where: str):
    """In the middle, and in what was acknowledged last: nothing is lost, and each replica holds all of it again."""
    async with run_with(tmp_path, DamagedDisks()) as run:
        await run.produce(300)
        options = {"node": 3, "what": "log", "how": "flip", "file": 0.5, "place": 0.5, "size": 0.0}
        if where == "end":
            options["place"] = 0.9999
        mend = await run.injectors["damaged_log"].inject([3], options)
        assert mend is not None
        await mend()
        told = run.nodes.log_lines(3, "log_damaged" if where == "middle" else "log_doubtful")
        assert told
        await run.produce(60)
        await run.nothing_lost()
        await run.held_everywhere(every=10)


@pytest.mark.parametrize("read", [True, False], ids=["read", "unread"])
async def test_a_bit_that_flips_in_a_running_nodes_log_is_never_served(tmp_path: Path, *, read: bool):
    """Who reads it gets it from another node, and this one ends; what nobody reads is found at the next start."""
    damage = DamagedDisks()
    async with run_with(tmp_path, damage) as run:
        await run.produce(300)
        await run.started_again()  # and none of them has it in memory
        node = (await run.client.describe_topic(TOPIC)).partitions[0].leader
        logs = files_of(Path(run.nodes.launches[node].config.data_dir), "log")
        place = next(place for place, kept in enumerate(logs) if kept.partition.endswith("/0") and kept.used > 5000)
        options = {"node": node, "file": (place + 0.5) / len(logs), "place": 0.5}
        mend = await run.injectors["damaged_in_use"].inject([node], options)
        assert mend is not None
        if read:
            await run.all_is_read()
            await run.until(lambda: run.nodes.pid(node) is None)
        await mend()
        assert run.nodes.log_lines(node, "log_damaged")
        await run.produce(60)
        await run.nothing_lost()
        await run.held_everywhere(every=10)
    assert int(read) == (await damage.remove()).get("met_while_running", 0)
