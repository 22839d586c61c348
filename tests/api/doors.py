"""
How every route is called so that it works, for tests that go through all of them.

A route that is new has no line here, and `test_authorisation` fails until it has: one
line for the route, and one in `Things` if its path has an id of a new kind.
"""

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from llamakeep.api.replicate.names import version_of
from llamakeep.domain import new_id
from tests.api.openapi import PATHS
from tests.images import hash_of, png


@dataclass(frozen=True, kw_only=True)
class Things:
    """The ids of what somebody has; what `nobody` returns are of the same form."""

    run_id: str
    conversation_id: str
    item_id: str
    """Of what was added to the conversation."""
    key_id: str
    login_id: str
    user_id: str
    """Of another user, whom administrators may do something to."""
    service_id: str
    """Of a service account, whose keys administrators make."""
    service_key_id: str
    invitation_id: str
    model: str = "scripted:parrot"
    owner: str = "scripted"
    name: str = "parrot"
    version_id: str = version_of("scripted", "parrot")
    sha256: str = hash_of(png())
    """Of the image that the run shows."""

    @classmethod
    def nobodys(cls) -> "Things":
        """Return ids that nothing has."""
        return cls(
            run_id=new_id("run_"),
            conversation_id=new_id("conv_"),
            item_id=f"{new_id('msg_')}_0",
            key_id=new_id("key_"),
            login_id=new_id("login_"),
            user_id=new_id("user_"),
            service_id=new_id("user_"),
            service_key_id=new_id("key_"),
            invitation_id=new_id("inv_"),
        )

    def fill(self, template: str) -> str:
        """Put the ids into a path or a body, in the spelling of each door."""
        rest = self.run_id.removeprefix("run_")
        known = {
            **vars(self),
            "prediction_id": rest,
            "completion_id": f"chatcmpl-{rest}",
            "response_id": f"resp_{rest}",
        }
        return re.sub(r"\{(\w+)\}", lambda match: known[match[1]], template)

    def anonymous(self, content: bytes) -> bytes:
        """Return what was answered without the ids that were asked for."""
        ids = self.run_id, self.conversation_id, self.item_id, self.key_id
        others = self.user_id, self.service_id, self.service_key_id
        for value in (*ids, self.login_id, *others, self.invitation_id):
            content = content.replace(value.partition("_")[2].encode(), b"?")
        return content


class Call(NamedTuple):
    """What else than its path a route takes."""

    body: str | None = None
    """JSON."""
    query: str = ""


CHAT = '{"messages": [{"role": "user", "content": "Hi"}]}'
MESSAGES = '{"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}'
IMPORTED = (
    '{"id": "run_01jgfjjz000000000000000000", "status": "succeeded", "model": "a:b", '
    '"conversation_id": "conv_01jgfjjz000000000000000000", "prompt": "Hi", '
    '"response": "Ho", "created_at": "2025-01-01T00:00:00Z"}'
)
PASSWORD = "correct horse battery staple"

