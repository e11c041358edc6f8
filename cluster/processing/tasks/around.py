"""What the tasks of a node share."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cluster.broker.broker import Broker
from cluster.broker.read_service import ReadService
from cluster.config import NodeConfig, ProcessingOptions
from cluster.metadata import App, Code, Stage
from cluster.processing.surroundings import Processing
from cluster.processing.tasks.emptying import Emptying
from cluster.processing.tasks.outlets import Outlets
from cluster.types import TopicId
from cluster.world import Clock, Random

ReadCode = Callable[[Code], Awaitable[bytes]]
"""The bytes of a deployed file, whose hash is right; RiverrunError if they cannot be had now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """Of one node."""

    broker: Broker
    reading: ReadService
    outlets: Outlets
    emptying: Emptying
    processing: Processing
    read_code: ReadCode
    clock: Clock
    come_ns: Callable[[], int]
    """The latest time that has come by the wall clocks of a majority of nodes; 0 if that is not known."""
    random: Random
    config: NodeConfig

    @property
    def options(self) -> ProcessingOptions:
        """The limits."""
        return self.config.processing

    def stage_of(self, topic: TopicId) -> tuple[App, Stage] | None:
        """Whose tasks' logs are in that topic."""
        return self.broker.directory.stage_of(topic)
