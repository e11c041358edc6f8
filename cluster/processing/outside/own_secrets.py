"""Secrets as this process has them: `${NAME}` from its environment, `${file:/path}` from a file.

A host has of its node's environment what `processing.host_environment` names.
"""

import os
from pathlib import Path
from typing import TypeVar

from cluster.connectors.secrets import Redactor, secret_names, with_secrets
from cluster.errors import InvalidRoute

T = TypeVar("T")
FILE = "file:"


def opened(options: T) -> tuple[T, Redactor]:
    """Options with all secrets in their places, and what keeps them out of messages. InvalidRoute: one is not there."""
    names = secret_names(options)
    found = {name: value for name in names if (value := _value(name)) is not None}
    missing = [name for name in names if name not in found and not name.startswith(FILE)]
    if missing:
        raise InvalidRoute(
            f"the secret ${{{missing[0]}}} is not in the environment: set it where the node runs, and name it in the "
            "node's processing.host_environment"
        )
    return with_secrets(options, found), Redactor(found)


def _value(name: str) -> str | None:
    if not name.startswith(FILE):
        return os.environ.get(name)
    try:
        return Path(name.removeprefix(FILE)).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        return None
