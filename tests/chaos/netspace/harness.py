"""A run that is broken off: makes places, starts something in one of them, says what there is, and waits."""

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

from chaos.arenas.processes.netspace.fitting import NetSpace
from tests.chaos.netspace.conftest import launches


async def main() -> None:
    """Until a signal."""
    space = NetSpace(wiring="bridge" if sys.argv[1] == "bridge" else "switch")
    with tempfile.TemporaryDirectory() as folder:
        nodes = launches(Path(folder), 3)
        try:
            await space.fit(SimpleNamespace(launches=nodes))  # type: ignore[arg-type]
            inside = subprocess.Popen([*nodes[1].before, "sleep", "600"], start_new_session=True)  # noqa: ASYNC220  as nodes are
            way = next(iter(nodes[1].ways.values())).removeprefix("unix:")
            said = {"run": space.names.run, "inside": inside.pid, "folder": str(Path(way).parent)}
            print(json.dumps(said), flush=True)
            await asyncio.Event().wait()
        finally:
            await space.remove()
            inside.wait()


if __name__ == "__main__":
    asyncio.run(main())
