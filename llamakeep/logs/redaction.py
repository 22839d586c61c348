"""Secrets that must not get into the log."""

import re

_SECRET = re.compile(
    r"(?i:(?<=bearer )|(?<=://)(?=[^\s/@]*:[^\s/@]*@)"
    r"|\b(?:authorization|cookie|x-api-key|password)[\"']?\s*[:=]\s*[\"']?"
    r"(?:(?:basic|bearer|token)\s+)?)[^\s\"',;@]+"
    r"|\b(?:lk[acirs]?_|r8_|sk-|whsec_)[\w+/=-]{16,}"
    r"|\btoken_(?:alice|bob)\b"
)
"""Access tokens, ours and those of providers, and passwords, wherever they got to."""


def looks_secret(text: str) -> bool:
    """Return whether a text may have an access token or a password in it."""
    return _SECRET.search(text) is not None


def without_secrets(text: str) -> str:
    """Return a text without what looks like an access token or a password."""
    return _SECRET.sub("[secret]", text)
