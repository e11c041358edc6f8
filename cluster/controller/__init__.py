"""The controller: one small replicated state machine for topics, placements, nodes and producers.

`state` folds commands, `placement` decides where replicas go, `seats` who decides, `quorum` replicates; `controller` is
each node's part.
Nothing on the path of a record waits for any of it.
"""

from cluster.controller.controller import Controller
from cluster.controller.quorum import Fold
from cluster.controller.quorum.configurations import Quorums

__all__ = ["Controller", "Fold", "Quorums"]
