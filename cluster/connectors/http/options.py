"""What a user says of webhooks."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from cluster.connectors.contract import Guarantee
from cluster.connectors.durations import check_duration, duration_s
from cluster.connectors.http.signatures import Scheme
from cluster.errors import InvalidRoute

if TYPE_CHECKING:
    from cluster.connectors.http.sink import WebhookSink
    from cluster.connectors.http.source import WebhookSource

LOOPBACK = ("127.", "localhost", "[::1]")


class Webhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="webhook"):
    """Take what others POST to `http://LISTEN/PATH`, on the node that runs the task.

    `listen`: `host:port`; beyond loopback only with a `signature`, or with `insecure = true`. `signature`: standard,
    github, stripe or none; `secret`: what it is made with. `tolerance`: so long ago it may have been made. `format`:
    json (what is none is refused with 400), text or bytes. `key`: the field (or `header:NAME`) that is the record's
    key. `remember`: the same id is taken once within it. `certificate`, `private_key`: paths, for HTTPS.
    """

    listen: str
    path: str = "/"
    signature: Scheme = Scheme.NONE
    secret: str = ""
    tolerance: str = "5m"
    format: str = "json"
    key: str = ""
    body_bytes_max: int = 1024 * 1024
    remember: str = "24h"
    answer_within: str = "20s"
    insecure: bool = False
    certificate: str = ""
    private_key: str = ""

    @property
    def summary(self) -> str:
        """See SourceOptions."""
        return f"webhook {self.listen}{self.path}"

    @property
    def guarantee(self) -> Guarantee:
        """See SourceOptions: a sender that names its requests has each taken once."""
        return Guarantee.AT_LEAST_ONCE if self.signature in {Scheme.NONE, Scheme.STRIPE} else Guarantee.EXACTLY_ONCE

    @property
    def unique_s(self) -> float:
        """For how long an id is remembered; longer than a signature is good for."""
        return max(duration_s(self.remember, "remember"), 2 * duration_s(self.tolerance, "tolerance"))

    def check(self) -> None:
        """See SourceOptions."""
        host, _, port = self.listen.rpartition(":")
        if "${" not in self.listen and not (host and port.isdecimal() and int(port) < 65_536):
            raise InvalidRoute(f'listen is {self.listen!r}; write "127.0.0.1:8080"')
        if not self.path.startswith("/"):
            raise InvalidRoute(f"path is {self.path!r}; it begins with a slash")
        if (self.signature is not Scheme.NONE) != bool(self.secret):
            raise InvalidRoute(
                "a signature needs a secret"
                if not self.secret
                else "a secret needs a signature: standard, github, stripe"
            )
        if not self.secret and not host.startswith(LOOPBACK) and not self.insecure:
            raise InvalidRoute(
                f"whoever reaches {self.listen} could write records: give a signature and its secret, listen on "
                "loopback, or say insecure = true"
            )
        if self.format not in {"json", "text", "bytes"}:
            raise InvalidRoute(f"format is {self.format!r}; json, text or bytes")
        if bool(self.certificate) != bool(self.private_key):
            raise InvalidRoute("certificate and private_key go together")
        check_duration(self.tolerance, "tolerance", least_s=1, most_s=86_400)
        check_duration(self.remember, "remember", least_s=0, most_s=30 * 86_400)
        check_duration(self.answer_within, "answer_within", least_s=0.1, most_s=300)

    def shares(self) -> Sequence[str]:
        """See SourceOptions: one node listens."""
        return ("",)

    def open(self, share: str, identity: str) -> "WebhookSource":  # noqa: ARG002  nobody asks who it is
        """See SourceOptions."""
        from cluster.connectors.http.source import WebhookSource  # noqa: PLC0415  the server comes with it

        return WebhookSource(self)


class WebhookTarget(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="webhook"
):
    """POST each record, as JSON, to `url`; those of one key one after another.

    `headers`: more of them, such as `Authorization`. `secret`: sign it as a standard webhook. `concurrency`:
    requests at once. `timeout`: of one request.
    """

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = {}
    secret: str = ""
    concurrency: int = 8
    timeout: str = "10s"

    @property
    def summary(self) -> str:
        """See SinkOptions."""
        return f"webhook {_place(self.url)}"

    @property
    def guarantee(self) -> Guarantee:
        """See SinkOptions: whoever takes it can tell by `Idempotency-Key`."""
        return Guarantee.AT_LEAST_ONCE

    @property
    def hold_s(self) -> float:
        """See SinkOptions."""
        return 0.0

    @property
    def batch_records_max(self) -> int:
        """See SinkOptions. Where all are of one slow key a write may be cut off, and gets further the next time."""
        return 4 * self.concurrency

    def check(self) -> None:
        """See SinkOptions."""
        if "${" not in self.url and not _is_address(self.url):
            raise InvalidRoute(f'url is {_place(self.url)!r}; write "https://host/path"')
        if self.method not in {"POST", "PUT", "PATCH"}:
            raise InvalidRoute(f"method is {self.method!r}; POST, PUT or PATCH")
        if not 1 <= self.concurrency <= 256:
            raise InvalidRoute(f"concurrency is {self.concurrency}; from 1 to 256")
        check_duration(self.timeout, "timeout", least_s=0.1, most_s=15)

    def open(self, identity: str) -> "WebhookSink":  # noqa: ARG002  deliveries have their names
        """See SinkOptions."""
        from cluster.connectors.http.sink import WebhookSink  # noqa: PLC0415  httpx2 comes with it

        return WebhookSink(self)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _place(url: str) -> str:
    """Without user, password and what is asked for; whatever it is, and with names of secrets in any part of it."""
    begin, colon, end = url.partition("?")[0].partition("#")[0].partition("://")
    scheme, rest = (begin, end) if colon else ("", begin)
    host, slash, path = rest.partition("/")
    return f"{scheme}{colon}{host.rpartition('@')[2]}{slash}{path}"
