"""An OpenID Connect provider on loopback that says what a test has it say."""

import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from llamakeep.settings import Settings
from tests.api.serving import Client
from tests.providers.stub_server import Heard, StubServer, running_stub, whole

CLIENT_ID = "llamakeep"
CALLBACK = "/login/oidc/callback"
BROWSER = {"Accept": "text/html"}


def new_key(name: str) -> ECKey:
    return ECKey.generate_key("P-256", {"kid": name, "alg": "ES256", "use": "sig"})


class IdentityProvider:
    """Its answers are those of a provider that is right, but for what a test says."""

    def __init__(self, stub: StubServer) -> None:
        self.stub = stub
        self.issuer = f"http://127.0.0.1:{stub.port}"
        self.keys = [new_key("first")]
        self.publish()
        self.say("/.well-known/openid-configuration", self.document())

    def document(self, **changes: Any) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "end_session_endpoint": f"{self.issuer}/logout",
            **changes,
        }

    def say(self, path: str, body: Any, status: int = 200) -> None:
        self.stub.script_of_path[path] = [whole(status, body)]

    def publish(self) -> None:
        """Say the public keys."""
        self.say("/keys", KeySet([*self.keys]).as_dict(private=False))

    def claims(self, nonce: str, /, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": "1234",
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            "preferred_username": "dora",
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def issue(self, claims: dict[str, Any], key: ECKey | None = None) -> None:
        """Have the token endpoint answer with an ID token."""
        key = key or self.keys[-1]
        header = {"alg": "ES256", "kid": str(key.kid)}
        self.say_token(jwt.encode(header, claims, key))

    def say_token(self, id_token: str) -> None:
        self.say("/token", {"id_token": id_token, "token_type": "Bearer"})

    def asked(self, path: str) -> list[Heard]:
        return [one for one in self.stub.heard if one.path.partition("?")[0] == path]

    def settings(self, settings: Settings, **changes: Any) -> Settings:
        ours = {"oidc_issuer": self.issuer, "oidc_client_id": CLIENT_ID}
        return settings.model_copy(update=ours | changes)


@asynccontextmanager
async def running_provider() -> AsyncIterator[IdentityProvider]:
    async with running_stub(whole(404, {})) as stub:
        yield IdentityProvider(stub)


class Browser:
    """Somebody who signs in; it keeps the cookie of that."""

    def __init__(self, client: Client, provider: IdentityProvider) -> None:
        self.client = client
        client.headers.pop("authorization", None)
        self.provider = provider
        self.cookie = ""
        self.query: dict[str, str] = {}

    async def begin(self) -> None:
        response = await self.client.get("/login/oidc/", headers=BROWSER)
        self.client.cookies.clear()
        assert response.status_code == 303, response.text
        self.cookie = response.headers["set-cookie"].partition(";")[0]
        self.query = dict(parse_qsl(urlsplit(response.headers["location"]).query))

    async def come_back(
        self, *, cookie: str | None = None, **query: str
    ) -> httpx2.Response:
        """Go where the provider sends this browser with a code."""
        given = {"code": "the-code", "state": self.query["state"]} | query
        sent = self.cookie if cookie is None else cookie
        response = await self.client.get(
            CALLBACK, params=given, headers=BROWSER | {"Cookie": sent}
        )
        self.client.cookies.clear()
        return response

    async def sign_in(self, **claims: Any) -> httpx2.Response:
        """Go all the way, with claims other than the usual ones."""
        await self.begin()
        self.provider.issue(self.provider.claims(self.query["nonce"], **claims))
        return await self.come_back()

    async def me(self, response: httpx2.Response) -> dict[str, Any]:
        """Return who is logged in by what a sign-in answered with."""
        assert response.status_code == 303, response.text
        said = response.headers.get_list("set-cookie")
        [cookie] = [each.partition(";")[0] for each in said if "=lka_" in each]
        me = await self.client.get("/me/", headers={"Cookie": cookie})
        self.client.cookies.clear()
        found: dict[str, Any] = me.json()
        return {**found, "cookie": cookie}


def challenge_of(verifier: str) -> str:
    digest = sha256(verifier.encode()).digest()
    return urlsafe_b64encode(digest).decode().rstrip("=")
