"""A cluster without a majority for good goes on with what is left: looked at, planned, applied, each by itself.

While a majority may come back, nothing here is needed, and all of it is harm: what only lost nodes knew is given up.
So it is done to nodes that do not run, by a person, and never by a node.

1. `survey` says what the data directory of a node that is left holds. It changes nothing.
2. `plan`, from the surveys of all that are left, what they are to go on with; `account` tells what that may cost.
   A node of which there is no survey is given up: it is removed, and what is on its disk never counts again.
3. `applying` does to one node's data directory what the plan says. It may be done again after a crash, and until it is
   done to the end the node refuses to start.

The controller goes on with the state of the member whose journal goes furthest, in a configuration of a new era, with
seats for nodes that are left. A partition whose replicas can still elect a leader is left as it is. Another one is
forced: the replica whose log goes furthest gets one more entry, of a term of a new era: a membership of the replicas
that are left. It is the only one then that can be elected, and brings the others to where it is, as any leader does.
"""

from cluster.node.recovery.applying import apply_plan, begun, refuse_unfinished
from cluster.node.recovery.plan import Plan, decode_plan, make_plan
from cluster.node.recovery.survey import Survey, decode_survey, survey

__all__ = [
    "Plan",
    "Survey",
    "apply_plan",
    "begun",
    "decode_plan",
    "decode_survey",
    "make_plan",
    "refuse_unfinished",
    "survey",
]
