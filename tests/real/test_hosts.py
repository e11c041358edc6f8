"""Processes with user code that does its worst: its node goes on, says what happened, and nothing is left over."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import structlog
import uvloop

from cluster.config import ProcessingOptions
from cluster.errors import HostFailed, InvalidApp, ProcessorFailed
from cluster.processing.hosts import CodeFile
from cluster.processing.work import Condemned
from cluster.real.hosts import RealHosts
from tests.processing.hosting.works import Kept, seat, source, values, work, work_of

MIB = 1024 * 1024
PATIENCE_S = 30.0
FUNCTION = """
import os, sys, time, threading
@app.processor(orders, to="out")
def f(order: Order) -> int:
"""
STATEFUL = """
@app.processor(orders, to="out")
def f(order: Order, total: State[bytes]) -> int:
"""

pytestmark = pytest.mark.slow


def function(body: str) -> CodeFile:
    """A file whose one processor does this with an order."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return source(f"{FUNCTION}{lines}\n    return order.n\n")


@contextlib.asynccontextmanager
async def hosting(root: Path, **options):
    """Hosts of a node whose data are at `root`."""
    hosts = RealHosts(root, ProcessingOptions(**{"restart_s_min": 0.01, **options}))
    try:
        yield hosts
    finally:
        await hosts.close()


async def opened(hosts: RealHosts, code: CodeFile, kept: Kept | None = None):
    """Its processor f."""
    return await hosts.open(code, seat("f"), (kept or Kept()).read, external=False)


async def failure(hosts: RealHosts, code: CodeFile) -> HostFailed:
    """How one order ends its process."""
    host = await opened(hosts, code)
    with pytest.raises(HostFailed) as caught:
        await host.run(work(1, 1))
    return caught.value


def processes(root: Path) -> list[int]:
    """Those whose command line, or working directory, has this directory in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                if str(root).encode() in command or str(root) in str((entry / "cwd").readlink()):
                    found.append(int(entry.name))
    return found


async def until(happened, patience_s: float = PATIENCE_S) -> None:
    """Wait for it."""
    async with asyncio.timeout(patience_s):
        while not happened():  # noqa: ASYNC110  the system sets no event
            await asyncio.sleep(0.01)


class Latency:
    """The longest time in which the event loop took no turn."""

    def __init__(self) -> None:
        self.worst_s = 0.0

    async def __aenter__(self):
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before_s = loop.time()
            await asyncio.sleep(0.005)
            self.worst_s = max(self.worst_s, loop.time() - before_s - 0.005)


@pytest.mark.parametrize(
    ("body", "cause", "why"),
    [
        ("print('the end', file=sys.stderr)\nos._exit(7)", "exit", r"exit code 7; the last it said: the end$"),
        ("os.kill(os.getpid(), 9)", "exit", r"by signal 9 \(SIGKILL\)$"),
        ("os.kill(os.getpid(), 11)", "exit", r"by signal 11 \(SIGSEGV\)$"),
        ("sys.exit('enough')", "exit", r"exit code 1; the last it said: enough$"),
        ("os.closerange(0, 1 << 16)", "exit", r"exit code 1"),
        ("os.closerange(3, 1 << 16)", "exit", r"exit code 1; the last it said: OSError: .*Bad file descriptor"),
        ("held = []\nwhile True: held.append(bytes(1 << 20))", "memory", "ran out of memory"),
        ("held = b'x' * (1 << 40)", "memory", "ran out of memory"),
        ("while True: pass", "hang", r"a work took longer than 1 s$"),
        ("os.fork()", "", ""),
    ],
)
async def test_the_end_of_a_process_is_told(tmp_path, body: str, cause: str, why: str) -> None:
    """By what it ended, and the last that it said; others have processes of their own, and none is left at the end."""
    large = b"x" * (240 * MIB)  # what a node itself takes is not what its child took, though the system counts it so
    async with hosting(tmp_path, work_s_max=1.0, host_memory_bytes_max=300 * MIB) as hosts:
        assert large
        if cause:
            error = await failure(hosts, function(body))
            assert (cause, "yes") == (error.metadata["cause"], error.metadata["at_work"])
            assert re.search(why, error.message), error.message
            assert error.message in hosts.trouble(function(body))
        else:
            host = await opened(hosts, function(body))
            assert [1] == values(await host.run(work(1, 1)))
        assert [5] == values(await (await opened(hosts, function(""))).run(work(1, 5)))

    assert [] == processes(tmp_path)


async def test_no_value_ends_a_process_twice(tmp_path) -> None:
    """What its decoding raises is a record's; at one that ends the process it is not decoded again when condemned."""
    code = source(
        """
import os
from cluster.processing.policies import skip
class Checked(Order):
    more: object = None
    def __post_init__(self) -> None:
        assert self.n != 5, "not five"
        if self.n == 6:
            os._exit(7)
checked = app.topic("checked", Checked)
@app.processor(checked, to="out", on_error=skip())
def f(order: Checked) -> int:
    return order.n
"""
    )
    deep = b'{"n": 2, "more": %s}' % (b"[" * 3000 + b"]" * 3000)
    async with hosting(tmp_path) as hosts:
        host = await opened(hosts, code)
        done = await host.run(work_of(1, [b'{"n": 1}', deep, b'{"n": 5}', b'{"n": 3}']))
        assert ([1, 3], {"skipped": 2}) == (values(done), done.counts)
        ends = work_of(2, [b'{"n": 1}', b'{"n": 6}'])
        with pytest.raises(HostFailed) as caught:
            await host.run(ends)
        condemned = Condemned(input=0, partition=0, offset=1, why=caught.value.message)
        host = await opened(hosts, code)
        assert [1] == values(await host.run(msgspec.structs.replace(ends, condemned=[condemned])))


