"""What a client is told whose address is a wrong one: nobody knows the host, or something else listens there."""

import pytest

from cluster.errors import Unavailable, Unsupported
from cluster.real.network import RealNetwork

pytestmark = pytest.mark.slow
METHOD = "/riverrun.v1.TopicService/ListTopics"


async def test_a_host_that_nobody_knows_was_not_asked() -> None:
    """So whatever it was, nothing of it was done; the sentence has the name, and not gRPC's words."""
    channel = RealNetwork().channel("no-such-host.invalid:7171")
    with pytest.raises(Unavailable, match=r"^no host is known by the name of no-such-host\.invalid$") as caught:
        await channel.call(METHOD, b"", timeout_s=10.0)
    await channel.close()

    assert "no" == caught.value.metadata["reached"]


async def test_a_port_that_is_not_for_clients_says_so() -> None:
    """The ports of a node are taken for each other."""
    network = RealNetwork()
    listener = await network.listen("127.0.0.1:0", {}, public=False)
    channel = network.channel(listener.address)
    with pytest.raises(Unsupported, match="is this the port for clients"):
        await channel.call(METHOD, b"", timeout_s=10.0)
    await channel.close()
    await listener.close(0.0)
