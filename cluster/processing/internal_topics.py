"""The topics that the cluster keeps for apps, by name: two underlines first, so nobody else writes to them. Pure.

`__code` has the files that were deployed. `__tasks.<app>.<stage>.<version>` has the logs of a stage's tasks, one a
partition. `__rekey.<app>.<processor>[.<version>]` has records on their way from one stage to the next; its name is in
the stages' specs.
"""

CODE_TOPIC = "__code"
TASKS_PREFIX = "__tasks."
REKEY_PREFIX = "__rekey."
TOPIC_NAME_MAX = 249
"""Characters; of any topic."""


def tasks_topic(app: str, stage: str, version: int) -> str:
    """Where the logs of a stage's tasks are."""
    return f"{TASKS_PREFIX}{app}.{stage}.{version}"
