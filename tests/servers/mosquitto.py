"""A Mosquitto of the tests' own, which keeps what it acknowledged as well as it can: it saves after every change.

After each pass of its loop, that is: an acknowledgement is sent first. So SIGKILL may lose messages that it has
acknowledged a moment before (`tests/connectors/mqtt/test_kills.py` shows it); SIGTERM loses nothing.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.servers import environment
from tests.servers.process import ServerProcess


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

    def command(self) -> list[str | Path]:
        """In the foreground."""
        return [self.program, "-c", self.directory / "conf"]
