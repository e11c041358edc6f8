"""The connection to a Redis, and what its errors mean. One connection: what is written after what is the order."""

import ssl
from collections.abc import Awaitable
from typing import Any, TypeVar

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from cluster.connectors.durations import duration_s
from cluster.connectors.redis.options import RedisSink
from cluster.errors import InvalidRoute, RiverrunError, Unreachable

T = TypeVar("T")
FOR_NOW = ("BUSY ", "MISCONF ", "NOREPLICAS ", "UNKILLABLE ")
"""Beside those with a class of their own, these pass by themselves: a disk that is full, a script that hangs."""
_REFUSED = (
    exceptions.AuthenticationError,
    exceptions.NoPermissionError,
    exceptions.AuthenticationWrongNumberOfArgsError,
)
_AWAY = (exceptions.ConnectionError, OSError)
_FOR_NOW = (exceptions.OutOfMemoryError, exceptions.ReadOnlyError, exceptions.MasterDownError, exceptions.TryAgainError)
_CLUSTER = (exceptions.ClusterError, exceptions.AskError)


def connection(options: RedisSink) -> "Redis":
    """Connects when it is used. InvalidRoute: the URL cannot be used."""
    timeout_s = duration_s(options.timeout, "timeout")
    more: dict[str, Any] = {"ssl_ca_certs": options.ca} if options.ca else {}
    if options.user:
        more["username"] = options.user
    if options.password:
        more["password"] = options.password
    try:
        return Redis.from_url(
            options.url,
            single_connection_client=True,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),  # an unknown outcome is not for the library to repeat
            **more,
        )
    except (ValueError, exceptions.RedisError):
        what = "url is not that of a Redis: write redis://host:6379/0, rediss://… or unix:///path"
        raise InvalidRoute(what) from None  # whose text may have a part of the url


async def answer(address: str, awaitable: Awaitable[T]) -> T:
    """What Redis answers; Unreachable or InvalidRoute in the place of the library's errors."""
    try:
        return await awaitable
    except (exceptions.RedisError, OSError) as error:
        raise failure(address, error) from error


def failure(address: str, error: Exception) -> RiverrunError:
    """What it means for a route."""
    text = str(error) or type(error).__name__
    where = f"redis {address}"
    cause: BaseException = error.__cause__ or error.__context__ or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return InvalidRoute(f"{where}: its certificate is not to be trusted: {cause.verify_message}")
    if isinstance(cause, UnicodeError):
        return InvalidRoute(f"{where}: the host's name is none")
    if isinstance(error, exceptions.TimeoutError | TimeoutError):
        return Unreachable(f"{where} does not answer in time")
    if isinstance(error, _REFUSED):
        return InvalidRoute(f"{where} refuses us: {text}")
    if isinstance(error, _FOR_NOW) or any(code in text for code in FOR_NOW):
        return Unreachable(f"{where} writes nothing for now: {text}")
    if isinstance(error, _AWAY):
        return Unreachable(f"{where} is away: {text}")
    if isinstance(error, _CLUSTER):
        return InvalidRoute(f"{where} is a Redis Cluster, which is not supported: {text}")
    return InvalidRoute(f"{where}: {text}")
