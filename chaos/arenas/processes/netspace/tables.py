"""Cuts by nftables, in the nodes' own namespaces: packets dropped or answered by a reset, at the kernel's speed.

Several faults at a time: each has rules of its own, and each change replaces a namespace's table as a whole, at once.
"""

import asyncio
import itertools
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from chaos.arenas.processes.netspace.namespaces import COMMAND_S_MAX, Names, find_ip

UNPACKED = Path(__file__).parents[4] / ".servers"
"""Where `make servers` unpacks Debian's packages."""
_TABLE = "inet riverrun"


def find_nft() -> list[str]:
    """The command, of this machine or of what `make servers` has unpacked; empty if there is none."""
    path = shutil.which("nft", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path:
        return [path]
    unpacked = UNPACKED / "usr/sbin/nft"
    if not unpacked.exists():
        return []
    libraries = [str(path) for path in UNPACKED.glob("usr/lib/*-linux-gnu")]
    return ["/usr/bin/env", f"LD_LIBRARY_PATH={':'.join(libraries)}", str(unpacked)]


def drop_from(address: str) -> str:
    """A rule: nothing of that address is heard any more."""
    return f"ip saddr {address} counter name hits drop"


def reset_from(address: str) -> str:
    """A rule: every packet of a TCP connection from that address is answered by a reset. Resets themselves get in."""
    rest = "tcp flags & rst == 0 counter name hits reject with tcp reset"
    return f"ip saddr {address} {rest}"


def lose_from(address: str, share: float) -> str:
    """A rule: so many of the packets from that address are lost, by the kernel's own chance."""
    return f"ip saddr {address} numgen random mod 10000 < {round(share * 10000)} counter name hits drop"


class Tables:
    """The rules of all nodes' namespaces."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._faults: dict[int, list[tuple[int, str]]] = {}
        self._numbers = itertools.count(1)
        self._turn = asyncio.Lock()

    async def add(self, rules: Iterable[tuple[int, str]]) -> int:
        """Rules, each for what comes in at a place; a number to remove them by. RuntimeError if nft refuses."""
        number = next(self._numbers)
        self._faults[number] = list(rules)
        try:
            await self._write({place for place, _ in self._faults[number]})
        except RuntimeError:
            del self._faults[number]
            raise
        return number

    async def remove(self, number: int) -> None:
        """What was added with that number is gone; others stay."""
        rules = self._faults.pop(number)
        await self._write({place for place, _ in rules})

    async def hits(self) -> int:
        """Packets that met a rule, in all namespaces."""
        found = 0
        for place in self._names.places:
            said = await self._nft(place, "list ruleset")
            words = said.split()
            found += sum(int(words[at + 1]) for at, word in enumerate(words[:-1]) if word == "packets")
        return found

    async def _write(self, places: set[int]) -> None:
        async with self._turn:
            for place in sorted(places):
                rules = [rule for fault in self._faults.values() for at, rule in fault if at == place]
                chain = "type filter hook input priority -10;\n" + "\n".join(rules)
                content = f"counter hits {{ }}\nchain heard {{ {chain}\n }}"
                await self._nft(
                    place, f"table {_TABLE} {{ }}\nflush table {_TABLE}\ntable {_TABLE} {{\n{content}\n}}\n"
                )

    async def _nft(self, place: int, text: str) -> str:
        tool = find_ip()
        command = find_nft()
        if tool is None or not command:
            raise RuntimeError("nft is missing")
        process = await asyncio.create_subprocess_exec(
            *(tool, "netns", "exec", self._names.space(place), *command, "-f", "-"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(COMMAND_S_MAX):
            said, _ = await process.communicate(text.encode())
        if process.returncode:
            raise RuntimeError(f"nft in {self._names.space(place)}: {said.decode(errors='replace').strip()}")
        return said.decode()
