"""What anomalies mean is taken from where the checkers define them."""

import chaos.checkers
from chaos.report.meanings import CHECKERS, DEFINITIONS, checked, definitions, meaning
from chaos.workloads import WORKLOADS

TEXT = """Judges of histories.

A checker reads events: nothing else (`replicas` is not meant here).

`log`: sends and reads. Never allowed.

- duplicate: one value is at two offsets.
- aborted read (G1a): a value was read whose send
  had failed. Allowed: never.

- late read: the same, and later.

`receipts`, in `log` where `replicas` is given:

- receipt lied: it said a majority.

`empty`: says nothing.

Jepsen's other anomalies are of transactions: there are none here.
"""


def test_definitions_are_read() -> None:
    """Checkers and their anomalies, with all lines of a meaning, without what stands around them."""
    expected = {
        "log": {
            "duplicate": "One value is at two offsets.",
            "aborted read": "A value was read whose send had failed. Allowed: never.",
            "late read": 'As "aborted read", and later.',
        },
        "receipts": {"receipt lied": "It said a majority."},
    }

    assert expected == definitions(TEXT)


def test_every_checker_that_defines_anything_is_read() -> None:
    """Each line of the real docstring that begins an item is found, once."""
    items = [line for line in (chaos.checkers.__doc__ or "").splitlines() if line.startswith("- ")]

    assert len(items) == sum(map(len, DEFINITIONS.values()))


def test_workloads_say_who_judges_them() -> None:
    """All that there are; unknown words mean nothing."""
    assert set(CHECKERS) == set(WORKLOADS)
    assert {} == checked(["no such workload"])
    assert "" == meaning("no such anomaly")
