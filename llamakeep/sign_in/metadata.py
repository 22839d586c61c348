"""A provider's discovery document and keys, cached for an hour."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from llamakeep.errors import SignInUnavailable
from llamakeep.settings.values import is_issuer
from llamakeep.sign_in.fetching import fetch

LIFETIME = 3600.0
"""Seconds for which both are used before they are read again."""

PAUSE = 30.0
"""
Seconds between two reads of the keys because of an unknown one: a forged token must not
make this server ask the provider.
"""

PAUSE_AFTER_FAILURE = 5.0
"""Seconds for which a failed read is not repeated: others are waiting, too."""

MOST_KEYS = 100


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a provider's discovery document says."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    end_session_endpoint: str | None
    takes_basic: bool
    """Whether a client's secret may be sent in `Authorization`."""
    names_issuer: bool
    """Whether its redirects say which provider sends them (RFC 9207)."""

    @classmethod
    def read(cls, found: dict[str, Any], issuer: str) -> Self:
        """
        Check a discovery document.

        Raises:
            SignInUnavailable: It is another issuer's, or lacks something.
        """
        if found.get("issuer") != issuer:
            raise SignInUnavailable(
                reason=f"the discovery document of {issuer} is of the issuer "
                f"{str(found.get('issuer'))[:200]!r}: set LLAMAKEEP_OIDC_ISSUER to "
                "exactly what the provider calls itself"
            )
        methods = found.get("token_endpoint_auth_methods_supported")
        return cls(
            authorization_endpoint=_needed(found, "authorization_endpoint"),
            token_endpoint=_needed(found, "token_endpoint"),
            jwks_uri=_needed(found, "jwks_uri"),
            userinfo_endpoint=_url(found, "userinfo_endpoint"),
            end_session_endpoint=_url(found, "end_session_endpoint"),
            takes_basic=not isinstance(methods, list)
            or "client_secret_basic" in methods,
            names_issuer=bool(
                found.get("authorization_response_iss_parameter_supported")
            ),
        )


def _url(found: dict[str, Any], name: str) -> str | None:
    url = found.get(name)
    if not isinstance(url, str):
        return None
    # An endpoint may have a query; the rest is as in an issuer.
    return url if is_issuer(urlsplit(url)._replace(query="").geturl()) else None


def _needed(found: dict[str, Any], name: str) -> str:
    url = _url(found, name)
    if url is None:
        raise SignInUnavailable(
            reason=f"the provider's discovery document has no {name} with HTTPS"
        )
    return url


class Directory:
    """
    Reads a provider's documents, one request at a time.

    Each process has its own: what they say is the same for all.
    """

    def __init__(
        self, issuer: str, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer = issuer
        self._now = now
        self._lock = asyncio.Lock()
        self._metadata: tuple[float, Metadata] | None = None
        self._keys: tuple[float, KeySet] | None = None
        self._failure: tuple[float, SignInUnavailable] | None = None

    @property
    def cached(self) -> Metadata | None:
        """The discovery document, if it was read already."""
        return self._metadata[1] if self._metadata else None

    async def metadata(self) -> Metadata:
        """
        Return the provider's discovery document.

        Raises:
            SignInUnavailable: It cannot be read.
        """
        async with self._lock:
            return await self._current_metadata()

    async def keys(self, key_id: str | None) -> KeySet:
        """
        Return the provider's keys, read again if none has this id.

        Raises:
            SignInUnavailable: They cannot be read.
        """
        async with self._lock:
            metadata = await self._current_metadata()
            if self._keys is not None:
                read_at, keys = self._keys
                is_known = key_id is None or any(k.kid == key_id for k in keys)
                age = self._now() - read_at
                if age < (LIFETIME if is_known else PAUSE):
                    return keys
            found = await self._read(metadata.jwks_uri)
            self._keys = self._now(), _key_set(found)
            return self._keys[1]

    async def _current_metadata(self) -> Metadata:
        if self._metadata is None or self._now() - self._metadata[0] >= LIFETIME:
            url = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
            found = Metadata.read(await self._read(url), self._issuer)
            self._metadata = self._now(), found
        return self._metadata[1]

    async def _read(self, url: str) -> dict[str, Any]:
        if self._failure is not None:
            failed_at, error = self._failure
            if self._now() - failed_at < PAUSE_AFTER_FAILURE:
                raise SignInUnavailable(reason=error.reason)
        try:
            status, found = await fetch(url)
            if status != HTTPStatus.OK:
                raise SignInUnavailable(reason=f"{url}: it answered with {status}")  # noqa: TRY301 - noted as the others are
        except SignInUnavailable as error:
            self._failure = self._now(), error
            raise
        self._failure = None
        return found


def _key_set(found: dict[str, Any]) -> KeySet:
    keys = found.get("keys")
    if not isinstance(keys, list) or len(keys) > MOST_KEYS:
        raise SignInUnavailable(reason="the provider's JWKS is no list of keys")
    try:
        return KeySet.import_key_set({"keys": keys})
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SignInUnavailable(
            reason=f"the provider's keys cannot be used: {error}"
        ) from error