async def test_what_it_has_started_ends_with_it(tmp_path) -> None:
    """Processes that user code forks or starts are gone when its own is, and never part of the conversation."""
    body = """
import subprocess
if os.fork() == 0:
    time.sleep(3600)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)", os.getcwd()])
threading.Thread(target=time.sleep, args=(3600,)).start()
"""
    async with hosting(tmp_path) as hosts:
        host = await opened(hosts, function(body))
        assert [1] == values(await host.run(work(1, 1)))
        assert 3 == len(processes(tmp_path))

    await until(lambda: processes(tmp_path) == [])


NODE = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from cluster.config import ProcessingOptions
from tests.processing.hosting.works import Kept, seat, work
from tests.real.test_hosts import function, opened
from cluster.processing.work import Condemned
from cluster.real.hosts import RealHosts

async def main():
    hosts = RealHosts(Path(sys.argv[1]), ProcessingOptions())
    host = await opened(hosts, function("if order.n == 1 and os.fork() == 0: time.sleep(3600)"))
    await host.run(work(1, 1))
    spinning = asyncio.create_task((await opened(hosts, function("while True: pass"))).run(work(1, 1)))
    await asyncio.sleep(0.2)
    print("ready", flush=True)
    await spinning

asyncio.run(main())
"""


async def test_no_process_outlives_its_node(tmp_path) -> None:
    """A node that is killed takes all of them with it: one that waits, one that was forked, one that spins."""
    node = subprocess.Popen([sys.executable, "-c", NODE, str(tmp_path)], stdout=subprocess.PIPE)  # noqa: ASYNC220
    try:
        assert b"ready\n" == await asyncio.to_thread(node.stdout.readline)
        assert 3 == len(set(processes(tmp_path)) - {node.pid})
    finally:
        node.send_signal(signal.SIGKILL)
        node.wait()
        node.stdout.close()

    await until(lambda: processes(tmp_path) == [])


async def test_columns_in_a_process_of_its_own(tmp_path) -> None:
    """The memory that it may have is enough for Arrow."""
    pytest.importorskip("pyarrow", reason="make extras")
    code = source("""
import pyarrow, pyarrow.compute
@app.processor(orders, to="out")
def f(orders: pyarrow.RecordBatch) -> list[int]:
    return [pyarrow.compute.sum(orders["n"]).as_py()]
