"""The example clients in other languages as processes: built once, driven by their common command line."""

import asyncio
import functools
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import require_tool

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "examples" / "clients"
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Language:
    """What builds a program (`make client-NAME`) and what runs it, below its directory."""

    name: str
    tools: tuple[str, ...]
    command: tuple[str, ...]


LANGUAGES = {
    language.name: language
    for language in (
        Language("go", ("go",), ("build/riverrun-example",)),
        Language("node", ("node", "npm"), ("node", "main.js")),
        Language("java", ("java", "mvn"), ("java", "-jar", "target/riverrun-example.jar")),
        Language("rust", ("cargo",), ("target/debug/riverrun-example",)),
    )
}


def built(name: str) -> tuple[str, ...]:
    """How the program is started; where a tool is missing the test is skipped, and fails in CI."""
    language = LANGUAGES[name]
    for tool in language.tools:
        require_tool(tool)
    _build(name)
    program, *arguments = language.command
    return (str(CLIENTS / name / program) if "/" in program else program, *arguments)


@functools.cache
def _build(name: str) -> None:
    environment = {"CARGO_BUILD_JOBS": "1", **os.environ}
    done = subprocess.run(
        ["make", f"client-{name}"], cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True, slots=True)
class Processed:
    """A line `record …`."""

    partition: int
    offset: int
    key: str
    value: int


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A line `committed …`: everything of the partition before the position was processed."""

    partition: int
    position: int


@dataclass
class Program:
    """One run of a program. `said` is what it printed about records and positions, in order."""

    name: str
    said: list[Processed | Acknowledged] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)
    errors: str = ""
    _process: asyncio.subprocess.Process | None = None
    _reading: "asyncio.Task[None] | None" = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    async def start(cls, name: str, servers: Sequence[str], **options: object) -> "Program":
        """Run it with `--servers …` and other options, such as `work_ms=20`."""
        arguments = ["--servers", ",".join(servers)]
        for option, value in options.items():
            arguments += [f"--{option.replace('_', '-')}", str(value)]
        program = cls(name)
        pipe = asyncio.subprocess.PIPE
        program._process = await asyncio.create_subprocess_exec(
            *built(name), *arguments, stdout=pipe, stderr=pipe, cwd=CLIENTS / name
        )
        program._reading = asyncio.create_task(program._read(program._process))
        return program

    @property
    def processed(self) -> list[Processed]:
        """Records, in the order in which it worked on them."""
        return [item for item in self.said if isinstance(item, Processed)]

    @property
    def places(self) -> set[tuple[int, int]]:
        """Partition and offset of what it worked on, once or more."""
        return {(item.partition, item.offset) for item in self.processed}

    async def until(self, enough: Callable[["Program"], bool]) -> None:
        """Return when what it said is enough; the test fails if it ends before."""
        async with asyncio.timeout(PATIENCE_S):
            while not enough(self):
                assert self._reading is not None
                assert not self._reading.done(), f"{self.name} ended early: {self.errors}"
                self._news.clear()
                await self._news.wait()

    async def kill(self) -> None:
        """SIGKILL; what it had printed is in `said` when this returns."""
        assert self._process is not None
        assert self._process.returncode is None, f"{self.name} ended early: {self.errors}"
        self._process.kill()
        await self.ended()

    async def ended(self) -> int:
        """Its exit code."""
        assert self._process is not None
        assert self._reading is not None
        async with asyncio.timeout(PATIENCE_S):
            await self._reading
            return await self._process.wait()

    async def stop(self) -> None:
        """End it if it still runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self.ended()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        errors = asyncio.create_task(process.stderr.read())
        while line := (await process.stdout.readline()).decode():
            match line.split():
                case ["record", partition, offset, key, value]:
                    self.said.append(Processed(int(partition), int(offset), key, int(value)))
                case ["committed", partition, position]:
                    self.said.append(Acknowledged(int(partition), int(position)))
                case _:
                    self.rest.append(line.rstrip("\n"))
            self._news.set()
        self.errors = (await errors).decode()
        self._news.set()


def processed_again(said: Sequence[Processed | Acknowledged]) -> int:
    """How many records were processed again, each after a commit without an answer; it fails if there was one."""
    position: dict[int, int] = {}
    seen: set[tuple[int, int]] = set()
    again = 0
    for item in said:
        if isinstance(item, Acknowledged):
            position[item.partition] = max(item.position, position.get(item.partition, 0))
        else:
            assert item.offset >= position.get(item.partition, 0), f"{item} was committed before"
            again += (item.partition, item.offset) in seen
            seen.add((item.partition, item.offset))
    return again
