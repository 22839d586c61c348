"""OpenID Connect: the authorization code flow with PKCE, state and nonce."""

import time
from base64 import b64encode
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

from llamakeep.errors import SignInRefused, SignInUnavailable
from llamakeep.settings import Settings
from llamakeep.sign_in.fetching import fetch
from llamakeep.sign_in.flow import Flow
from llamakeep.sign_in.id_tokens import claims_of, key_id_of
from llamakeep.sign_in.metadata import Directory, Metadata
from llamakeep.sign_in.people import Person, person_of

_SERVER_ERRORS = 500


class OpenIdConnect:
    """Signs users in through one provider."""

    def __init__(
        self, settings: Settings, *, now: Callable[[], float] = time.time
    ) -> None:
        assert settings.oidc_issuer is not None
        assert settings.oidc_client_id is not None
        self._settings = settings
        self._issuer = settings.oidc_issuer
        self._client_id = settings.oidc_client_id
        self._now = now
        self._directory = Directory(settings.oidc_issuer)

    @property
    def name(self) -> str:
        """What a button calls the provider."""
        return self._settings.oidc_name or urlsplit(self._issuer).hostname or "SSO"

    async def begin(self, redirect_uri: str, invitation: str = "") -> tuple[str, Flow]:
        """
        Return where a browser signs in, and what it has to bring back.

        With an invitation's token, a new user uses that.

        Raises:
            SignInUnavailable: The provider does not answer as one does.
        """
        metadata = await self._directory.metadata()
        flow = Flow.begin(self._now(), invitation)
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self._settings.oidc_scopes),
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": flow.challenge,
            "code_challenge_method": "S256",
        }
        return _with_query(metadata.authorization_endpoint, query), flow

    async def finish(
        self,
        flow: Flow | None,
        *,
        code: str | None,
        state: str | None,
        issuer: str | None,
        redirect_uri: str,
    ) -> Person:
        """
        Return who comes back from the provider with a code.

        Raises:
            SignInRefused: It is not this browser's flow, or not valid any more.
            SignInUnavailable: The provider does not answer as one does.
        """
        if flow is None:
            raise SignInRefused(
                "This browser has not begun a sign-in, or more than ten minutes ago. "
                "Begin again.",
                reason="there is no cookie of a sign-in",
            )
        flow.check(state, self._now())
        if code is None:
            raise SignInRefused(reason="the provider sent no code")
        metadata = await self._directory.metadata()
        if issuer != self._issuer and (issuer is not None or metadata.names_issuer):
            raise SignInRefused(reason="the redirect is another provider's (iss)")
        id_token, access_token = await self._exchange(
            metadata, code, flow, redirect_uri
        )
        keys = await self._directory.keys(key_id_of(id_token))
        claims = claims_of(
            id_token,
            keys,
            issuer=self._issuer,
            client_id=self._client_id,
            nonce=flow.nonce,
            now=int(self._now()),
        )
        more = await self._user_info(metadata, claims, access_token)
        return person_of(more | claims, self._settings)

    def end_session_url(self, back: str) -> str | None:
        """Return where a browser ends its session at the provider, if it can."""
        metadata = self._directory.cached
        if metadata is None or metadata.end_session_endpoint is None:
            return None
        query = {"client_id": self._client_id, "post_logout_redirect_uri": back}
        return _with_query(metadata.end_session_endpoint, query)

    async def _exchange(
        self, metadata: Metadata, code: str, flow: Flow, redirect_uri: str
    ) -> tuple[str, str | None]:
        """Exchange a code, which works once, for an ID token and an access token."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": flow.verifier,
        }
        authorization = None
        secret = self._settings.oidc_client_secret
        if secret is not None and metadata.takes_basic:
            pair = (self._client_id, secret.get_secret_value())
            said = ":".join(quote_plus(each) for each in pair)  # RFC 6749, 2.3.1
            authorization = f"Basic {b64encode(said.encode()).decode()}"
        else:
            form["client_id"] = self._client_id
            if secret is not None:
                form["client_secret"] = secret.get_secret_value()
        status, found = await fetch(
            metadata.token_endpoint, form=form, authorization=authorization
        )
        if status >= _SERVER_ERRORS:
            raise SignInUnavailable(reason=f"the token endpoint answered with {status}")
        id_token = found.get("id_token")
        if status != HTTPStatus.OK or not isinstance(id_token, str):
            said = f"{found.get('error')!r:.200}"
            raise SignInRefused(
                reason=f"the token endpoint answered with {status}, error {said}"
            )
        access_token = found.get("access_token")
        return id_token, access_token if isinstance(access_token, str) else None

    async def _user_info(
        self, metadata: Metadata, claims: dict[str, Any], access_token: str | None
    ) -> dict[str, Any]:
        """Return what the provider tells of the user beside the ID token."""
        url = metadata.userinfo_endpoint
        wanted = {"preferred_username"}
        if self._settings.oidc_allowed_domains:
            wanted |= {"email", "email_verified"}
        if self._settings.oidc_allowed_groups or self._settings.oidc_admin_groups:
            wanted.add(self._settings.oidc_groups_claim)
        if url is None or access_token is None or wanted <= claims.keys():
            return {}
        status, found = await fetch(url, authorization=f"Bearer {access_token}")
        if status != HTTPStatus.OK:
            raise SignInUnavailable(reason=f"the userinfo endpoint said {status}")
        if found.get("sub") != claims["sub"]:
            raise SignInRefused(reason="the userinfo is of another subject")
        return found


def _with_query(url: str, query: dict[str, str]) -> str:
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(query)}"
