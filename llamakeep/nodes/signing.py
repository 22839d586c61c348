"""
How nodes know each other: a node's secret is in its row of the database.

Neither side sends it. A request proves that its sender can read the database, and the
answer that it comes from the node that was meant, and not from what listens there now.
"""

import hashlib
import hmac
import secrets

NONCE, SIGNATURE, DIGEST = "x-node-nonce", "x-node-signature", "x-node-digest"
"""Headers of a request; it is known by them before its body arrives."""
PROOF = "x-node-proof"
"""The header of its answer."""


def new_secret() -> str:
    """Return a secret for a node, as long as its process lives."""
    return secrets.token_hex(32)


def new_nonce() -> str:
    """Return a number for one request."""
    return secrets.token_hex(16)


def digest_of(body: bytes) -> str:
    """Return what stands for a request's body in its signature."""
    return hashlib.sha256(body).hexdigest()


def signed(secret: str, method: str, path: str, nonce: str, digest: str) -> str:
    """Return the signature of a request."""
    return _signature(secret, "request", method, path, nonce, digest)


def proof(secret: str, nonce: str) -> str:
    """Return the signature of the answer to a request."""
    return _signature(secret, "answer", nonce)


def is_equal(one: str, other: str) -> bool:
    """Compare signatures in a time that does not tell where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())


def _signature(secret: str, *parts: str) -> str:
    return hmac.digest(secret.encode(), "\n".join(parts).encode(), "sha256").hex()