""")
    async with hosting(tmp_path) as hosts:
        host = await opened(hosts, code)
        assert [6] == values(await host.run(work(1, 1, 2, 3)))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (source("nonsense"), "mine.py does not import: line 10 of mine.py: NameError: name 'nonsense' is not defined"),
        (source("def f(:\n"), "mine.py does not import: line 10 of mine.py: SyntaxError: invalid syntax"),
        (
            source("import sys; sys.exit(3)"),
            "mine.py does not import: line 10 of mine.py: it ends the process (SystemExit: 3)",
        ),
        (
            source("def inner():\n    raise ValueError('two\\nlines')\ninner()"),
            "mine.py does not import: line 11 of mine.py: ValueError: two lines",
        ),
        (
            source("import json\njson.loads('{')"),
            "mine.py does not import: line 11 of mine.py: JSONDecodeError: Expecting property name enclosed in double "
            "quotes: line 1 column 2 (char 1)",
        ),
        (
            source("@app.processor(orders)\ndef f(o: int) -> None: ..."),
            "mine.py does not import: line 10 of mine.py: mine.f: it takes int, and topic 'orders' holds Order",
        ),
        (
            CodeFile(name="none.py", app="", content=b"x = 1"),
            'none.py defines no app: it needs one, such as `app = App("retail")`',
        ),
        (
            source("raise ModuleNotFoundError('No module named pyarrow', name='pyarrow')"),
            "mine.py does not import: line 10 of mine.py: ModuleNotFoundError: No module named pyarrow; it comes with "
            "riverrun[arrow]",
        ),
        (
            source("from models.orders import Purchase"),
            "mine.py does not import: line 10 of mine.py: ModuleNotFoundError: No module named 'models'; an app is one "
            "file, or a wheel of several, and what else it imports is installed where its nodes run",
        ),
        (source("other = App('other')"), "mine.py defines several apps (app, other): say which one"),
        (source("", app="shop"), "mine.py defines no app 'shop'; it has app"),
        (
            CodeFile(name="../up.py", app="", content=b""),
            "'../up.py': code is one Python file (.py), wheel (.whl) or route file (.toml), by its name alone",
        ),
        (CodeFile(name="a.whl", app="", content=b"no zip"), "a.whl is no wheel: File is not a zip file"),
        (
            CodeFile(name="null.py", app="", content=b"\0"),
            "null.py does not import: SyntaxError: source code string cannot contain null bytes",
        ),
    ],
)
async def test_what_is_wrong_with_a_file_is_one_sentence(tmp_path, code: CodeFile, said: str) -> None:
    """With the line, and what was raised there."""
    async with hosting(tmp_path) as hosts:
        with pytest.raises(InvalidApp) as caught:
            await hosts.describe(code)

    assert said == caught.value.message


async def test_an_import_that_ends_or_hangs_is_told(tmp_path) -> None:
    """Whoever asks what is in such a file hears why it cannot be said."""
    async with hosting(tmp_path / "ends") as hosts:
        with pytest.raises(HostFailed, match="exit code 4") as ended:
            await hosts.describe(source("import os; os._exit(4)"))
    async with hosting(tmp_path / "hangs", host_start_s_max=1.0) as hosts:
        with pytest.raises(HostFailed, match=r"mine\.py takes longer than 1 s to import") as hung:
            await hosts.describe(source("while True: pass"))

    assert ("exit", "hang") == (ended.value.metadata["cause"], hung.value.metadata["cause"])


@pytest.mark.parametrize(("app", "name"), [("", "mine"), ("shop.apps:other", "second"), ("shop.apps:second", "second")])
async def test_a_wheel_is_code(tmp_path, app: str, name: str) -> None:
    """Its module is imported from it, with its neighbours; the app is chosen by module and name."""
    wheel = tmp_path / "shop-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("shop/__init__.py", source("from shop.numbers import TWO").content)
        file.writestr("shop/numbers.py", "TWO = 2")
        file.writestr(
            "shop/apps.py", "from cluster.processing.app import App\nfirst, other = App('first'), App('second')\n"
        )
        file.writestr("shop-1.0.dist-info/METADATA", "")
    text = source("@app.processor(orders, to='out')\ndef f(order: Order) -> int: return TWO").content
    with zipfile.ZipFile(wheel, "a") as file:
        file.writestr("shop/used.py", text.replace(b"app = App", b"from shop.numbers import TWO\napp = App"))
    async with hosting(tmp_path / "data") as hosts:
        code = CodeFile(name=wheel.name, app=app, content=wheel.read_bytes())
        assert [] == await hosts.describe(code)
        used = CodeFile(name=wheel.name, app="shop.used", content=wheel.read_bytes())
        host = await opened(hosts, used)

        assert [2] == values(await host.run(work(1, 1)))
        with pytest.raises(InvalidApp, match=rf"{wheel.name} does not import: ModuleNotFoundError: .*'shop.none'$"):
            await hosts.describe(CodeFile(name=wheel.name, app="shop.none", content=wheel.read_bytes()))
        with pytest.raises(
            InvalidApp, match=rf"shop.numbers of {wheel.name} defines no app: .*; if another module has it"
        ):
            await hosts.describe(CodeFile(name=wheel.name, app="shop.numbers", content=wheel.read_bytes()))
    assert name


async def test_it_sees_little_of_its_node(tmp_path, monkeypatch) -> None:
    """A clean environment, nothing to read, no descriptors of others, no core, limited memory."""
    monkeypatch.setenv("SECRET", "of the node")
    monkeypatch.setenv("ALLOWED", "by the operator")
    body = """
