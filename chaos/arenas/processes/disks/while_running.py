"""A bit of a log flips while its node runs: whoever meets that must not serve it, and the node ends and heals.

What nobody has met when it is mended is met at the next start: the node is killed then. Its good copy is the file as it
is by that time, with the bit flipped back.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chaos.arenas.arena import HitNobody, Mend
from chaos.arenas.processes.disks.at_rest import DamageAtRest
from chaos.arenas.processes.disks.damage import Wound, byte_at, flip
from chaos.arenas.processes.disks.layout import Kept, files_of
from chaos.arenas.processes.fitting import Nodes


class DamageWhileRunning:
    """See Injector. Options: `node`, and `file` and `place` of a Wound. `at_rest`: counts, and starts again."""

    def __init__(self, nodes: Nodes, at_rest: DamageAtRest) -> None:
        self._nodes = nodes
        self._at_rest = at_rest
        at_rest.counts["met_while_running"] = 0

    def missing(self) -> str:
        """See Injector."""
        return ""

    async def inject(self, nodes: Sequence[int], options: Mapping[str, Any]) -> Mend | None:
        """See Injector. The node is the one that `options` names, or the first. HitNobody: it does not run."""
        node = int(options.get("node", nodes[0]))
        launch = self._nodes.launches[node]
        files = files_of(Path(launch.config.data_dir), "log")
        if self._nodes.pid(node) is None or not files:
            raise HitNobody(f"node {node} has no log in use")
        what = Wound(how="flip", file=options["file"], place=options["place"])
        kept = what.chosen(files)
        self._nodes.expect_end(node)
        done = flip(kept, what)
        damaged = byte_at(kept.path, kept.position(what.place))
        counts = self._at_rest.counts
        counts["damaged"] += 1
        good = launch.folder / f"good-{counts['damaged']}"

        async def mend() -> None:
            met = self._nodes.pid(node) is None
            counts["met_while_running"] += met
            await self._nodes.kill(node)
            _copy_without(kept, what, damaged, good)
            how = "it ended by itself" if met else "it was killed"
            await self._at_rest.start(node, kept, good, f"{done} while it ran, {how}")

        return mend


def _copy_without(kept: Kept, what: Wound, damaged: int, good: Path) -> None:
    """The file as it is now, with the bit flipped back if it is still the other way round."""
    if not kept.path.exists():
        return  # trimmed meanwhile: nobody will miss it
    shutil.copyfile(kept.path, good)
    if byte_at(good, kept.position(what.place)) == damaged:
        flip(Kept(good, kept.name, kept.spans), what)
