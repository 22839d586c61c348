"""Whether a proxy passes streams on at once, and does not let clients lie to it."""

import json
import ssl
from dataclasses import dataclass
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from llamakeep.check.finding import Finding, failed, ok, warning
from llamakeep.http import Client, HttpError, Response
from llamakeep.settings.values import is_loopback

ABOUT = "proxy"
PATH = "/about/proxy"
LIE = "192.0.2.66"
"""An address that no client has (RFC 5737)."""
APART = 0.25
"""Seconds between the two events at least, which are half a second apart when sent."""
_PATIENCE = 5.0
_LONGEST_ANSWER = 10_000
_GATEWAY = range(502, 505)
_RENEW = (
    "Renew it, and reload the proxy; if the proxy renews it by itself, its log says "
    "why that failed. Where the date of this computer is wrong, set its clock."
)
_OTHER_NAME = (
    "Give the proxy a certificate for this name, or check the name that the one it has "
    "is for."
)
_UNKNOWN_AUTHORITY = (
    "Let the proxy send the whole chain of a valid certificate, such as Let's "
    "Encrypt's, or make its authority known here (Debian: `update-ca-certificates`)."
)
_CERTIFICATE_FIXES = {10: _RENEW, 62: _OTHER_NAME, 64: _OTHER_NAME}
"""By OpenSSL's codes: X509_V_ERR_CERT_HAS_EXPIRED and …_MISMATCH of a host or an IP."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came through the proxy."""

    status: int
    location: str | None
    body: bytes
    apart: float
    """Seconds from the first piece of the body to its end."""


async def check_proxy(url: str) -> list[Finding]:
    """Return what a proxy at `url` does to requests and streams."""
    url = url.rstrip("/")
    if urlsplit(url).scheme not in ("http", "https"):
        return [
            failed(
                ABOUT,
                f"{url} is no address of a web server.",
                "Begin it with https://, as in https://llm.example.com.",
            )
        ]
    try:
        answer = await _ask(url)
        if answer.status == 200 and answer.apart < APART:
            # A computer that is busy may read both at once.
            answer = await _ask(url)
    except (HttpError, ValueError) as error:
        return [_unreachable(url, error)]
    said = _read(answer)
    if said is None:
        return [_not_ours(url, answer)]
    found = [*_faults_of_address(said), *_faults_of_links(url, said)]
    if answer.apart < APART:
        found.append(
            failed(
                ABOUT,
                "It holds streams back: answers come all at once at their end.",
                "Turn buffering and compression of text/event-stream off (nginx: "
                "`proxy_buffering off; proxy_http_version 1.1; gzip off;`): see "
                "docs/security.md.",
            )
        )
    if any(each.level == "failed" for each in found):
        return found
    return [ok(ABOUT, f"{url} passes streams on at once."), *found]


async def _ask(url: str) -> Answer:
    client = Client(
        url,
        connect_timeout=_PATIENCE,
        silence_timeout=_PATIENCE,
        uses_proxies=False,
        headers={"x-forwarded-for": LIE, "accept": "text/event-stream"},
    )
    try:
        async with client.send("GET", PATH, keep_alive=False) as response:
            body, apart = await _body_of(response)
            location = response.header("location")
            return Answer(response.status, location, body, apart)
    finally:
        await client.close()


async def _body_of(response: Response) -> tuple[bytes, float]:
    body, began_at = b"", None
    while len(body) < _LONGEST_ANSWER and (piece := await response.read()) is not None:
        began_at = began_at or monotonic()
        body += piece
    return body, 0.0 if began_at is None else monotonic() - began_at


def _read(answer: Answer) -> dict[str, Any] | None:
    first = answer.body.partition(b"\n")[0].removeprefix(b"data: ")
    try:
        said = json.loads(first)
    except ValueError:
        return None
    is_ours = answer.status == 200 and isinstance(said, dict) and "prefix" in said
    return said if is_ours else None


def _unreachable(url: str, error: BaseException) -> Finding:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return failed(
                ABOUT,
                f"The certificate of {url} is not trusted: "
                f"{cause.verify_message.rstrip('.')}.",
                _CERTIFICATE_FIXES.get(cause.verify_code, _UNKNOWN_AUTHORITY),
            )
        cause = cause.__cause__ or cause.__context__
    return failed(
        ABOUT,
        f"{url} cannot be reached: {str(error) or type(error).__name__}",
        "Start the proxy, and look at its name (DNS), its port and the firewall.",
    )


def _not_ours(url: str, answer: Answer) -> Finding:
    if answer.status in _GATEWAY:
        return failed(
            ABOUT,
            f"{url} answers {answer.status}: the proxy does not reach the server.",
            "Start llamakeep, and let the proxy pass requests to LLAMAKEEP_HOST and "
            "LLAMAKEEP_PORT.",
        )
    if answer.location is not None:
        said = f"{url} redirects to {answer.location[:200]}."
        return failed(
            ABOUT, said, "Check that address instead, or let it be passed on."
        )
    return failed(
        ABOUT,
        f"{url} answers {answer.status}, and not as this version of llamakeep does.",
        f"Let the proxy pass {url}{PATH} to the server, without a login or a cache.",
    )


def _faults_of_address(said: dict[str, Any]) -> list[Finding]:
    if said.get("address") != LIE:
        return []
    return [
        failed(
            ABOUT,
            "It passes on the X-Forwarded-For that clients send: they can choose the "
            "address that limits and the audit log have of them.",
            "Let it overwrite the header (nginx: `proxy_set_header X-Forwarded-For "
            "$remote_addr;`): see docs/security.md.",
        )
    ]


def _faults_of_links(url: str, said: dict[str, Any]) -> list[Finding]:
    parts, found = urlsplit(url), []
    if said.get("scheme") != parts.scheme:
        found.append(
            warning(
                ABOUT,
                f"The server believes that it is reached by {said.get('scheme')}: "
                "addresses in answers are wrong, and cookies not marked as secure.",
                "Let the proxy set X-Forwarded-Proto, and name the proxy in "
                "LLAMAKEEP_TRUSTED_PROXIES.",
            )
        )
    if said.get("prefix") != parts.path:
        found.append(
            warning(
                ABOUT,
                f"The server believes that its path is {said.get('prefix') or '/'}: "
                "addresses in answers are wrong.",
                f"Set LLAMAKEEP_PUBLIC_URL={url}, or let the proxy set "
                "X-Forwarded-Prefix.",
            )
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        found.append(
            warning(
                ABOUT,
                f"{url} has no TLS: passwords and API keys are readable on the way.",
                "Let the proxy serve https, with a certificate.",
            )
        )
    return found
