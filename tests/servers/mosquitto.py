"""A Mosquitto of the tests' own, which keeps what it acknowledged as well as it can: it saves after every change.

It acknowledges first, and saves when it has nothing else to do: a SIGKILL lost up to 100 acknowledged messages here. A
SIGTERM loses nothing. Its log says who has acknowledged what, and that is not lost.
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.servers import environment
from tests.servers.process import ServerProcess

_RECEIVED = re.compile(r"Received PUBLISH from (\S+) \(d\d, q1, r\d, m(\d+), '([^']+)'")
_ACKNOWLEDGED = re.compile(r"Sending PUBACK to (\S+) \(m(\d+), rc0\)")
_SENT = re.compile(r"Sending PUBLISH to (\S+) \(d\d, q1, r\d, m(\d+), '([^']+)'")
_TAKEN = re.compile(r"Received PUBACK from (\S+) \(Mid: (\d+), RC:0\)")


class MosquittoServer(ServerProcess):
    """`users`: names and passwords, without which nobody gets in; `acl`: what they may (`plugin`: in its words)."""

    def __init__(
        self,
        *,
        users: dict[str, str] | None = None,
        acl: str = "",
        plugin: Any = None,
        saves: bool = True,
        more: str = "",
    ) -> None:
        super().__init__("mosquitto")
        lines = [f"listener {self.port} 127.0.0.1", "user root", "log_type all", "max_queued_messages 1000000"]
        if saves:
            lines += ["persistence true", f"persistence_location {self.directory}/"]
            lines += ["autosave_on_changes true", "autosave_interval 1"]
        lines.append(more)
        lines.append(f"allow_anonymous {'false' if users else 'true'}")
        if users:
            passwords = self.directory / "passwords"
            passwords.touch()
            for user, password in users.items():
                command = [self.program.parents[1] / "bin/mosquitto_passwd", "-b", passwords, user, password]
                subprocess.run(command, check=True, env=environment(self.program), capture_output=True)
            lines.append(f"password_file {passwords}")
        if acl:
            (self.directory / "acl").write_text(acl)
            lines.append(f"acl_file {self.directory / 'acl'}")
        if plugin is not None:
            (self.directory / "security.json").write_text(json.dumps(plugin))
            found = sorted(self.program.parents[1].glob("lib/*/mosquitto_dynamic_security.so"))
            lines += [f"plugin {found[-1]}", f"plugin_opt_config_file {self.directory}/security.json"]
        (self.directory / "conf").write_text("\n".join(lines) + "\n")

    def taken_from(self, client: str) -> set[str]:
        """Topics of messages (QoS 1) that the broker has acknowledged to clients whose id begins so."""
        return self._settled(client, _RECEIVED, _ACKNOWLEDGED)

    def taken_by(self, client: str) -> set[str]:
        """Topics of messages that those clients have acknowledged to the broker."""
        return self._settled(client, _SENT, _TAKEN)

    def _settled(self, client: str, begun: re.Pattern[str], ended: re.Pattern[str]) -> set[str]:
        found, under_way = set(), {}
        for line in (self.directory / "log").read_text(errors="replace").splitlines():
            if begin := begun.search(line):
                under_way[begin.group(1), begin.group(2)] = begin.group(3)
            elif (end := ended.search(line)) and end.group(1).startswith(client) and end.groups() in under_way:
                found.add(under_way[end.groups()])
        return found

    def command(self) -> list[str | Path]:
        """In the foreground."""
        return [self.program, "-c", self.directory / "conf"]
