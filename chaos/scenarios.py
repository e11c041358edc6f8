"""The named scenarios: few, each with something that it alone attacks. `python -m chaos list` prints them."""

from chaos.nemeses import known  # noqa: F401  the faults are registered with it
from chaos.scenario import Scenario

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            name="kills",
            about="nodes are killed, stopped and stand still; leaders first",
            workloads={"log": {}},
            faults=("kill", "pause", "terminate"),
        ),
        Scenario(
            name="topics",
            about="topics come and go under few names, while nodes are killed and cut off; the controller's first",
            workloads={"metadata": {}},
            faults=("kill", "pause", "partition_one", "partition_majority"),
        ),
        Scenario(
            name="apps",
            about="an app counts, sums and closes windows, while nodes are killed, stand still and are cut off",
            workloads={"processing": {}},
            faults=("kill", "pause", "partition_one"),
        ),
    )
}
