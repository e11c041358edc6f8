"""Toxiproxy's server as a process: where it is found, how it starts, and that it ends."""

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

from chaos.arenas.processes.links.control import CALL_S_MAX, Control
from chaos.arenas.processes.links.errors import ToxiproxyError

VERSION = "2.12.0"
PROGRAM = Path(__file__).parents[4] / ".servers" / "bin" / "toxiproxy-server"
SETTING = "TOXIPROXY_BIN"
"""The environment variable that names another one."""
START_S_MAX = 10.0
END_S_MAX = 2.0
LOOK_S = 0.01


def find_server() -> Path | None:
    """What TOXIPROXY_BIN names, else what `make toxiproxy` has built, else the machine's."""
    if setting := os.environ.get(SETTING):
        return Path(setting)
    if PROGRAM.exists():
        return PROGRAM
    found = shutil.which(PROGRAM.name)
    return Path(found) if found else None


class Server:
    """One run of it. Whoever starts it ends it; its proxies are gone with it."""

    def __init__(self, program: Path, *, port: int, log: Path, call_s_max: float = CALL_S_MAX) -> None:
        """`port`: of its API, on loopback. What it says goes behind what is in `log`."""
        self.control = Control(port, call_s_max=call_s_max)
        self._program = program
        self._port = port
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Its process, if it runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """It answers when this returns; RuntimeError with what it said last if it does not within a bound."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                self._program,
                *("-host", "127.0.0.1", "-port", str(self._port), "-proxy-metrics"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for whoever runs it
            )
        answers = False
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(START_S_MAX):
                    answers = await self._answers()
        finally:
            if not answers:
                await self.end()
        if not answers:
            raise RuntimeError(f"{self._program} does not run: {self._last_words()}")

    async def end(self) -> None:
        """It is gone when this returns, whatever state it was in."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(END_S_MAX):
                await process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """The same at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def ended(self) -> None:
        """Return when its process has ended."""
        assert self._process is not None, "it was started"
        await self._process.wait()

    async def _answers(self) -> bool:
        """Return as soon as it does, or has ended."""
        while self.pid is not None:
            with contextlib.suppress(ToxiproxyError):
                await self.control.version()
                return True
            await asyncio.sleep(LOOK_S)
        return False

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-1000:].strip()
