"""The same seeds, with core and swarm compiled by mypyc: 2.6 times as many in the same time, for runs of hours.

Mypyc comes with mypy and takes the sources as they stand; it needs a C compiler and a minute. The compiled copy is in
`.tools/compiled` and is made anew when one of its sources has changed. Planted bugs are subclasses, which a compiled
class does not allow: for those, and for traces, the sources are run.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / ".tools" / "compiled"
SOURCES = ("cluster", "tests")
INTERPRETED = {"__main__.py", "compiled.py", "planted.py", "planted_changes.py", "test_seeds.py"}
BUILD = """
import sys
from setuptools import setup
from mypyc.build import mypycify
setup(packages=[], py_modules=[], ext_modules=mypycify(sys.argv[1:], opt_level="3"), script_args=["build_ext", "-i"])
"""


class NotCompiled(Exception):
    """What the compiler said."""


def modules(root: Path) -> list[str]:
    """What is compiled, as paths below `root`."""
    found = [root / "cluster" / "messages.py", *(root / "cluster" / "raft").glob("*.py")]
    found += [path for path in (root / "tests" / "raft" / "sim").glob("*.py") if path.name not in INTERPRETED]
    return sorted(str(path.relative_to(root)) for path in found)


def fingerprint(root: Path) -> str:
    """Of all that may be imported from the copy."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted(path for name in SOURCES for path in (root / name).rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def prepare(root: Path = ROOT, folder: Path = FOLDER) -> Path:
    """The folder with the compiled copy; NotCompiled."""
    made_of, now = folder / "made-of", fingerprint(root)
    if made_of.exists() and made_of.read_text() == now:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    for name in SOURCES:
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    shutil.copy(root / "pyproject.toml", folder)
    print("compiling, which takes a minute …", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, *modules(folder)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NotCompiled((done.stdout + done.stderr)[-4000:])
    made_of.write_text(now)
    return folder


def run(arguments: Sequence[str]) -> NoReturn:
    """Become this program, compiled."""
    folder = prepare()
    os.chdir(folder)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    os.execve(sys.executable, [sys.executable, "-m", "tests.raft.sim", *arguments], environment)