import json, resource
print(json.dumps({
    "environment": sorted(set(os.environ) - {"LC_CTYPE"}),
    "input": sys.stdin.read(),
    "descriptors": len(os.listdir("/proc/self/fd")) - 1,
    "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
    "memory": resource.getrlimit(resource.RLIMIT_AS)[1],
    "leader": os.getpgid(0) == os.getpid(),
    "argv": sys.argv,
}))
"""
    with structlog.testing.capture_logs() as logs, (tmp_path / "held").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        async with hosting(tmp_path, host_environment=("ALLOWED",)) as hosts:
            await (await opened(hosts, function(body))).run(work(1, 1))
            await until(lambda: any(log["event"] == "host_output" for log in logs))
    (line,) = [log["line"] for log in logs if log["event"] == "host_output"]
    seen = json.loads(line)

    assert set(seen["environment"]) <= {"ALLOWED", "PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH"}
    assert "ALLOWED" in seen["environment"]
    assert ("", 4, 0, 1024 * MIB, True) == tuple(
        seen[name] for name in ("input", "descriptors", "core", "memory", "leader")
    )
    assert [str(tmp_path / "code" / function(body).sha256.hex() / "mine.py")] == seen["argv"]


async def test_what_it_prints_is_logged_at_a_bounded_rate(tmp_path) -> None:
    """Ten megabytes in lines, and in one: the first of them are logged, the rest counted, and the loop goes on."""
    with structlog.testing.capture_logs() as logs:
        async with hosting(tmp_path, host_output_bytes_per_s_max=50 * MIB) as hosts, Latency() as latency:
            host = await opened(hosts, function("for n in range(100_000): print(order.n, 'x' * 98)"))
            assert [1, 2] == values(await host.run(work(1, 1, 2)))
            long = await opened(hosts, function("sys.stderr.write('y' * 10_000_000)\nprint('\\nend', file=sys.stderr)"))
            await long.run(work(1, 1))
            await until(lambda: any(log.get("line") == "end" for log in logs))
    lines = [(log["stream"], log["line"]) for log in logs if log["event"] == "host_output"]
    counted = sum(int(line.split()[0][1:]) for _, line in lines if line.endswith("more lines were left out)"))
    printed = [line for stream, line in lines if stream == "stdout" and line.endswith("xxx")]

    assert 200_000 == len(printed) + counted
    assert 100 <= len(printed) < 2_000
    assert ("stderr", "y" * 2_000 + " …") in lines
    assert latency.worst_s < 0.5


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_large_frames_go_both_ways_at_once(tmp_path, loop_factory) -> None:
    """Works, state and outputs of many megabytes, of several tasks: nobody waits for the other for ever."""

    async def talk() -> float:
        big = bytes(8 * MIB)
        kept = Kept()
        kept.values["total", b"a"] = b"\xc6" + len(big).to_bytes(4, "big") + big
        code = source(f"{STATEFUL}    total.value = total.value + b'1'\n    return order.n\n")
        async with hosting(tmp_path) as hosts, Latency() as latency:
            tasks = [await opened(hosts, code, kept) for _ in range(4)]
            padding = b" " * 4 * MIB
            for n in range(1, 4):
                works = [work_of(n, [b'{"n":1}' + padding]) for _ in tasks]
                for effects in await asyncio.gather(*(task.run(w) for task, w in zip(tasks, works, strict=True))):
                    assert 8 * MIB + n == len(effects.state[0].value) - 5
        return latency.worst_s

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(talk()) < 1.0


async def test_more_than_a_frame_may_hold_is_refused_where_it_is_made(tmp_path) -> None:
    """The work fails with a sentence; the process and its other tasks go on."""
    code = source("@app.processor(orders, to='out')\ndef f(order: Order) -> bytes: return b'x' * order.n")
    async with hosting(tmp_path, host_frame_bytes_max=MIB) as hosts:
        host, other = await opened(hosts, code), await opened(hosts, code)
        with pytest.raises(ProcessorFailed, match=r"what came of one work takes 20000\d\d bytes, at most 1048576"):
            await host.run(work(1, 2_000_000))
        assert 10 == len((await other.run(work(1, 10))).outputs[0].value)


async def test_whoever_writes_on_the_connection_is_ended(tmp_path) -> None:
    """What makes no sense, or would be too much, is the end of its process, and no harm to its node."""
    find = "link = [fd for fd in range(3, 1 << 16) if os.path.exists(f'/proc/self/fd/{fd}')"
    find += " and 'socket' in os.readlink(f'/proc/self/fd/{fd}')][0]\n"
    async with hosting(tmp_path) as hosts:
        nonsense = await failure(hosts, function(find + "os.write(link, b'\\x05\\0\\0\\0hello')"))
        too_much = await failure(hosts, function(find + "os.write(link, b'\\xff\\xff\\xff\\xff')"))
        false = await failure(hosts, function(find + "os.write(link, b'\\x09\\0\\0\\0\\x92\\xa6opened\\x07')"))

    assert "makes no sense" in nonsense.message
    assert "it would send 4294967295 bytes at once" in too_much.message
    assert "it answered what nobody had asked" == false.message


async def test_a_process_that_no_task_uses_ends(tmp_path) -> None:
    """After a while, and that is no failure; the next use starts another one."""
    async with hosting(tmp_path, host_idle_s=0.2) as hosts:
        host = await opened(hosts, function(""))
        await asyncio.sleep(0.5)
        assert 1 == len(processes(tmp_path))
        host.close()
        await until(lambda: processes(tmp_path) == [])
        await until(lambda: not hosts._programs)  # or each deployment would leave its file in memory
        assert not hosts.trouble(function(""))
        assert [1] == values(await (await opened(hosts, function(""))).run(work(1, 1)))


async def test_a_file_is_looked_at_before_each_start(tmp_path) -> None:
    """What was changed on the disk is not run: it is written anew."""
    code = function("os._exit(3) if order.n == 1 else None")
    path = tmp_path / "code" / code.sha256.hex() / "mine.py"
    async with hosting(tmp_path) as hosts:
        other = await hosts.open(replace(code, app="mine"), seat("f"), Kept().read, external=False)
        host = await opened(hosts, code)
        path.write_bytes(b"import os; os._exit(9)")
        with pytest.raises(HostFailed):
            await host.run(work(1, 1))
        assert "f" == (await hosts.describe(code))[0].name
        assert code.content == path.read_bytes()
        other.close()


async def test_a_file_goes_with_the_last_process_that_may_read_it(tmp_path) -> None:
    """Else each deployment would leave its file for ever; also what a node has left that was killed."""
    left = tmp_path / "code" / "0" / "left.py"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x = 1")
    code = function("")
    async with hosting(tmp_path, host_idle_s=0.1) as hosts:
        assert not left.exists()
        path = tmp_path / "code" / code.sha256.hex() / "mine.py"
        host = await opened(hosts, code)
        await hosts.describe(replace(code, app="mine"))  # the same file, in a process of its own, which ends soon
        await until(lambda: 1 == len(processes(tmp_path)))
        assert path.exists()
        host.close()
        await until(lambda: not path.parent.exists())
        with pytest.raises(InvalidApp):
            await hosts.describe(source("x = ("))
        await until(lambda: [] == list((tmp_path / "code").iterdir()))


async def test_a_process_that_cannot_be_started_is_told(tmp_path) -> None:
    """Where its file cannot be written, say."""
    (tmp_path / "code").write_text("no directory")
    async with hosting(tmp_path) as hosts:
        with pytest.raises(HostFailed, match=r"its process did not start: .*(Not a directory|File exists)"):
            await hosts.describe(function(""))


async def test_works_of_many_tasks_leave_the_loop_free(tmp_path) -> None:
    """While user code computes, and while it is killed for taking too long, the node's loop takes its turns."""
    async with hosting(tmp_path, work_s_max=2.0) as hosts, Latency() as latency:
        busy = await opened(hosts, function("until = time.monotonic() + 0.5\nwhile time.monotonic() < until: pass"))
        endless = await opened(hosts, function("while True: pass"))
        answers = await asyncio.gather(busy.run(work(1, 1, 2)), endless.run(work(1, 1)), return_exceptions=True)

    assert isinstance(answers[1], HostFailed)
    assert [1, 2] == values(answers[0])
    assert latency.worst_s < 0.5
