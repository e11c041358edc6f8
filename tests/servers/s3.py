"""An S3-compatible server for tests: versitygw, which keeps buckets as directories and decides conditional puts."""

import http.client
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.servers import require_program

ACCESS_KEY, SECRET_KEY = "riverrun", "a-secret-of-the-tests"
UP_S_MAX = 15.0


class S3:
    """One server on its own port and data; `kill` and `start` may be called over and over, `stop` ends it."""

    def __init__(self, port: int = 0, *, conditional: bool = True) -> None:
        """`conditional` False: it does not know conditional puts (for it keeps nothing of objects but their bytes)."""
        self._program = require_program("versitygw")
        self._options = [] if conditional else ["--nometa"]
        self._data = Path(tempfile.mkdtemp(prefix="riverrun-s3-"))
        if conditional:
            _require_attributes(self._data)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = port or _free_port()

    @property
    def endpoint(self) -> str:
        """Its url."""
        return f"http://127.0.0.1:{self.port}"

    def bucket(self, name: str) -> Path:
        """Make it; the directory in which its objects are files."""
        found = self._data / "buckets" / name
        found.mkdir(parents=True, exist_ok=True)
        return found

    def start(self) -> None:
        """When this returns it answers."""
        self.bucket("lake")
        command = [str(self._program), "--port", f"127.0.0.1:{self.port}", "--quiet"]
        command += ["--access", ACCESS_KEY, "--secret", SECRET_KEY, "posix"]
        command += [*self._options, str(self._data / "buckets")]
        with (self._data / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        end = time.perf_counter() + UP_S_MAX
        while not self._answers():
            told = (self._data / "log").read_text(errors="replace")[-2000:]
            assert self._process.poll() is None, f"versitygw ended: {told}"
            assert time.perf_counter() < end, f"versitygw does not answer: {told}"
            time.sleep(0.02)

    def kill(self) -> None:
        """At once; what it was doing is half done."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it, and forget its data."""
        self.kill()
        shutil.rmtree(self._data)

    def _answers(self) -> bool:
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            asked.request("GET", "/")
            asked.getresponse().read()
        except OSError:
            return False
        finally:
            asked.close()
        return True


def _require_attributes(folder: Path) -> None:
    """What it knows of an object it keeps in the file's attributes, for only there it is whole after a kill."""
    try:
        os.setxattr(folder, "user.riverrun", b"1")
    except OSError as error:
        folder.rmdir()
        what = f"the file system of {folder.parent} has no attributes for users ({error.strerror})"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(what)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
