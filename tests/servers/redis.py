"""A Redis of the tests' own, which keeps what it acknowledged: each write is synced to its append-only file."""

import contextlib
import socket
from pathlib import Path

from tests.servers.process import ServerProcess


class RedisServer(ServerProcess):
    """`settings`: more of redis.conf, by name."""

    def __init__(self, **settings: str) -> None:
        super().__init__("redis-server")
        self._settings = {"appendonly": "yes", "appendfsync": "always", "save": ""} | settings

    @property
    def url(self) -> str:
        """For a connector."""
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str | Path]:
        """In the foreground."""
        settings = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.directory)} | self._settings
        return [self.program, *[part for name, value in settings.items() for part in (f"--{name}", value)]]

    def accepts(self) -> bool:
        """Whether it has loaded its data, too."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0) as connection:
            connection.sendall(b"PING\r\n")
            answer = connection.recv(100)
            return answer.startswith((b"+PONG", b"-NOAUTH"))
        return False
