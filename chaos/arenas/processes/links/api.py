"""The library `toxiproxy`, made to reach one server of several, to wait no longer than told, and to say what failed.

The library's classes call a class `APIConsumer` that all of the process shares. Here they are given one of the server's
own, which differs in this:

- any status but 2xx is an error: the library takes 500 for success, so that `enable()` of a proxy whose port is taken
  says that it is enabled, and `create()` ends in KeyError;
- every request has a time-out: the library waits for ever;
- HTTP_PROXY and its like are not looked at: the server is on loopback;
- there is `patch`: the library cannot change a toxic, only remove it, and a removed `timeout` closes its connections.
"""

from dataclasses import dataclass
from types import FunctionType
from typing import Any

import requests
import toxiproxy.proxy
import toxiproxy.server

from chaos.arenas.processes.links.errors import (
    AddressTaken,
    AlreadyThere,
    NotTaken,
    NotThere,
    ServerFailed,
    TooSlow,
    ToxiproxyError,
    Unreachable,
)

ERRORS: dict[int, type[ToxiproxyError]] = {400: NotTaken, 404: NotThere, 409: AlreadyThere}


class Api:
    """Requests to one server; what the library knows as `APIConsumer`."""

    def __init__(self, host: str, port: int, *, timeout_s: float) -> None:
        """`timeout_s`: for the connection, and for each piece of an answer."""
        self.host = host
        self.port = port
        self._timeout_s = timeout_s

    def get(self, url: str) -> requests.Response:
        """See `_request`."""
        return self._request("GET", url)

    def post(self, url: str, json: Any = None) -> requests.Response:
        """See `_request`."""
        return self._request("POST", url, json)

    def patch(self, url: str, json: Any) -> requests.Response:
        """See `_request`."""
        return self._request("PATCH", url, json)

    def delete(self, url: str) -> requests.Response:
        """See `_request`."""
        return self._request("DELETE", url)

    def _request(self, method: str, url: str, json: Any = None) -> requests.Response:
        """A ToxiproxyError unless the server says that it was done."""
        where = f"http://{self.host}:{self.port}{url}"
        try:
            with requests.Session() as session:
                session.trust_env = False
                answer = session.request(method, where, json=json, timeout=self._timeout_s)
        except requests.Timeout as error:
            raise TooSlow(f"Toxiproxy did not answer {method} {url} within {self._timeout_s} s") from error
        except requests.RequestException as error:
            raise Unreachable(f"Toxiproxy cannot be reached at {self.host}:{self.port}: {error}") from error
        if not answer.ok:
            raise _error_of(method, url, answer)
        return answer


def _error_of(method: str, url: str, answer: requests.Response) -> ToxiproxyError:
    try:
        said = str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        said = answer.text.strip() or "nothing"
    found = ERRORS.get(answer.status_code, ServerFailed)
    if answer.status_code == 500 and said.startswith("listen "):
        found = AddressTaken
    return found(f"Toxiproxy answered {method} {url} with {answer.status_code}: {said}")


@dataclass(frozen=True, slots=True)
class Library:
    """The library's two classes, whose requests go to one server."""

    toxiproxy: Any
    proxy: Any


def library_of(api: Api) -> Library:
    """Bound to this server."""
    proxy = _bound(toxiproxy.proxy.Proxy, APIConsumer=api)
    return Library(_bound(toxiproxy.server.Toxiproxy, APIConsumer=api, Proxy=proxy), proxy)


def _bound(original: type, **names: object) -> Any:
    """A class of the library, whose methods find these under names that are global where they were written."""
    methods = {
        name: FunctionType(
            method.__code__, {**method.__globals__, **names}, name, method.__defaults__, method.__closure__
        )
        for name, method in vars(original).items()
        if isinstance(method, FunctionType)
    }
    return type(original.__name__, (original,), methods)
