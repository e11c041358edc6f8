"""A deployment from the file to the controller's command: each step may be done again, nothing runs before the last.

The code is looked at (`Hosts.describe`) → what is to be done is planned (`deploying`) → the code is stored → topics
that are missing are made → one command to the controller. What was made by a deployment that ends in between is used
by the next one.
"""

import asyncio
import contextlib
import re
from collections.abc import Sequence
from typing import Protocol

from cluster.broker.broker import Broker
from cluster.broker.directory import INTERNAL
from cluster.config import ProcessingOptions
from cluster.controller.commands import DraftedStage
from cluster.errors import (
    CorruptStorage,
    HostFailed,
    InvalidApp,
    InvalidRequest,
    OffsetOutOfRange,
    TopicExists,
    Unavailable,
    UnknownTopic,
    Unsupported,
)
from cluster.metadata import App, Code, Topic, TopicConfig
from cluster.processing.app_messages import app_to_pb
from cluster.processing.code_store import CodeStore
from cluster.processing.deploying import NewTopic, Plan, PlannedStage, Wish, plan
from cluster.processing.hosts import CodeFile, Hosts
from cluster.processing.spec import encode_spec
from cluster.processing.stages import specs_of
from cluster.types import Offset, TopicId
from cluster.wire.api import app_pb2

FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+!-]{0,199}\.(py|whl|toml)")
ATTEMPTS_MAX = 3
"""Of planning anew because somebody else deployed, or this node had not heard of it yet."""
AGAIN_S = 0.2


class AppDecisions(Protocol):
    """What the controller decides for this node's callers. Errors are cluster.errors'."""

    async def create_topic(
        self, name: str, *, partitions: int, replicas: int, if_absent: bool, config: TopicConfig
    ) -> Topic:
        """See `cluster.broker.admin_service.Decisions`."""

    async def delete_topic(self, name: str) -> None:
        """See there."""

    async def deploy_app(self, name: str, stages: Sequence[DraftedStage]) -> App:
        """The app with these stages in it. Unavailable: somebody else was quicker; look again."""

    async def set_paused(self, app: str, stages: Sequence[tuple[str, int]], *, paused: bool) -> App:
        """The app with these stages paused, or not. UnknownApp: one of them is not there."""

    async def remove_app(self, app: str, stages: Sequence[tuple[str, int]], topics: Sequence[TopicId]) -> None:
        """These stages are gone, with the logs of their tasks and with `topics`. UnknownApp: as before."""

    def metadata_version(self) -> int:
        """Of what this node's part of the controller has heard."""


