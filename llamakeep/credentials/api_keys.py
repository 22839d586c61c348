"""Creating API keys."""

from collections.abc import Collection
from datetime import datetime

from llamakeep.credentials.tokens import new_api_key
from llamakeep.domain import ApiKey, Limits, Scope, new_id, utc_now

DEFAULT_SCOPES = frozenset({Scope.PROMPT, Scope.HISTORY})

HINT_LENGTH = 4


def issue_api_key(
    name: str,
    *,
    scopes: Collection[Scope] = DEFAULT_SCOPES,
    models: Collection[str] | None = None,
    expires_at: datetime | None = None,
    limits: Limits | None = None,
    keeps: bool = True,
) -> tuple[ApiKey, str]:
    """Return a new key and its secret, of which only the digest is to be stored."""
    secret = new_api_key()
    key = ApiKey(
        id=new_id("key_"),
        name=name,
        hint=secret[-HINT_LENGTH:],
        scopes=frozenset(scopes),
        models=None if models is None else frozenset(models),
        created_at=utc_now(),
        expires_at=expires_at,
        last_used_at=None,
        limits=limits,
        keeps=keeps,
    )
    return key, secret
