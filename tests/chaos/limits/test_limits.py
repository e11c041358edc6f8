"""Limits as a process feels them: what it lacks is really lacking, and is there again when the fault is mended."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chaos.arenas.processes import cgroups
from chaos.arenas.processes.cgroups import place_of
from chaos.arenas.processes.limits import DiskSpeed, GroupLimits, ProcessLimits, device_of
from tests.chaos.limits.one_program import Programs

pytestmark = [pytest.mark.slow]


@pytest.fixture
async def programs(tmp_path: Path) -> AsyncIterator[Programs]:
    """One program, whose processes are ended with the test."""
    programs = Programs(tmp_path)
    try:
        yield programs
    finally:
        programs.stop()


async def _started(programs: Programs, fitting: ProcessLimits | GroupLimits) -> None:
    programs.injectors = await fitting.fit(programs)
    await programs.start(1)
    assert 100 == programs.ask("more_files(100)")


@pytest.fixture
async def groups(programs: Programs) -> AsyncIterator[GroupLimits]:
    """Control groups around it; none is left."""
    groups = GroupLimits()
    if why := groups.missing():
        pytest.skip(why)
    await _started(programs, groups)
    directories = groups.groups[1].directories
    yield groups
    programs.stop()
    await groups.remove()
    assert [] == [directory for directory in directories if directory.exists()]


async def test_descriptors_run_out_at_open_and_at_accept(programs: Programs):
    """EMFILE, after exactly as many as were left; and everything works again."""
    await _started(programs, ProcessLimits())
    port = programs.ask("listen()")
    mend = await programs.injectors["descriptors"].inject([1], {"spare": 3})
    assert {1} == programs.may_end
    assert "24 after 3" == programs.ask("more_files(10)")
    await mend()
    assert set() == programs.may_end
    assert 10 == programs.ask("more_files(10)")
    mend = await programs.injectors["descriptors"].inject([1], {"spare": 0})
    with socket.create_connection(("127.0.0.1", port)):
        assert "24" == programs.ask("accept()")
        await mend()
        assert "accepted" == programs.ask("accept()")


async def test_address_space_runs_out(programs: Programs):
    """A large allocation fails, and succeeds later."""
    await _started(programs, ProcessLimits())
    mend = await programs.injectors["address_space"].inject([1], {"headroom_kib": 1024})
    assert "MemoryError" == programs.ask("take_memory(64)")
    await mend()
    assert "taken" == programs.ask("take_memory(64)")


@pytest.mark.root
async def test_who_takes_too_much_memory_is_killed(programs: Programs, groups: GroupLimits):
    """By the kernel, with SIGKILL; who is started later has as much as it wants."""
    mend = await programs.injectors["memory"].inject([1], {"headroom_kib": 256})
    assert programs.ask("take_memory(64)") is None
    assert -signal.SIGKILL == programs.code()
    await mend()
    assert programs.pid(1) is not None, "mending starts it"
    assert "taken" == programs.ask("take_memory(64)")
    programs.stop()
    assert {"limits of groups": 1, "killed for want of memory": 1} == await groups.remove()


@pytest.mark.root
@pytest.mark.usefixtures("groups")
async def test_threads_run_out(programs: Programs):
    """The third of three does not start where two are left."""
    mend = await programs.injectors["threads"].inject([1], {"spare": 2})
    assert "can't start new thread" == programs.ask("more_threads(3)")
    await mend()
    assert "started" == programs.ask("more_threads(3)")


@pytest.mark.root
async def test_a_processor_is_shared_out(programs: Programs, groups: GroupLimits):
    """A fifth of one: that much is computed in a second; later nobody is held back."""
    mend = await programs.injectors["cpu"].inject([1], {"share": 0.2})
    assert programs.ask("burn(0.6)") < 0.6 * 0.4
    await mend()
    held_back = groups.groups[1].figures("cpu", "cpu.stat")["nr_throttled"]
    programs.ask("burn(0.3)")
    assert held_back == groups.groups[1].figures("cpu", "cpu.stat")["nr_throttled"]


@pytest.mark.root
@pytest.mark.usefixtures("groups")
async def test_a_frozen_process_stands_still(programs: Programs):
    """It answers when it is thawed, and not before."""
    mend = await programs.injectors["freeze"].inject([1], {})
    programs.tell("1 + 1")
    waiting = asyncio.create_task(asyncio.to_thread(programs.answer))
    assert not (await asyncio.wait([waiting], timeout=0.3))[0]
    await mend()
    assert 2 == await waiting


@pytest.mark.root
async def test_a_disk_is_slow(programs: Programs, tmp_path: Path):
    """What is synced takes as long as was said."""
    speed = DiskSpeed()
    if why := speed.missing() or ("" if device_of(tmp_path) else "this folder is on no disk"):
        pytest.skip(why)
    await _started(programs, speed)
    path = str(tmp_path / "file")
    mend = await programs.injectors["slow_disk"].inject([1], {"bytes_per_s": 1 << 20})
    assert programs.ask(f"write_synced({path!r}, 1024)") > 0.5
    await mend()
    assert programs.ask(f"write_synced({path!r}, 1024)") < 0.5
    programs.stop()
    assert {"disks throttled": 1} == await speed.remove()


async def test_who_does_not_run_is_passed_over(programs: Programs):
    """And is started when the fault is mended, as everybody is."""
    programs.injectors = await ProcessLimits().fit(programs)
    mend = await programs.injectors["descriptors"].inject([1], {"spare": 0})
    await mend()
    assert programs.pid(1) is None


def test_why_there_are_no_groups(monkeypatch: pytest.MonkeyPatch):
    """Without root it is said in a sentence."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "only root may make control groups" == place_of("memory")
    assert "only root may make control groups" == GroupLimits().missing()


@pytest.mark.root
async def test_the_kernels_second_interface(programs: Programs, monkeypatch: pytest.MonkeyPatch):
    """Where only that is mounted: a process is frozen by it; what is not handed down is said."""
    mounted = cgroups._mounted()
    if os.geteuid() or "cgroup2" not in mounted:
        pytest.skip("no control groups of version 2, or no root")
    monkeypatch.setattr(cgroups, "_mounted", lambda: {"cgroup2": mounted["cgroup2"]})
    place = place_of("cpu")
    assert "is not handed down from" in place if isinstance(place, str) else place.file == "cpu.max"
    monkeypatch.setattr(GroupLimits, "knobs", ("freeze",))
    groups = GroupLimits()
    assert groups.missing() == ""
    await _started(programs, groups)
    mend = await programs.injectors["freeze"].inject([1], {})
    async with asyncio.timeout(5):
        while "frozen 1" not in groups.groups[1].read("freeze", "cgroup.events"):  # noqa: ASYNC110  a file
            await asyncio.sleep(0.01)
    await mend()
    assert 2 == programs.ask("1 + 1")
    programs.stop()
    await groups.remove()