class Deployment:
    """Carries out what DeployApp asks for. `hosts` None: this node runs no user code."""

    def __init__(
        self,
        *,
        broker: Broker,
        decisions: AppDecisions,
        store: CodeStore,
        hosts: Hosts | None,
        partitions_default: int,
        options: ProcessingOptions,
    ) -> None:
        self._broker = broker
        self._decisions = decisions
        self._store = store
        self._hosts = hosts
        self._partitions_default = partitions_default
        self._options = options

    async def deploy(self, request: app_pb2.DeployAppRequest) -> app_pb2.DeployAppResponse:
        """See the proto. InvalidApp, InvalidRequest, UnknownTopic, HostFailed: nothing was changed."""
        hosts = self.hosts()
        if FILE_NAME.fullmatch(request.file_name) is None:
            raise InvalidRequest(
                f"{request.file_name!r} is no name of a Python file, a wheel or a route file: letters, digits and "
                ". _ - + !, and then .py, .whl or .toml"
            )
        content, offset = await self._content(request)
        file = CodeFile(name=request.file_name, app=request.app, content=content)
        try:
            specs = await hosts.describe(file)
        except HostFailed as error:  # not to be tried again by itself: it is the code that does it
            raise InvalidApp(f"{request.file_name} cannot be looked at: {error.message}") from error
        if not specs:
            raise InvalidApp(f"the app in {request.file_name} has no processors")
        if request.name not in {"", specs[0].app}:
            raise InvalidRequest(f"the app in {request.file_name} is {specs[0].app!r}, not {request.name!r}")
        wish = Wish(
            create_inputs=request.create_inputs,
            partitions_default=request.partitions_default or self._partitions_default,
        )
        made: list[str] = []
        for left in reversed(range(ATTEMPTS_MAX)):
            directory = self._broker.directory
            planned = plan(specs, topics=directory.by_name, apps=directory.apps, wish=wish)
            if offset is None:
                offset = await self._store.store(content)
            code = Code(
                sha256=file.sha256, size_bytes=len(content), name=file.name, app=file.app, offset=Offset(offset)
            )
            try:
                return await self._carry_out(planned, code, made, external=request.external)
            except Unavailable:
                if not left:
                    raise
            await asyncio.sleep(AGAIN_S)
        raise AssertionError("the last attempt returns or raises")

    def hosts(self) -> Hosts:
        """What runs code here; Unsupported: nothing does."""
        if self._hosts is None:
            raise Unsupported(f"node {self._broker.me} runs no apps")
        return self._hosts

    async def _content(self, request: app_pb2.DeployAppRequest) -> tuple[bytes, Offset | None]:
        """The file, and where it is, if it was uploaded before."""
        kind, uploaded = request.WhichOneof("code"), request.uploaded
        size = uploaded.size_bytes if kind == "uploaded" else len(request.content)
        if not 0 < size <= self._options.code_bytes_max:
            raise InvalidRequest(
                f"{request.file_name} takes {size} bytes; code takes 1 to {self._options.code_bytes_max}"
            )
        if kind != "uploaded":
            return request.content, None
        code = Code(
            sha256=uploaded.sha256,
            size_bytes=size,
            name=request.file_name,
            app=request.app,
            offset=Offset(uploaded.offset),
        )
        try:
            content = await self._store.read(code)
        except (CorruptStorage, OffsetOutOfRange) as error:
            raise InvalidRequest(f"{request.file_name} is not uploaded as it should be: {error.message}") from error
        await self._store.check_age(code)
        return content, code.offset

    async def _carry_out(
        self, planned: Plan, code: Code, made: list[str], *, external: bool
    ) -> app_pb2.DeployAppResponse:
        """`made`: gets the names of the topics that are made."""
        ids: dict[str, TopicId] = {}
        for topic in planned.topics:
            there = self._broker.directory.by_name.get(topic.name)
            if there is not None and self._is_somebodys(there):
                raise Unavailable(f"the topic {topic.name!r} was made by somebody else meanwhile; try again")
            if there is None or not _left_behind(there, topic):
                ids[topic.name] = await self._make(topic, planned.replicas, there)
                made += [] if topic.name.startswith(INTERNAL) else [topic.name]
            else:
                ids[topic.name] = there.id
        name = planned.stages[0].spec.app
        drafts = [_draft(stage, code, ids, external=external) for stage in planned.stages]
        app = await self._decisions.deploy_app(name, drafts)
        await self.caught_up()
        changes = [
            app_pb2.DeployedStage(name=stage.spec.name, version=stage.spec.version, change=_change(stage, draft))
            for stage, draft in zip(planned.stages, drafts, strict=True)
        ]
        return app_pb2.DeployAppResponse(app=app_to_pb(app), stages=changes, topics_made=made)

    async def _make(self, topic: NewTopic, replicas: int, there: Topic | None) -> TopicId:
        if there is not None:  # of another shape, left behind by a deployment that came to nothing
            with contextlib.suppress(UnknownTopic):
                await self._decisions.delete_topic(topic.name)
        try:
            created = await self._decisions.create_topic(
                topic.name, partitions=topic.partitions, replicas=replicas, if_absent=True, config=topic.config
            )
        except TopicExists as error:
            raise Unavailable(f"somebody else was quicker: {error.message}") from error
        return created.id

    def _is_somebodys(self, there: Topic) -> bool:
        """Whether a topic that was not there when it was planned to make it may hold what somebody wants."""
        directory = self._broker.directory
        if not there.name.startswith(INTERNAL) or directory.stage_of(there.id) is not None:
            return True
        specs = (spec for app in directory.apps.values() for _, spec in specs_of(app))
        return any(out.topic == there.name for spec in specs for out in spec.outputs)

    async def caught_up(self) -> None:
        """Return when what was just decided can be seen at this node; or when that takes too long."""
        version = self._decisions.metadata_version()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.describe_wait_s_max):
                while self._broker.directory.version < version:
                    await self._broker.wait_leader_change()


def _left_behind(there: Topic, topic: NewTopic) -> bool:
    """Whether a topic of the cluster's own that no stage uses will do as it is."""
    return there.name.startswith(INTERNAL) and len(there.partitions) == topic.partitions


def _draft(stage: PlannedStage, code: Code, ids: dict[str, TopicId], *, external: bool) -> DraftedStage:
    return DraftedStage(
        name=stage.spec.name,
        version=stage.spec.version,
        spec=encode_spec(stage.spec),
        code=code,
        topic=stage.before.topic if stage.before is not None else ids[stage.topic],
        tasks=stage.tasks,
        external=external,
        replaces=stage.before.spec if stage.before is not None else b"",
    )


def _change(stage: PlannedStage, draft: DraftedStage) -> app_pb2.DeployedChange.ValueType:
    before = stage.before
    if before is None:
        return app_pb2.DEPLOYED_CHANGE_NEW
    same = (before.code, before.spec, before.external) == (draft.code, draft.spec, draft.external)
    return app_pb2.DEPLOYED_CHANGE_UNCHANGED if same else app_pb2.DEPLOYED_CHANGE_REPLACED
