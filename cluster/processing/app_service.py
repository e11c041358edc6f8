"""AppService: apps for people and tools. Any node takes any request.

What is deployed is the controller's, handed in as `AppDecisions`; code is in the `CodeStore`; what the code holds is
found out by a process of its own (`Hosts`); what tasks do is asked at the nodes that run them (`AskingTasks`).
"""

from collections.abc import Mapping

from cluster.broker.broker import Broker
from cluster.broker.forwarding import is_forwarded
from cluster.config import ProcessingOptions
from cluster.errors import InvalidRequest, UnknownApp
from cluster.metadata import App
from cluster.processing.app_messages import app_to_pb
from cluster.processing.asking_tasks import AskingTasks
from cluster.processing.callers import refuse_from_afar
from cluster.processing.code_store import CodeStore
from cluster.processing.deployment import AppDecisions, Deployment
from cluster.processing.stages import chosen, redrivable
from cluster.types import TopicId
from cluster.wire import api
from cluster.wire.api import app_pb2
from cluster.world import Call, Route

PAGE_APPS_MAX = 1_000
SHA256_BYTES = 32


class AppService:
    """Handlers of AppService."""

    def __init__(
        self,
        *,
        broker: Broker,
        decisions: AppDecisions,
        store: CodeStore,
        deployment: Deployment,
        asking: AskingTasks,
        options: ProcessingOptions,
    ) -> None:
        self._broker = broker
        self._decisions = decisions
        self._store = store
        self._deployment = deployment
        self._asking = asking
        self._options = options

    # --- code

    async def upload_code(self, data: bytes, call: Call) -> bytes:
        """See the proto."""
        refuse_from_afar(call.peer(), self._options)
        self._deployment.hosts()
        request = api.parse(app_pb2.UploadCodeRequest, data)
        size_max = self._options.code_piece_bytes_max
        if len(request.sha256) != SHA256_BYTES:
            raise InvalidRequest(f"a SHA-256 has {SHA256_BYTES} bytes, not {len(request.sha256)}")
        if not 0 < len(request.content) <= size_max:
            raise InvalidRequest(f"a piece of code has 1 to {size_max} bytes, not {len(request.content)}")
        if request.number * size_max > self._options.code_bytes_max:
            raise InvalidRequest(f"a file has at most {self._options.code_bytes_max} bytes")
        offset = await self._store.store_piece(request.sha256, request.number, request.content)
        return app_pb2.UploadCodeResponse(offset=offset).SerializeToString()

    async def deploy_app(self, data: bytes, call: Call) -> bytes:
        """See the proto."""
        refuse_from_afar(call.peer(), self._options)
        request = api.parse(app_pb2.DeployAppRequest, data)
        return (await self._deployment.deploy(request)).SerializeToString()

    # --- looking

    async def list_apps(self, data: bytes, call: Call) -> bytes:
        """See the proto. The page token is the last name of the page before."""
        del call
        request = api.parse(app_pb2.ListAppsRequest, data)
        size = min(request.page_size or PAGE_APPS_MAX, PAGE_APPS_MAX)
        self._broker.directory.check_informed()
        apps = self._broker.directory.apps
        names = sorted(name for name in apps if name > request.page_token)
        return app_pb2.ListAppsResponse(
            apps=[app_to_pb(apps[name]) for name in names[:size]],
            next_page_token=names[size - 1] if len(names) > size else "",
        ).SerializeToString()

    async def describe_app(self, data: bytes, call: Call) -> bytes:
        """See the proto. A node that is asked by another one tells of its own tasks only."""
        request = api.parse(app_pb2.DescribeAppRequest, data)
        app = self._app(request.name)
        if is_forwarded(call):
            tasks = await self._asking.statuses_here(app.stages)
        else:
            tasks = await self._asking.statuses(app.stages, data, call)
        return app_pb2.DescribeAppResponse(app=app_to_pb(app, tasks)).SerializeToString()

    # --- changing

    async def pause_app(self, data: bytes, call: Call) -> bytes:
        """See the proto."""
        del call
        request = api.parse(app_pb2.PauseAppRequest, data)
        app = await self._set_paused(request.name, request.processor, request.version, paused=True)
        return app_pb2.PauseAppResponse(app=app_to_pb(app)).SerializeToString()

    async def resume_app(self, data: bytes, call: Call) -> bytes:
        """See the proto. A node that is asked by another one tells its own tasks only."""
        request = api.parse(app_pb2.ResumeAppRequest, data)
        if is_forwarded(call):
            app = self._app(request.name)
        else:
            app = await self._set_paused(request.name, request.processor, request.version, paused=False)
        stages = [stage for stage, _ in chosen(app, request.processor, request.version)]
        if is_forwarded(call):
            tasks = self._asking.resume_here(stages)
        else:
            tasks = await self._asking.resume(stages, data, call)
        return app_pb2.ResumeAppResponse(app=app_to_pb(app, tasks)).SerializeToString()

    async def _set_paused(self, name: str, processor: str, version: int, *, paused: bool) -> App:
        stages = [(stage.name, stage.version) for stage, _ in chosen(self._app(name), processor, version)]
        app = await self._decisions.set_paused(name, stages, paused=paused)
        await self._deployment.caught_up()
        return app

    async def remove_app(self, data: bytes, call: Call) -> bytes:
        """See the proto. What is between the stages goes with them: else it would be read again by who comes next."""
        del call
        request = api.parse(app_pb2.RemoveAppRequest, data)
        found = chosen(self._app(request.name), request.processor, request.version)
        between = {out.topic for _, spec in found for out in spec.outputs if out.internal}
        by_name = self._broker.directory.by_name
        topics: list[TopicId] = [by_name[name].id for name in sorted(between & set(by_name))]
        stages = [(stage.name, stage.version) for stage, _ in found]
        await self._decisions.remove_app(request.name, stages, topics)
        await self._deployment.caught_up()
        return app_pb2.RemoveAppResponse(
            removed=[app_pb2.RemovedStage(name=name, version=version) for name, version in stages]
        ).SerializeToString()

    async def redrive_app(self, data: bytes, call: Call) -> bytes:
        """See the proto."""
        request = api.parse(app_pb2.RedriveAppRequest, data)
        if not request.processor:
            raise InvalidRequest("a redrive is of one processor: which?")
        stages = [stage for stage, _ in redrivable(self._app(request.name), request.processor, request.version)]
        if is_forwarded(call):
            tasks = list((await self._asking.redrive_here(stages)).values())
        else:
            tasks = await self._asking.redrive(stages, data, call)
        return app_pb2.RedriveAppResponse(tasks=tasks).SerializeToString()

    def _app(self, name: str) -> App:
        app = self._broker.directory.apps.get(name)
        if app is None:
            self._broker.directory.check_informed()
            there = ", ".join(sorted(self._broker.directory.apps)) or "none"
            raise UnknownApp(f"there is no app {name!r}; deployed are: {there}")
        return app


def app_routes(apps: AppService) -> Mapping[str, Route]:
    """What the client listener serves of it."""
    return {
        "/riverrun.v1.AppService/UploadCode": Route(unary=apps.upload_code),
        "/riverrun.v1.AppService/DeployApp": Route(unary=apps.deploy_app),
        "/riverrun.v1.AppService/ListApps": Route(unary=apps.list_apps),
        "/riverrun.v1.AppService/DescribeApp": Route(unary=apps.describe_app),
        "/riverrun.v1.AppService/PauseApp": Route(unary=apps.pause_app),
        "/riverrun.v1.AppService/ResumeApp": Route(unary=apps.resume_app),
        "/riverrun.v1.AppService/RemoveApp": Route(unary=apps.remove_app),
        "/riverrun.v1.AppService/RedriveApp": Route(unary=apps.redrive_app),
    }
