"""Why a connection does not come about, where gRPC does not say it so that a person can mend it.

gRPC's own words are "Socket closed" for half of the cases. So when it fails before anything was sent, the address is
asked once more by plain sockets, as this side would, and what happens is told in one sentence.
"""

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING

from cluster.errors import Untrusted
from cluster.real.certificates import Files
from cluster.real.tls import ChannelTls

if TYPE_CHECKING:
    from cluster.real.pem import Facts

PROBE_S_MAX = 1.0
AGAIN_S = 5.0
"""What was found at an address is told again for so long, without looking."""
NOT_OF_TLS = ("refused", "timed out", "Timeout", "unreachable", "resolution", "resolving", "No route")
"""In gRPC's words: nobody is there to be asked."""
EXPIRED, NOT_YET_VALID, HOST_MISMATCH, ADDRESS_MISMATCH = 10, 9, 62, 64
"""OpenSSL's X509_V_ERR_… codes."""


class Trouble:
    """Of one address."""

    def __init__(self, address: str, tls: ChannelTls | None) -> None:
        self._address = address
        self._tls = tls
        self._found = ""
        self._looked_s = float("-inf")

    async def of(self, details: str) -> Untrusted | None:
        """What is wrong, if it is TLS; `details`: gRPC's words for why there is no connection."""
        if any(word in details for word in NOT_OF_TLS):
            return None
        now_s = asyncio.get_running_loop().time()
        if now_s - self._looked_s > AGAIN_S:
            self._looked_s = now_s
            self._found = await asyncio.to_thread(trouble_at, self._address, self._tls)
        return Untrusted(f"{self._address} {self._found}") if self._found else None


def trouble_at(address: str, tls: ChannelTls | None) -> str:
    """The end of a sentence that begins with the address; empty: it is not TLS. Blocks for a second at most."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    where = (host, int(port)) if port.isdecimal() else None
    if where is None:
        return ""
    try:
        return _without(where) if tls is None else _with(where, tls)
    except OSError:
        return ""


def _without(where: tuple[str, int]) -> str:
    said = "speaks TLS, and was spoken to in plain text: give the CA that its certificate is signed by"
    try:
        with _connected(where, _careless()):
            return said + _hint("ca")
    except ssl.SSLError as error:
        return said + _hint("ca") if "ALERT" in (error.reason or "") else ""


def _with(where: tuple[str, int], tls: ChannelTls) -> str:
    try:
        context = _careful(tls.files)
    except (OSError, ssl.SSLError):
        return ""  # the files are being written
    try:
        with _connected(where, context) as connection:
            if connection.recv(1):  # a node begins to speak at once; one that refuses a certificate ends without a word
                return ""
            return _refused("", tls)
    except ssl.SSLCertVerificationError as error:
        return _unverified(error, where, tls)
    except ssl.SSLError as error:
        return _refused(error.reason or "", tls)


def _unverified(error: ssl.SSLCertVerificationError, where: tuple[str, int], tls: ChannelTls) -> str:
    shown = _shown(where)
    match error.verify_code:
        case code if code == EXPIRED:
            ended = f" on {shown.ends.isoformat()}" if shown is not None else ""
            return f"shows a certificate that expired{ended} (or one that signed it did): renew it"
        case code if code == NOT_YET_VALID:
            return "shows a certificate that is not valid yet: is the clock right, here and there?"
        case code if code in {HOST_MISMATCH, ADDRESS_MISMATCH}:
            hosts = ", ".join(shown.hosts) if shown is not None else ""
            return f"shows a certificate that is not for {where[0]!r} but for {hosts or 'no host'}"
    authorities = f"the CAs in {tls.files.ca}" if tls.files.ca else "the public CAs"
    return f"shows a certificate that none of {authorities} has signed" + ("" if tls.of_a_node else _hint("ca"))


def _refused(reason: str, tls: ChannelTls) -> str:
    if "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER" in reason:
        return "does not speak TLS: it takes plain text, or is no node"
    if reason and "ALERT" not in reason:
        return f"fails at TLS: {_readable(reason)}"
    if not tls.files.cert:
        return "wants a client's certificate, and there is none" + _hint("cert")
    said = (
        f": {_readable(reason)}" if reason else ", without a word: is it signed by a CA that the node knows, and good?"
    )
    return f"refuses the certificate {tls.files.cert}" + said


def _readable(reason: str) -> str:
    return reason.lower().replace("_", " ")


def _hint(name: str) -> str:
    options = {
        "ca": "--tls-ca, RIVERRUN_TLS_CA, TlsOptions(ca_file=…)",
        "cert": "--tls-cert and --tls-key, RIVERRUN_TLS_CERT and RIVERRUN_TLS_KEY, TlsOptions(cert_file=…, key_file=…)",
    }
    return f" ({options[name]})"


def _careful(files: Files) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if files.ca:
        context.load_verify_locations(files.ca)
    else:
        context.load_default_certs()
    if files.cert:
        context.load_cert_chain(files.cert, files.key)
    return context


def _careless() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _connected(where: tuple[str, int], context: ssl.SSLContext) -> ssl.SSLSocket:
    context.set_alpn_protocols(["h2"])
    plain = socket.create_connection(where, timeout=PROBE_S_MAX)
    try:
        return context.wrap_socket(plain, server_hostname=where[0])
    except BaseException:
        plain.close()
        raise


def _shown(where: tuple[str, int]) -> "Facts | None":
    from cluster.real.pem import facts_of_der  # noqa: PLC0415  its import takes a moment

    try:
        with _connected(where, _careless()) as connection:
            found = connection.getpeercert(binary_form=True)
    except OSError:
        return None
    return facts_of_der(found) if found else None
