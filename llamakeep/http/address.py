"""Server addresses, parsed from URLs."""

from base64 import b64encode
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self
from urllib.parse import quote, unquote, urlsplit

PORTS = {"http": 80, "https": 443}
_SAFE = "%/:?#[]@!$&'()*+,;=~"


@dataclass(frozen=True, slots=True)
class Address:
    """A server's address; `path` is prepended to the paths of requests."""

    scheme: str
    host: str
    port: int
    path: str = ""
    authorization: str | None = None
    """The Authorization header for a username and password in the URL."""
    query: str = ""
    """The beginning of every request's query, such as `api-version=1`."""

    @classmethod
    def parse(cls, url: str) -> Self:
        """
        Parse a URL.

        Raises:
            ValueError: It is no HTTP URL.
        """
        parts = urlsplit(url)
        if parts.scheme not in PORTS or not parts.hostname:
            raise ValueError(f"{parts.scheme}://{parts.hostname} is no HTTP server")
        authorization = None
        if parts.username is not None:
            who = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = f"Basic {b64encode(who.encode()).decode()}"
        return cls(
            parts.scheme,
            _ascii(parts.hostname),
            parts.port or PORTS[parts.scheme],
            parts.path.rstrip("/"),
            authorization,
            parts.query,
        )

    @property
    def authority(self) -> str:
        """The host and port, as in a Host header."""
        if self.port == PORTS[self.scheme]:
            return self._bracketed_host
        return self.host_and_port

    @property
    def host_and_port(self) -> str:
        """The host and port, also a default port."""
        return f"{self._bracketed_host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this computer."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")

    @property
    def _bracketed_host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def without_secrets(url: str) -> str:
    """Return a URL as it may be shown: without a password, and without its query."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def target(path: str) -> str:
    """Return a path with its query, encoded for a request line."""
    path, _, _ = path.partition("#")
    if not path.startswith("/"):
        path = f"/{path}"
    if path.isascii() and path.isprintable() and " " not in path:
        return path
    return quote(path, safe=_SAFE, errors="replace")


def _ascii(host: str) -> str:
    return host if host.isascii() else host.encode("idna").decode()
