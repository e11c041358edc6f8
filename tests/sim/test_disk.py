"""The simulated disk when the power goes: what was synced stays, what was not may go in every way that is possible."""

import errno
import random

import pytest

from cluster.sim.clock import simulate
from cluster.sim.disk import SimCrash, SimDisk

SEEDS = range(200)


def files_of(disk):
    """Every path with its content."""
    return {path: disk.open(path).read(0, 1 << 20) for path in disk.paths()}


def ends(script, seeds=SEEDS):
    """The ends that a power loss after `script` had, over many seeds."""
    found = []
    for seed in seeds:
        disk = SimDisk(random.Random(seed))
        script(disk)
        disk.crash()
        found.append(files_of(disk))
    return found


def synced(disk, path, data):
    """A file that no power loss can touch."""
    file = disk.open(path, create=True)
    file.write(0, [data])
    disk.sync_files([file], ["."])
    return file


def test_what_was_synced_stays():
    """Content and name, always; a second crash changes nothing."""

    def script(disk):
        disk.make_directory("d")
        disk.sync_directory(".")
        file = disk.open("d/a", create=True)
        file.write(0, [b"x" * 2_000])
        file.truncate(1_500)
        file.write(1_000, [b"y" * 100])
        disk.sync_files([file], ["d"])
        disk.crash()

    assert [{"d/a": b"x" * 1_000 + b"y" * 100 + b"x" * 400}] * len(SEEDS) == ends(script)


def test_bytes_that_were_not_synced_may_be_lost_torn_or_there():
    """Sector by sector; what lies beside them is not touched."""

    def script(disk):
        synced(disk, "a", b"o" * 2_048).write(512, [b"n" * 1_024])

    old, new = b"o" * 512, b"n" * 512

    assert {old + first + second + old for first in (old, new) for second in (old, new)} == {
        end["a"] for end in ends(script)
    }


def test_later_writes_may_survive_without_earlier_ones():
    """Order is not durability: only a sync between two writes puts one before the other."""

    def script(disk):
        file = synced(disk, "a", b"00")
        file.write(0, [b"1"])
        file.write(1, [b"1"])

    assert {b"00", b"01", b"10", b"11"} == {end["a"] for end in ends(script)}


def test_a_cut_that_was_not_synced_may_not_have_been():
    """What a log cuts off can come back."""

    def script(disk):
        synced(disk, "a", b"kept and cut").truncate(4)

    assert {b"kept", b"kept and cut"} == {end["a"] for end in ends(script)}


def test_a_sync_of_the_content_keeps_no_name():
    """A new file may be gone, synced or not, until its directory was synced; then its bytes are there, too."""

    def script(disk):
        file = disk.open("a", create=True)
        file.write(0, [b"synced"])
        file.sync()

    assert {(), (("a", b"synced"),)} == {tuple(end.items()) for end in ends(script)}


def test_a_name_that_was_synced_says_nothing_of_the_bytes():
    """The directory's sync keeps an empty file."""

    def script(disk):
        disk.open("a", create=True).write(0, [b"bytes"])
        disk.sync_directory(".")

    assert {(("a", b""),), (("a", b"bytes"),)} == {tuple(end.items()) for end in ends(script)}


def test_a_rename_is_one_change():
    """Old names or new ones, whole: never neither, never both."""

    def script(disk):
        synced(disk, "vote", b"old")
        synced(disk, "vote.new", b"new")
        disk.rename("vote.new", "vote")

    assert {(("vote", b"old"), ("vote.new", b"new")), (("vote", b"new"),)} == {
        tuple(sorted(end.items())) for end in ends(script)
    }


def test_a_removal_may_not_have_been():
    """Until the directory was synced; afterwards it never comes back."""

    def script(disk):
        synced(disk, "a", b"a")
        synced(disk, "b", b"b")
        disk.remove("a")
        disk.sync_directory(".")
        disk.remove("b")

    assert {(), ("b",)} == {tuple(end) for end in ends(script)}


def test_a_directory_is_lost_with_all_it_holds():
    """Everything in it was synced, its own name was not."""

    def script(disk):
        disk.make_directory("d")
        file = disk.open("d/a", create=True)
        file.write(0, [b"a"])
        disk.sync_files([file], ["d"])

    assert {(), (("d/a", b"a"),)} == {tuple(end.items()) for end in ends(script)}


def test_the_same_seed_loses_the_same():
    """And another one something else."""

    def script(disk):
        for n in range(20):
            disk.open(f"{n}", create=True).write(0, [random.Random(n).randbytes(5_000)])

    first, again, other = (ends(script, [seed])[0] for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_the_power_goes_in_the_middle():
    """At the operation that was ordered, and not a step further; the next life begins without the order."""
    disk = SimDisk(random.Random(1))
    file = synced(disk, "a", b"1")
    disk.crash_at_operation = disk.operations + 1
    file.write(0, [b"2"])
    with pytest.raises(SimCrash):
        file.sync()
    disk.torn = False
    disk.crash()
    disk.open("a").sync()

    assert files_of(disk)["a"] in {b"1", b"2"}


def test_a_failure_on_order():
    """The next operation of its kind fails as the system would say it; the one after does not, and nothing was done."""
    disk = SimDisk(random.Random(1))
    file = synced(disk, "a", b"1")
    disk.fail = {"write": errno.EIO, "sync": errno.ENOSPC}
    for work, number in ((lambda: file.write(0, [b"2"]), errno.EIO), (file.sync, errno.ENOSPC)):
        with pytest.raises(OSError, match=errno.errorcode[number]) as caught:
            work()
        assert number == caught.value.errno
    file.write(1, [b"2"])
    file.sync()

    assert b"12" == file.read(0, 9)


def test_a_full_disk():
    """What does not fit is refused whole; what is reserved or there already can still be written."""
    disk = SimDisk(random.Random(1), capacity_bytes=100)
    file = disk.open("a", create=True)
    file.allocate(60)
    file.write(0, [b"x" * 60])
    other = disk.open("b", create=True)
    for work in (lambda: file.write(50, [b"y" * 51]), lambda: other.allocate(41), lambda: other.write(40, [b"z"])):
        with pytest.raises(OSError, match="No space") as caught:
            work()
        assert errno.ENOSPC == caught.value.errno
    other.write(0, [b"z" * 40])
    file.write(0, [b"again"])
    disk.remove("b")

    assert 40 == disk.free_bytes()
    assert b"again" + b"x" * 55 == file.read(0, 99)


def test_a_flipped_bit_and_a_cut_survive_the_power():
    """They are damage, not writes: no crash undoes them and no sync brings the old bytes back."""
    for sync_first in (True, False):
        disk = SimDisk(random.Random(1))
        file = synced(disk, "a", b"abc")
        file.write(1, [b"B"])
        if sync_first:
            file.sync()
        disk.flip("a", 8)
        file.sync()
        disk.crash()
        assert b"aCc" == disk.open("a").read(0, 9)
        disk.cut("a", 2)
        disk.crash()
        assert (b"aC", 2) == (disk.open("a").read(0, 9), disk.size_of("a"))


def test_disk_work_takes_time():
    """Virtual time, drawn from the seed, one job after another; the loop goes on meanwhile."""

    async def work(seed):
        disk = SimDisk(random.Random(seed), latency_s=0.01)
        return [await disk.run(lambda: 1) for _ in range(10)]

    runs = [simulate(work(seed), seed)[1].now_s for seed in (1, 1, 2)]

    assert runs[0] == runs[1] != runs[2]
    assert 10 * 0.4 * 0.01 <= runs[0] <= 10 * 1.5 * 0.01
