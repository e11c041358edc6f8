"""Who may deploy: whoever is on the node's own machine, as the listeners name callers."""

import pytest

from cluster.config import ProcessingOptions
from cluster.errors import Forbidden
from cluster.processing.callers import refuse_from_afar


@pytest.mark.parametrize(
    "peer",
    [
        "ipv4:127.0.0.1:51234",
        "ipv4:127.9.9.9:1",
        "ipv6:%5B::1%5D:51234",
        "ipv6:[::1]:51234",
        "ipv6:[::ffff:127.0.0.1]:1",
        "unix:/run/riverrun.sock",
        "unix:",
        "http:127.0.0.1:51234",
        "http:::1:51234",
        "this node",
    ],
)
def test_callers_on_this_machine_may(peer: str):
    """In all the ways in which they are named."""
    refuse_from_afar(peer, ProcessingOptions())


@pytest.mark.parametrize(
    "peer",
    [
        "ipv4:10.0.0.7:51234",
        "ipv4:0.0.0.0:1",
        "ipv6:%5B2001:db8::1%5D:51234",
        "ipv6:[::ffff:10.0.0.7]:1",
        "http:192.168.1.5:80",
        "http",
        "",
        "nobody",
        "ipv4:localhost.evil.example:1",
        "127.0.0.1:5",
    ],
)
def test_others_may_not_unless_the_configuration_says_so(peer: str):
    """Whoever cannot be told is one of the others."""
    with pytest.raises(Forbidden, match=r"set processing\.deploy_from_anywhere"):
        refuse_from_afar(peer, ProcessingOptions())
    refuse_from_afar(peer, ProcessingOptions(deploy_from_anywhere=True))
