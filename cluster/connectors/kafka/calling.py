"""The library's calls in a thread of their own, what it is configured with, and what its errors mean."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from cluster.connectors.kafka.options import KafkaCluster
from cluster.errors import InvalidRoute, RiverrunError, Unreachable

T = TypeVar("T")
IGNORED = {KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError._PARTITION_EOF}  # noqa: SLF001  so the library names its own
"""Of no concern: no group is used, though the library asks for one."""
_REFUSED = {
    KafkaError._AUTHENTICATION,  # noqa: SLF001
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError.ILLEGAL_SASL_STATE,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}
_WRONG = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    KafkaError.TOPIC_EXCEPTION,
    KafkaError.UNSUPPORTED_VERSION,
    KafkaError._UNSUPPORTED_FEATURE,  # noqa: SLF001
    KafkaError._INVALID_ARG,  # noqa: SLF001
    KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT,
    KafkaError.POLICY_VIOLATION,
}


class Calls:
    """Blocking calls, one after the other in one thread. A call that is given up on goes on to its end there."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kafka")

    async def __call__(self, call: Callable[..., T], *arguments: Any) -> T:
        """What it returns, or raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    def end(self) -> None:
        """Take no more; what was handed in is done."""
        self._thread.shutdown(wait=False)


def configuration(options: KafkaCluster) -> dict[str, Any]:
    """Of every client."""
    timeout_ms = int(options.timeout_s * 1000)
    made: dict[str, Any] = {
        "log_level": 0,  # whoever uses it is told, and says it where it belongs
        "socket.timeout.ms": timeout_ms,
        "socket.connection.setup.timeout.ms": timeout_ms,
        "reconnect.backoff.max.ms": 1000,
        **options.config,
        "bootstrap.servers": options.bootstrap_servers,
        "security.protocol": options.security_protocol,
    }
    if options.security_protocol.startswith("SASL"):
        made["sasl.mechanism"] = options.sasl_mechanism
        made["sasl.username"], made["sasl.password"] = options.sasl_username, options.sasl_password
    for name in ("ssl_ca_location", "ssl_certificate_location", "ssl_key_location", "ssl_key_password"):
        if getattr(options, name):
            made[name.replace("_", ".")] = getattr(options, name)
    return made


def failure(where: str, error: KafkaError) -> RiverrunError:
    """What it means for a route."""
    code, text = error.code(), error.str()
    if code in _REFUSED:
        return InvalidRoute(f"{where} refuses us: {text}")
    if code == KafkaError._SSL and "certificate" in text.lower():  # noqa: SLF001
        return InvalidRoute(f"{where}: TLS fails: {text}")
    if code in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}:  # noqa: SLF001
        return InvalidRoute(f"{where}: it has no such topic, or we may not see it")
    if code in _WRONG:
        return InvalidRoute(f"{where}: {text}")
    return Unreachable(f"{where}: {text}")


def error_of(raised: KafkaException | KafkaError) -> KafkaError:
    """The error within an exception."""
    found = raised.args[0] if isinstance(raised, KafkaException) else raised
    assert isinstance(found, KafkaError), "the library says so"
    return found


class Troubles:
    """What the library has said beside its answers: why a broker cannot be talked to."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._told: RiverrunError | None = None

    def hear(self, error: KafkaError) -> None:
        """Called by the library in its calls. Single brokers may be away; that we are refused is kept above all."""
        code = error.code()
        if code in IGNORED:
            return
        told = failure(self._where, error)
        away = code == KafkaError._ALL_BROKERS_DOWN or error.fatal()  # noqa: SLF001
        if isinstance(told, InvalidRoute) or (away and self._told is None):
            self._told = told

    @property
    def are_ours(self) -> bool:
        """Only a person can mend what was heard."""
        return isinstance(self._told, InvalidRoute)

    def raise_any(self) -> None:
        """What was heard."""
        if self._told is not None:
            raise self._told

    def worse(self, error: KafkaError) -> RiverrunError:
        """Of an answer and what was heard, that which says more."""
        return self._told if self._told is not None and self.are_ours else failure(self._where, error)
