"""Apps for people and tools: deploying, looking, pausing, removing, redriving. Any node answers."""

import hashlib

from cluster.client.app_views import (
    AppView,
    DeploymentView,
    RedriveView,
    app_view,
    deployment_view,
    redrive_views,
)
from cluster.client.calls import Calls
from cluster.errors import InvalidRequest, UnknownApp, UnknownTopic
from cluster.wire import api
from cluster.wire.api import app_pb2

SERVICE = "/riverrun.v1.AppService/"
INLINE_BYTES_MAX = 1024 * 1024
"""A larger file is uploaded in pieces first."""
PIECE_BYTES = 512 * 1024
DEPLOY_TIMEOUT_S = 120.0
"""A node imports the code first, which may take its 30 s."""


class AppAdmin:
    """Each call takes `timeout_s`; None is `ClientOptions.request_timeout_s`, and DEPLOY_TIMEOUT_S for deploying.

    All but removing and redriving may be done twice without harm, and are repeated where their outcome is unknown.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def deploy_app(
        self,
        content: bytes,
        *,
        file_name: str,
        app: str = "",
        external: bool = False,
        create_topics: bool = False,
        partitions: int = 0,
        timeout_s: float | None = None,
    ) -> DeploymentView:
        """Run the processors of the app in a Python file or a wheel; `app`: what it is called there, if it has several.

        Processors that are deployed under the same name and version go on with this code; others go on with theirs.
        `external`: workers that connect run the code. `create_topics`: make inputs that are not there, with
        `partitions` (0: the cluster's default).
        Errors: Forbidden (deploy from a node's own machine), InvalidApp (what is wrong in the code), UnknownTopic,
        InvalidRequest.
        """
        request = app_pb2.DeployAppRequest(
            file_name=file_name,
            app=app,
            external=external,
            create_inputs=create_topics,
            partitions_default=_number(partitions),
        )
        timeout_s = DEPLOY_TIMEOUT_S if timeout_s is None else timeout_s
        if len(content) <= INLINE_BYTES_MAX:
            request.content = content
        else:
            request.uploaded.CopyFrom(await self._upload(content, timeout_s))
        answer = await self._calls.call(
            SERVICE + "DeployApp",
            request.SerializeToString(),
            timeout_s=timeout_s,
            repeatable=True,
            doubt=UnknownTopic,
        )
        return deployment_view(api.parse(app_pb2.DeployAppResponse, answer))

    async def _upload(self, content: bytes, timeout_s: float) -> app_pb2.UploadedCode:
        sha256 = hashlib.sha256(content).digest()
        first = 0
        for number, begin in enumerate(range(0, len(content), PIECE_BYTES)):
            piece = app_pb2.UploadCodeRequest(
                sha256=sha256, number=number, content=content[begin : begin + PIECE_BYTES]
            )
            answer = await self._calls.call(
                SERVICE + "UploadCode", piece.SerializeToString(), timeout_s=timeout_s, repeatable=True
            )
            if number == 0:
                first = api.parse(app_pb2.UploadCodeResponse, answer).offset
        return app_pb2.UploadedCode(sha256=sha256, size_bytes=len(content), offset=first)

    async def list_apps(self, *, timeout_s: float | None = None) -> tuple[AppView, ...]:
        """All apps by name, with their stages; without tasks, which `describe_app` tells."""
        found: list[AppView] = []
        request = app_pb2.ListAppsRequest()
        while True:
            answer = await self._calls.call(
                SERVICE + "ListApps", request.SerializeToString(), timeout_s=timeout_s, repeatable=True
            )
            page = api.parse(app_pb2.ListAppsResponse, answer)
            found += map(app_view, page.apps)
            if not page.next_page_token:
                return tuple(found)
            request.page_token = page.next_page_token

    async def describe_app(self, name: str, *, timeout_s: float | None = None) -> AppView:
        """One app with what its tasks are doing. UnknownApp if every node says so."""
        request = app_pb2.DescribeAppRequest(name=name).SerializeToString()
        answer = await self._calls.call(
            SERVICE + "DescribeApp", request, timeout_s=timeout_s, repeatable=True, doubt=UnknownApp
        )
        return app_view(api.parse(app_pb2.DescribeAppResponse, answer).app)

    async def pause_app(
        self, name: str, processor: str = "", version: int = 0, *, timeout_s: float | None = None
    ) -> AppView:
        """Let the tasks of a processor rest, in a version or in all (0); or those of all processors. UnknownApp."""
        request = app_pb2.PauseAppRequest(name=name, processor=processor, version=_number(version))
        answer = await self._calls.call(
            SERVICE + "PauseApp",
            request.SerializeToString(),
            timeout_s=timeout_s,
            repeatable=True,
            doubt=UnknownApp,
        )
        return app_view(api.parse(app_pb2.PauseAppResponse, answer).app)

    async def resume_app(
        self, name: str, processor: str = "", version: int = 0, *, timeout_s: float | None = None
    ) -> AppView:
        """Let them go on, paused or stopped; see `pause_app`. `tasks` are those that could not be told, and why."""
        request = app_pb2.ResumeAppRequest(name=name, processor=processor, version=_number(version))
        answer = await self._calls.call(
            SERVICE + "ResumeApp",
            request.SerializeToString(),
            timeout_s=timeout_s,
            repeatable=True,
            doubt=UnknownApp,
        )
        return app_view(api.parse(app_pb2.ResumeAppResponse, answer).app)

    async def remove_app(
        self, name: str, processor: str = "", version: int = 0, *, timeout_s: float | None = None
    ) -> tuple[tuple[str, int], ...]:
        """Remove a processor, or all of them, with their state and positions, for good; the stages that are gone."""
        request = app_pb2.RemoveAppRequest(name=name, processor=processor, version=_number(version))
        answer = await self._calls.call(
            SERVICE + "RemoveApp",
            request.SerializeToString(),
            timeout_s=timeout_s,
            repeatable=False,
            doubt=UnknownApp,
        )
        removed = api.parse(app_pb2.RemoveAppResponse, answer).removed
        return tuple((stage.name, stage.version) for stage in removed)

    async def redrive_app(
        self, name: str, processor: str, version: int = 0, *, timeout_s: float | None = None
    ) -> tuple[RedriveView, ...]:
        """Handle the dead letters of a processor again, those that there are now; what came of it, by task.

        Errors: UnknownApp; InvalidRequest (it keeps none, or there are several versions and none is named).
        """
        request = app_pb2.RedriveAppRequest(name=name, processor=processor, version=_number(version))
        answer = await self._calls.call(
            SERVICE + "RedriveApp",
            request.SerializeToString(),
            timeout_s=timeout_s,
            repeatable=False,
            doubt=UnknownApp,
        )
        return redrive_views(api.parse(app_pb2.RedriveAppResponse, answer))


def _number(value: int) -> int:
    """InvalidRequest if it is none that there could be."""
    if not 0 <= value < 1 << 32:
        raise InvalidRequest(f"{value!r} is no such number")
    return value
