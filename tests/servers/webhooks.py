"""A server that takes webhooks, for tests of the sink: `python -m tests.servers.webhooks PORT FILE`.

It appends what it takes to FILE, one line each, synced before it answers. What it answers is the record's own wish: the
field `answer`, or the next ones of `answers` at each try of the same id.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from chaos.arenas.processes.ports import _bound

UP_S_MAX = 10.0
ROOT = Path(__file__).parents[2]


class Webhooks:
    """The server, in a process of its own; see `Killable`."""

    def __init__(self, directory: Path, *, delay_s: float = 0.0) -> None:
        self.path = directory / "taken"
        with _bound(0) as bound:
            self.port = bound.getsockname()[1]
        self._delay_s = delay_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/in"

    def start(self) -> None:
        """Until it answers."""
        command = [sys.executable, "-m", "tests.servers.webhooks", str(self.port), str(self.path), str(self._delay_s)]
        self._process = subprocess.Popen(command, cwd=ROOT)
        for _ in range(int(UP_S_MAX / 0.02)):
            try:
                httpx2.get(self.url, timeout=1.0)
            except httpx2.HTTPError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("it does not come up")

    def kill(self) -> None:
        """At once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def taken(self) -> list[dict[str, Any]]:
        """All requests that were answered with 2xx, or would have been: id, headers, value."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text().splitlines() if line.endswith("}")]


def main() -> None:
    """Serve until it is ended."""
    port, path, delay_s = int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    tries: Counter[str] = Counter()
    file = path.open("a")

    async def app(scope, receive, send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        status = 200
        if scope["method"] != "GET":
            value = json.loads(body)
            sent_id = headers["idempotency-key"]
            tries[sent_id] += 1
            answers = value.get("answers") or [value.get("answer", 200)]
            status = answers[min(tries[sent_id], len(answers)) - 1]
            await asyncio.sleep(delay_s)
            if status < 300:
                file.write(
                    json.dumps({"id": sent_id, "headers": headers, "body": body.decode(), "value": value}) + "\n"
                )
                file.flush()
                os.fsync(file.fileno())
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"as you like it"})

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="critical", lifespan="off", ws="none")


if __name__ == "__main__":
    main()
