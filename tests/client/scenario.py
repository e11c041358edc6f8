"""`@scenario` runs an asynchronous test in virtual time, against its own cluster in memory."""

import asyncio
import functools
import inspect

from tests.client.fake_cluster import FakeCluster
from tests.client.virtual_loop import VirtualLoop


async def _whole(test, cluster_options, arguments):
    cluster = FakeCluster(**cluster_options)
    try:
        await test(cluster, **arguments)
    finally:
        await cluster.close()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert [] == [task.get_name() for task in left], "a client that was closed leaves no task behind"


def scenario(test=None, **cluster_options):
    """The test's first parameter is the cluster (three nodes, no topics); others stay pytest's."""
    if test is None:
        return functools.partial(scenario, **cluster_options)

    @functools.wraps(test)
    def run(**arguments):
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(_whole(test, cluster_options, arguments))

    parameters = list(inspect.signature(test).parameters.values())[1:]
    run.__signature__ = inspect.Signature(parameters)
    del run.__wrapped__
    return run
