"""What Toxiproxy's server can answer besides yes; the library knows three of these, and takes the rest for success."""


class ToxiproxyError(RuntimeError):
    """The server did not do what it was asked for, or nobody knows."""


class Unreachable(ToxiproxyError):
    """Nobody listens there, or whoever did broke off: what was asked for may have been done."""


class TooSlow(ToxiproxyError):
    """No answer within the bound: what was asked for may have been done, or still be."""


class NotThere(ToxiproxyError):
    """There is no proxy, or no toxic, of that name (404)."""


class AlreadyThere(ToxiproxyError):
    """There is one of that name (409)."""


class NotTaken(ToxiproxyError):
    """The request is wrong: a toxic or a stream that there is not, or a field that is missing (400)."""


class AddressTaken(ToxiproxyError):
    """The proxy cannot listen where it should (500)."""


class ServerFailed(ToxiproxyError):
    """Any other answer that is none."""
