"""The examples in the docstrings of the client and the command line are true."""

import doctest

import pytest

from cluster.cli import shared
from cluster.client import client, positions, routing


@pytest.mark.parametrize("module", [client, positions, routing, shared])
def test_examples(module):
    """Each of them runs, and there is at least one."""
    failed, tried = doctest.testmod(module)
    assert (0, True) == (failed, tried > 0)
