"""Checking ID tokens, by joserfc."""

import hmac
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import KeySet

from llamakeep.errors import SignInRefused

ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
)
"""Signatures with a public key. `none` and shared secrets are refused."""

LEEWAY = 60
"""Seconds by which the provider's clock may differ from this server's."""

LONGEST_SUBJECT = 255


def key_id_of(id_token: str) -> str | None:
    """
    Return which key a token says that it is signed with; nothing is checked yet.

    Raises:
        SignInRefused: It is no signed token.
    """
    try:
        found = jws.extract_compact(id_token.encode()).headers().get("kid")
    except (JoseError, ValueError) as error:
        raise SignInRefused(reason=f"the ID token cannot be read: {error}") from error
    return found if isinstance(found, str) else None


def claims_of(
    id_token: str,
    keys: KeySet,
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    now: int,
) -> dict[str, Any]:
    """
    Return the claims of a token that this provider made for this server's request.

    Raises:
        SignInRefused: The signature, the issuer, the audience, the times, the nonce or
            the subject is wrong; its reason says which.
    """
    registry = jwt.JWTClaimsRegistry(
        now,
        LEEWAY,
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": client_id},
        exp={"essential": True},
        iat={"essential": True},
        sub={"essential": True},
        nonce={"essential": True},
    )
    try:
        claims = jwt.decode(id_token, keys, algorithms=ALGORITHMS).claims
        registry.validate(claims)
    except ExpiredTokenError as error:
        raise SignInRefused(
            reason="the ID token has expired, or the clocks of this server and the "
            f"provider differ by more than {LEEWAY} seconds"
        ) from error
    except (JoseError, ValueError, TypeError) as error:
        raise SignInRefused(
            reason=f"the ID token is not valid: {type(error).__name__}: {error}"
        ) from error
    said = claims["nonce"]
    if not (isinstance(said, str) and _is_same(said, nonce)):
        raise SignInRefused(reason="the ID token was made for another sign-in (nonce)")
    audience, authorized = claims["aud"], claims.get("azp")
    has_others = isinstance(audience, list) and len(audience) > 1
    if authorized != client_id and (has_others or authorized is not None):
        raise SignInRefused(reason="the ID token was made for another client (azp)")
    subject = claims["sub"]
    if not (isinstance(subject, str) and 0 < len(subject) <= LONGEST_SUBJECT):
        raise SignInRefused(reason="the ID token's subject is no text of 1 to 255")
    return claims


def _is_same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
