"""A member whose journal is empty is new, or has lost its disk, and cannot know which.

Its vote would count as if it had never promised anything: with another that lags it would elect a
leader without commands that it had acknowledged itself. So it asks the others, and until they have answered it is as if
it were not there: it votes for nobody, acknowledges nothing and starts no election. Each looks into its own journal,
also at what is not committed yet, for this node's registration, which is made only by a member with a term on its disk.

Whoever has it says so, and the empty member must not run. If the node was registered, a majority has that on disk, so
it asks as many as have one of them among them: all others of three, three others of five. A cluster that is new is
formed when so many are there.
"""

from collections.abc import Iterable

from pysyncobj.node import Node

from cluster.controller.commands import RegisterNode
from cluster.controller.quorum.guards import Message, command_in
from cluster.controller.quorum.journal import DurableJournal
from cluster.errors import RefusedToStart

QUESTION, ANSWER = "am_i_known", "known"


class Joining:
    """One member's."""

    def __init__(self, journal: DurableJournal, me: str, others: Iterable[Node]) -> None:
        self._journal = journal
        self._me = me
        others = list(others)
        self._needed = len(others) - (len(others) + 1) // 2 + 1 if others else 0
        self._unknown_to: set[str] = set()
        self._known_to = ""
        self.done = self._needed == 0 or not journal.is_new()
        """Whether this member takes part."""

    def question(self) -> Message:
        """To every other, until it is `done`."""
        return {"type": QUESTION}

    def answer(self, node: str) -> Message:
        """To a member that asks."""
        return {"type": ANSWER, "known": _registers(self._journal, int(node))}

    def heard(self, node: str, message: Message) -> None:
        """Another one's answer."""
        if self.done:
            return
        if message.get("known"):
            self._known_to = node
            return
        self._unknown_to.add(node)
        self.done = len(self._unknown_to) >= self._needed and not self._known_to

    def check(self) -> None:
        """RefusedToStart if this node was one of the cluster's before."""
        if self._known_to:
            raise RefusedToStart(
                f"this node's data directory is empty, but node {self._known_to} knows node {self._me} as one that has "
                f"voted: it would break its promises if it began anew. Start it with the data that it had, or "
                f"replace it: riverrun cluster replace {self._me} --with NEW"
            )


def _registers(journal: DurableJournal, node: int) -> bool:
    for raw, _, _ in journal:
        proposal = command_in(raw)
        if proposal is not None and isinstance(proposal.command, RegisterNode) and proposal.command.node == node:
            return True
    return False
