"""What the values of settings may look like, and how they are read."""

import ipaddress
import json
import re
import unicodedata
from contextlib import suppress
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    HttpUrl,
    IPvAnyNetwork,
    SecretStr,
)
from pydantic_settings import NoDecode

from llamakeep.domain import Limits, Price
from llamakeep.domain.rates import Rate, parse_rates

WEBHOOK_SECRET = re.compile(
    r"whsec_(?=.)(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
)
"""What Standard Webhooks' secrets look like: a mark, and standard base64."""

VALKEY_URL = re.compile(
    r"valkeys?://([^@/]*@)?([^]@:/[]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(/\d*)?|unix:///.+"
)
"""What the client for Valkey understands."""

ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?")
"""Where a page comes from, as browsers write it."""

PREFIX = re.compile(r"(?:/(?!\.\.?(?:/|$))[\w.~!$&'()*+;=:@-]+)+", re.ASCII)
"""What a proxy may put before paths."""

NODE_ADDRESS = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<v4>[0-9.]+)):(?P<port>[0-9]{1,5})"
)
"""An IP address and a port; that of IPv6 is in brackets."""

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["line", "json"]
Days = Annotated[int, Field(ge=1, le=36_500)]
_MOST_SECONDS = 36_500 * 24 * 3600
"""A hundred years: what is longer cannot be added to every moment."""
Seconds = Annotated[float, Field(ge=0, le=_MOST_SECONDS, allow_inf_nan=False)]
SomeSeconds = Annotated[float, Field(gt=0, le=_MOST_SECONDS, allow_inf_nan=False)]
Rates = Annotated[
    tuple[Rate, ...],
    NoDecode,
    BeforeValidator(lambda given: parse_rates(given) if type(given) is str else given),
]


def _read_list(given: object) -> object:
    """Read `a,b` and `["a", "b"]` alike."""
    if not isinstance(given, str):
        return given
    if not given.lstrip().startswith("["):
        return tuple(filter(None, (part.strip() for part in given.split(","))))
    try:
        return tuple(json.loads(given))
    except ValueError:
        raise ValueError("It is a list that does not end, or has no quotes.") from None


def _read_object(given: object) -> object:
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            raise ValueError("It is no JSON object.") from None
        if not isinstance(given, dict):
            raise ValueError("It is no JSON object.")  # noqa: TRY004 - a setting's
        for value in given.values():
            of_model = value.values() if isinstance(value, dict) else [value]
            if any(isinstance(one, bool) for one in of_model):
                raise ValueError("It has true or false where a number has to be.")
    return given


INVISIBLE = re.compile(r"[^\x21-\x7e]")


def _check_sendable(secret: SecretStr | None) -> SecretStr | None:
    """Return a secret without the white space around it, if a header can have it."""
    if secret is None:
        return None
    value = secret.get_secret_value().strip(" \t\r\n\ufeff")
    if found := INVISIBLE.search(value):
        code = ord(found[0])
        name = unicodedata.name(found[0], "a control character")
        raise ValueError(
            f"It has the character U+{code:04X} ({name}) at position "
            f"{found.start() + 1}, which no key has. Copy it again."
        )
    return SecretStr(value)


def _check_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        if not ORIGIN.fullmatch(origin):
            raise ValueError(
                "an origin is such as https://chat.example.com, in lower case and "
                f"without a path; {origin!r} is none"
            )
    return origins


def _check_prefix(path: str) -> str:
    path = path.rstrip("/")
    if path and not PREFIX.fullmatch(path):
        raise ValueError("a root path is such as /llm")
    return path


def _check_public(url: HttpUrl | None) -> HttpUrl | None:
    if url is None:
        return None
    if url.scheme != "https" and not is_loopback(url.host or ""):
        raise ValueError("public_url must be https, or http on a loopback address")
    if url.query or url.fragment or url.username or url.password:
        raise ValueError("public_url must be an origin, perhaps with a path")
    return url


def _check_valkey_url(url: SecretStr | None) -> SecretStr | None:
    if url and not VALKEY_URL.fullmatch(url.get_secret_value()):
        raise ValueError("valkey_url must be such as valkey://127.0.0.1:6379")
    return url


def _check_node_address(address: str | None) -> str | None:
    """Return an address and a port that other computers can connect to."""
    if address is None:
        return None
    found = NODE_ADDRESS.fullmatch(address.strip())
    if found is None:
        raise ValueError(
            "it has to be an IP address of this computer, in brackets if it is of "
            "IPv6, with a port"
        )
    host, port = found["v6"] or found["v4"], int(found["port"])
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"{host} is no IP address") from None
    if ip.is_unspecified:
        raise ValueError(
            f"{host} stands for all addresses of a computer, and others need one that "
            "they can connect to"
        )
    if ip.is_multicast or (ip.version == 6 and ip.is_link_local):
        raise ValueError(f"other computers cannot connect to {host}")
    if port > 65535:
        raise ValueError(f"{port} is no port")
    return f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"


def _check_webhook_secret(secret: SecretStr | None) -> SecretStr | None:
    if secret and not WEBHOOK_SECRET.fullmatch(secret.get_secret_value()):
        raise ValueError("a webhook secret is whsec_ and standard base64")
    return secret


NodeAddress = Annotated[str | None, AfterValidator(_check_node_address)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_read_list)]
Networks = Annotated[tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_read_list)]
LimitsOf = Annotated[Limits, NoDecode, BeforeValidator(_read_object)]
Prices = Annotated[dict[str, Price], NoDecode, BeforeValidator(_read_object)]
Key = Annotated[SecretStr | None, AfterValidator(_check_sendable)]
Origins = Annotated[Names, AfterValidator(_check_origins)]
PathPrefix = Annotated[str, AfterValidator(_check_prefix)]
PublicUrl = Annotated[HttpUrl | None, AfterValidator(_check_public)]
ValkeyUrl = Annotated[SecretStr | None, AfterValidator(_check_valkey_url)]
WebhookSecret = Annotated[Key, AfterValidator(_check_webhook_secret)]


def is_kubernetes(name: str, value: str) -> bool:
    """Return whether Kubernetes set it, because a service is called `llamakeep`."""
    return name.lower() == "llamakeep_port" and value.startswith("tcp://")


def is_issuer(issuer: str) -> bool:
    """Return whether a text may be an OpenID Connect provider's issuer."""
    with suppress(ValueError):
        url = HttpUrl(issuer)
        is_safe = url.scheme == "https" or is_loopback(url.host or "")
        has_more = url.query or url.fragment or url.username or url.password
        return is_safe and not has_more and issuer.isprintable()
    return False


def is_loopback(host: str) -> bool:
    """Return whether a host in a URL is this computer."""
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host == "localhost"
