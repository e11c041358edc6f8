"""Where a database is, and how to name it without its secrets. Pure.

>>> read_url("postgresql://me:${PW}@db.example/shop?sslmode=require")["dbname"]
'shop'
"""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote

from cluster.errors import InvalidRoute

PORT = 5432
_SECRET = re.compile(r"\$\{[^}]*\}")
_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[^\[\]:@/\s]*")


def read_url(url: str) -> dict[str, str]:
    """What libpq calls host, port, dbname, user, password, and whatever follows a `?`. InvalidRoute.

    A password may have any characters, `@` as well, since it may have been put in as it is; secrets that were not
    put in yet are left as they are.
    """
    scheme, found, rest = url.partition("://")
    if scheme not in {"postgresql", "postgres"} or not found:
        raise InvalidRoute("url does not begin with postgresql://")
    secrets: list[str] = []
    rest = _SECRET.sub(lambda secret: secrets.append(secret[0]) or f"\0{len(secrets) - 1}\0", rest)  # type: ignore[func-returns-value]
    who, _, where = rest.rpartition("@")
    where, _, query = where.partition("?")
    places, _, database = where.partition("/")
    user, _, password = who.partition(":")
    hosts, ports = [], []
    for place in places.split(","):
        host = _HOST.match(place)
        assert host is not None
        port = place[host.end() + 1 :]
        if place[host.end() :] and (place[host.end()] != ":" or not (port.isdigit() or "\0" in port)):
            raise InvalidRoute("url has something other than host:port between @ and the database's name")
        hosts.append(host[0].strip("[]"))
        ports.append(port or str(PORT))
    parts = {"host": ",".join(hosts), "port": ",".join(ports), "dbname": database, "user": user, "password": password}
    parts |= dict(parse_qsl(query, keep_blank_values=True))
    back = re.compile("\0(\\d+)\0")
    return {
        name: back.sub(lambda number: secrets[int(number[1])], unquote(text)) for name, text in parts.items() if text
    }


def named(parts: Mapping[str, str]) -> str:
    """`localhost:5432/shop`, for people."""
    hosts = parts.get("host", "localhost").split(",")
    ports = parts.get("port", str(PORT)).split(",")
    places = ",".join(f"{host}:{port}" for host, port in zip(hosts, ports * len(hosts), strict=False))
    return f"{places}/{parts.get('dbname', '?')}"


def table_of(written: str) -> tuple[str, str]:
    """Schema and name; without a schema it is `public`. Both are as in the catalog: nothing is folded to lower case."""
    schema, _, name = written.rpartition(".")
    if not name or "\0" in written:
        raise InvalidRoute(f"{written!r} is not a table's name: write schema.table")
    return schema or "public", name
