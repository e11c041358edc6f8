"""Apps in a local cluster: deployed when it is ready, and again whenever their file is written anew."""

from collections.abc import Sequence
from pathlib import Path

import click

from cluster.cli.app_report import print_deployment
from cluster.config import TlsOptions
from cluster.errors import RiverrunError


class DevApps:
    """The files of `riverrun dev --app` and `--routes`. Topics that they read or write are made where they are not."""

    def __init__(self, files: Sequence[Path], server: str, partitions: int, tls: TlsOptions | None = None) -> None:
        self._server = server
        self._tls = tls
        self._partitions = partitions
        self._seen: dict[Path, int] = dict.fromkeys(files, 0)

    async def look(self) -> None:
        """Deploy what is new, or was written since; what is wrong with it is said, and it is looked at again then."""
        for file, seen in self._seen.items():
            try:
                written, content = _read(file)
            except OSError:
                continue  # an editor is about to put it there again
            if written != seen:
                self._seen[file] = written
                await self._deploy(file, content)

    async def _deploy(self, file: Path, content: bytes) -> None:
        from cluster import connect  # noqa: PLC0415  gRPC only when it is needed

        try:
            async with await connect(self._server, tls=self._tls) as client:
                deployed = await client.deploy_app(
                    content, file_name=file.name, create_topics=True, partitions=self._partitions
                )
        except RiverrunError as error:
            click.echo(f"riverrun: {file} is not deployed: {error}", err=True)
        else:
            print_deployment(deployed, file.name)


def _read(file: Path) -> tuple[int, bytes]:
    """When it was written, and what is in it."""
    return file.stat().st_mtime_ns, file.read_bytes()
