"""Opening a host, which may take long, while what it is wanted for may change."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from cluster.errors import Unavailable
from cluster.processing.hosts import Host


async def opened(opening: Coroutine[Any, Any, Host], *, is_wanted: Callable[[], bool], changed: asyncio.Event) -> Host:
    """The host. `changed` is set, and cleared here, whenever `is_wanted` may be another.

    Unavailable: meanwhile it is not wanted any more, as the stage has become another one, whose code need not wait for
    that of this one.
    """
    task = asyncio.ensure_future(opening)
    taken = False
    try:
        while not task.done():
            if not is_wanted():
                raise Unavailable("what is deployed has changed")
            changed.clear()
            change = asyncio.ensure_future(changed.wait())
            try:
                await asyncio.wait({task, change}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                change.cancel()
        taken = True
        return task.result()
    finally:
        if not taken and not task.cancel() and task.exception() is None:
            task.result().close()