CALLS: dict[str, Call] = {
    "POST /prompt/": Call('{"prompt": "Hi"}'),
    "GET /models/": Call(),
    "GET /history/": Call(),
    "DELETE /history/": Call(query="all=true"),
    "GET /history/export": Call(),
    "GET /history/stats": Call(),
    "POST /history/import": Call(IMPORTED),
    "GET /history/{run_id}": Call(),
    "PATCH /history/{run_id}": Call('{"metadata": {"a": "b"}}'),
    "DELETE /history/{run_id}": Call(),
    "GET /history/{run_id}/stream": Call(),
    "GET /history/{run_id}/images/{sha256}": Call(),
    "POST /history/{run_id}/cancel": Call(),
    "GET /events/": Call(),
    "GET /conversations/": Call(),
    "GET /conversations/{conversation_id}": Call(),
    "PATCH /conversations/{conversation_id}": Call('{"title": "Mine"}'),
    "DELETE /conversations/{conversation_id}": Call(),
    "POST /v1/chat/completions": Call(CHAT),
    "GET /v1/chat/completions": Call(),
    "GET /v1/chat/completions/{completion_id}": Call(),
    "POST /v1/chat/completions/{completion_id}": Call('{"metadata": {"a": "b"}}'),
    "GET /v1/chat/completions/{completion_id}/messages": Call(),
    "DELETE /v1/chat/completions/{completion_id}": Call(),
    "POST /v1/responses": Call('{"input": "Hi"}'),
    "POST /v1/responses/input_tokens": Call('{"input": "Hi"}'),
    "POST /v1/responses/compact": Call('{"input": "Hi"}'),
    "GET /v1/responses/{response_id}": Call(),
    "DELETE /v1/responses/{response_id}": Call(),
    "POST /v1/responses/{response_id}/cancel": Call(),
    "GET /v1/responses/{response_id}/input_items": Call(),
    "POST /v1/conversations": Call("{}"),
    "GET /v1/conversations/{conversation_id}": Call(),
    "POST /v1/conversations/{conversation_id}": Call('{"metadata": {"a": "b"}}'),
    "DELETE /v1/conversations/{conversation_id}": Call(),
    "GET /v1/conversations/{conversation_id}/items": Call(),
    "POST /v1/conversations/{conversation_id}/items": Call(
        '{"items": [{"role": "user", "content": "Hi"}]}'
    ),
    "GET /v1/conversations/{conversation_id}/items/{item_id}": Call(),
    "DELETE /v1/conversations/{conversation_id}/items/{item_id}": Call(),
    "POST /v1/completions": Call('{"prompt": "Hi"}'),
    "POST /v1/messages": Call(MESSAGES),
    "POST /v1/messages/count_tokens": Call(CHAT),
    "POST /v1/embeddings": Call('{"input": "Hi"}'),
    "GET /v1/models": Call(),
    "GET /v1/models/{model}": Call(),
    "POST /replicate/v1/models/{owner}/{name}/predictions": Call(
        '{"input": {"prompt": "Hi"}}'
    ),
    "POST /replicate/v1/predictions": Call(
        '{"version": "{owner}/{name}", "input": {"prompt": "Hi"}}'
    ),
    "GET /replicate/v1/predictions": Call(),
    "GET /replicate/v1/account": Call(),
    "GET /replicate/v1/predictions/{prediction_id}": Call(),
    "POST /replicate/v1/predictions/{prediction_id}/cancel": Call(),
    "GET /replicate/v1/predictions/{prediction_id}/stream": Call(),
    "GET /replicate/v1/webhooks/default/secret": Call(),
    "GET /replicate/v1/models": Call(),
    "GET /replicate/v1/models/{owner}/{name}": Call(),
    "GET /replicate/v1/models/{owner}/{name}/versions": Call(),
    "GET /replicate/v1/models/{owner}/{name}/versions/{version_id}": Call(),
    "POST /logout/": Call(),
    "GET /me/": Call(),
    "PATCH /me/": Call('{"retention_days": 30}'),
    "POST /me/password": Call(
        f'{{"current_password": "{PASSWORD}", "password": "another {PASSWORD}"}}'
    ),
    "POST /me/login-codes/": Call(f'{{"challenge": "{"0" * 64}", "name": "laptop"}}'),
    "GET /me/logins/": Call(),
    "DELETE /me/logins/{login_id}": Call(),
    "GET /me/limits": Call(),
    "GET /me/webhook-secret": Call(),
    "POST /me/webhook-secret/rotate": Call(),
    "GET /keys/": Call(),
    "POST /keys/": Call('{"name": "laptop"}'),
    "GET /keys/{key_id}": Call(),
    "DELETE /keys/{key_id}": Call(),
    "POST /keys/{key_id}/rotate": Call("{}"),
    "GET /admin/users/": Call(),
    "POST /admin/users/": Call('{"username": "new-{key_id}"}'),
    "GET /admin/users/{user_id}": Call(),
    "PATCH /admin/users/{user_id}": Call('{"disabled": true}'),
    "DELETE /admin/users/{user_id}": Call(),
    "POST /admin/users/{user_id}/reset": Call(),
    "GET /admin/users/{user_id}/keys/": Call(),
    "POST /admin/users/{user_id}/keys/": Call('{"name": "robot"}'),
    "DELETE /admin/users/{user_id}/keys/{key_id}": Call(),
    "POST /admin/users/{user_id}/keys/{key_id}/rotate": Call("{}"),
    "GET /admin/users/{user_id}/limits": Call(),
    "PUT /admin/users/{user_id}/limits": Call('{"tokens_per_day": 100}'),
    "GET /admin/invitations/": Call(),
    "POST /admin/invitations/": Call('{"email": "dora@example.com"}'),
    "DELETE /admin/invitations/{invitation_id}": Call(),
    "GET /admin/limits": Call(),
    "GET /admin/audit": Call(),
    "GET /admin/stats": Call(),
    "GET /admin/providers/": Call(),
    "GET /metrics": Call(),
}
"""By method and path; `{…}` are ids."""

OPEN = {
    "POST /login/",
    "POST /login/code/",
    "POST /login/cookie/",
    "GET /login/oidc/",
    "POST /login/oidc/",
    "GET /login/oidc/callback",
    "GET /login/proxy/",
    "POST /setup/",
    "POST /invitations/accept",
    "POST /password-reset/",
    "GET /about/",
    "GET /about/proxy",
    "GET /healthz",
    "GET /readyz",
    # The address is the credential: see `test_replicate_door_streams`.
    "GET /replicate/v1/streams/{credential}",
}
"""Routes that want no access token."""

REFERENCES = [
    ("POST /prompt/", Call('{"prompt": "Hi", "conversation_id": "{conversation_id}"}')),
    ("POST /prompt/", Call('{"prompt": "Hi", "previous_run_id": "{run_id}"}')),
    (
        "POST /v1/responses",
        Call('{"input": "Hi", "conversation": "{conversation_id}"}'),
    ),
    (
        "POST /v1/responses",
        Call('{"input": "Hi", "previous_response_id": "{response_id}"}'),
    ),
    (
        "POST /v1/responses/compact",
        Call('{"previous_response_id": "{response_id}"}'),
    ),
]
"""Bodies that name something that only its owner may name."""

FILTERS = [
    (call, Call(query=query))
    for call in (
        "GET /history/",
        "GET /history/export",
        "GET /history/stats",
        "DELETE /history/",
    )
    for query in ("conversation_id={conversation_id}", "api_key_id={key_id}")
]
"""Queries that name something of which nobody else finds anything."""


def scopes_of(route: str) -> set[str]:
    """Return which scopes an API key may have to be let in; any key, if none."""
    method, path = route.split()
    security: list[dict[str, list[str]]] = PATHS[path][method.lower()]["security"]
    return set(security[0]["AccessToken"])


def request_of(route: str, things: Things, call: Call | None = None) -> dict[str, Any]:
    """Return a request that works for whoever has these things."""
    method, path = route.split()
    path = path.replace("{user_id}/keys/{key_id}", "{user_id}/keys/{service_key_id}")
    path = path.replace("{user_id}/keys/", "{service_id}/keys/")
    call = call or CALLS[route]
    url = things.fill(f"{path}?{call.query}" if call.query else path)
    request: dict[str, Any] = {"method": method, "url": url, "headers": {}}
    if call.body is not None:
        request["content"] = things.fill(call.body)
        request["headers"]["Content-Type"] = "application/json"
    return request
