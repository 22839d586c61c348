"""Checks of a request's head that HTTP/1.1 (RFC 9112) requires of servers."""

import re
from collections.abc import Iterable
from http import HTTPStatus

VERSIONS = ("1.1", "1.0")

_HOST = re.compile(
    rb"(?:[\w.~!$&'()*+,;=%-]*|\[[0-9A-Fa-fVv:.%\w~-]+\])(?::\d*)?", re.ASCII
)


class RefusedHead(ValueError):
    """A head that is refused, with the status code of the response."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


def check_head(
    method: bytes,
    version: str,
    target: bytes,
    headers: Iterable[tuple[bytes, bytes]],
    *,
    largest: int,
) -> None:
    """
    Refuse a head that is too large, or that a proxy may have read in another way.

    Names of headers are in lower case. With the target, they may have `largest` bytes.

    Raises:
        RefusedHead: It has the status code.
    """
    if version not in VERSIONS:
        raise RefusedHead(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    if method == b"CONNECT":
        raise RefusedHead(HTTPStatus.NOT_IMPLEMENTED)
    size = len(target)
    hosts: list[bytes] = []
    codings: list[bytes] = []
    for name, value in headers:
        size += len(name) + len(value)
        if name == b"host":
            hosts.append(value)
        elif name == b"transfer-encoding":
            codings.append(value)
    if size > largest:
        raise RefusedHead(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    is_old = version == "1.0"
    is_nowhere = not hosts and not is_old
    if len(hosts) > 1 or is_nowhere or not all(map(_HOST.fullmatch, hosts)):
        raise RefusedHead(HTTPStatus.BAD_REQUEST)
    if codings:
        _check_codings(codings, is_old=is_old)


def _check_codings(codings: list[bytes], *, is_old: bool) -> None:
    if is_old:  # proxies that know only HTTP/1.0 would use Content-Length instead
        raise RefusedHead(HTTPStatus.BAD_REQUEST)
    if [coding.lower() for coding in codings] != [b"chunked"]:
        raise RefusedHead(HTTPStatus.NOT_IMPLEMENTED)


def without_upgrade(
    method: bytes, target: bytes, version: str, headers: Iterable[tuple[bytes, bytes]]
) -> bytes:
    """Serialise a request's head without its header `Upgrade`."""
    lines = [b"%b %b HTTP/%b\r\n" % (method, target, version.encode())]
    lines += [
        b"%b: %b\r\n" % (name, value) for name, value in headers if name != b"upgrade"
    ]
    return b"".join([*lines, b"\r\n"])
