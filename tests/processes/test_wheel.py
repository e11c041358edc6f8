"""The wheel: installed where nothing of this checkout is, `riverrun dev` runs from it, twice on the same data."""

import os
import re
import signal
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from chaos.arenas.processes.ports import claimed_ports

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(150)]
ROOT = Path(__file__).parents[2]


ELSEWHERE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
"""What is installed is meant, not what lies here."""


def _run(*command: str, cwd: Path, stdin: str = "") -> str:
    done = subprocess.run(
        command, cwd=cwd, env=ELSEWHERE, input=stdin, capture_output=True, text=True, check=False, timeout=100
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def riverrun(tmp_path: Path) -> str:
    """The installed command. What the wheel depends on is taken from here, as files on a path."""
    wheels = tmp_path / "wheels"
    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    _run(sys.executable, *build, "--wheel-dir", str(wheels), str(ROOT), cwd=tmp_path)
    empty = tmp_path / "empty"
    venv.create(empty, with_pip=True)
    (wheel,) = wheels.glob("riverrun-*.whl")
    _run(
        str(empty / "bin/python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        str(wheel),
        cwd=tmp_path,
    )
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = empty / "lib" / version / "site-packages"
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    found = _run(str(empty / "bin/python"), "-c", "import cluster; print(cluster.__file__)", cwd=tmp_path)
    assert found.startswith(str(site)), "the package comes from the wheel"
    assert (site / "cluster/py.typed").exists(), "its types are for those who use it"
    return str(empty / "bin/riverrun")


def _start(riverrun: str, folder: Path, port: int) -> "subprocess.Popen[str]":
    """`riverrun dev`, when it has said that it is ready."""
    process = subprocess.Popen(
        [riverrun, "dev", "--data-dir", str(folder / "data"), "--port", str(port)],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        env=ELSEWHERE | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("ready:"):
            return process
    raise AssertionError(f"it never was ready; exit code {process.wait()}")


def _stop(process: "subprocess.Popen[str]", how: signal.Signals = signal.SIGINT) -> str:
    """Ctrl-C, or what it is told instead; what it said on the way out."""
    process.send_signal(how)
    said, _ = process.communicate(timeout=30)
    assert 0 == process.returncode
    return said


def test_an_installed_wheel_runs_a_cluster(riverrun: str, tmp_path: Path):
    """Start, publish, Ctrl-C; the second start has what the first one kept."""
    assert re.search(r"\d+\.\d+", _run(riverrun, "--version", cwd=tmp_path))
    with claimed_ports(3) as port:
        _start_publish_stop_twice(riverrun, tmp_path, port)


def _start_publish_stop_twice(riverrun: str, tmp_path: Path, port: int) -> None:
    server = f"127.0.0.1:{port}"
    first = _start(riverrun, tmp_path, port)
    try:
        _run(riverrun, "topic", "create", "kept", "--server", server, cwd=tmp_path)
        _run(riverrun, "produce", "kept", "--server", server, cwd=tmp_path, stdin="one\ntwo\n")
    finally:
        assert "stopped" in _stop(first)
    again = _start(riverrun, tmp_path, port)
    try:
        read = [riverrun, "consume", "kept", "--from", "earliest", "--until", "latest", "--server", server]
        assert "one\ntwo\n" == _run(*read, cwd=tmp_path)
    finally:
        assert "stopped" in _stop(again, signal.SIGHUP)  # its terminal is closed
