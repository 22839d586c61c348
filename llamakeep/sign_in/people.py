"""A user's identity from a provider's claims: whether it may sign in, and its role."""

import re
from collections.abc import Collection
from typing import Any

from llamakeep.domain import UserRole
from llamakeep.domain.values import value
from llamakeep.errors import SignInRefused
from llamakeep.settings import Settings

LONGEST_NAME = 48
"""Shorter than a username may be, so that a number can follow."""

_NAMELESS = "user"
_OTHERS = re.compile(r"[^A-Za-z0-9._@-]+")


@value
class Person:
    """A user of a provider."""

    issuer: str
    subject: str
    """With the issuer, who it is; names and e-mail addresses change hands."""
    name: str
    """What a new user is called, if that is free."""
    role: UserRole | None
    """`None` where administrators decide."""


def person_of(claims: dict[str, Any], settings: Settings) -> Person:
    """
    Return who signs in.

    Raises:
        SignInRefused: The settings do not let them in.
    """
    assert settings.oidc_issuer is not None
    subject = claims["sub"]
    if not subject.isprintable():
        raise SignInRefused(reason="the subject has characters that cannot be shown")
    email = _email(claims)
    if domains := {domain.lower() for domain in settings.oidc_allowed_domains}:
        _check_domain(claims, email, domains)
    groups = _groups(claims.get(settings.oidc_groups_claim))
    if (allowed := settings.oidc_allowed_groups) and groups.isdisjoint(allowed):
        raise SignInRefused(
            "You are in no group that may sign in here. Ask an administrator.",
            reason=f"{subject!r} is in none of the groups of "
            "LLAMAKEEP_OIDC_ALLOWED_GROUPS",
            subject=subject,
        )
    role = None
    if settings.oidc_admin_groups:
        is_admin = not groups.isdisjoint(settings.oidc_admin_groups)
        role = UserRole.ADMIN if is_admin else UserRole.USER
    return Person(
        issuer=settings.oidc_issuer,
        subject=subject,
        name=_name(claims, email),
        role=role,
    )


def _check_domain(
    claims: dict[str, Any], email: str | None, domains: Collection[str]
) -> None:
    if email is None:
        said = "is not verified" if claims.get("email") else "is not told"
        raise SignInRefused(
            "Only verified e-mail addresses of some domains may sign in here, and "
            f"yours {said}. Verify it at the provider, or ask an administrator.",
            reason=f"the e-mail address of {claims['sub']!r} {said}",
            subject=claims["sub"],
        )
    if email.rpartition("@")[2].lower() not in domains:
        raise SignInRefused(
            "Your e-mail address is of no domain that may sign in here.",
            reason=f"the e-mail address of {claims['sub']!r} is of another domain than "
            "those of LLAMAKEEP_OIDC_ALLOWED_DOMAINS",
            subject=claims["sub"],
        )


def _email(claims: dict[str, Any]) -> str | None:
    """Return the e-mail address that the provider has verified, if any."""
    email = claims.get("email")
    # Amazon's Cognito says it as a text.
    is_verified = claims.get("email_verified") in {True, "true"}
    is_one = isinstance(email, str) and email.count("@") == 1
    return email if is_verified and is_one else None


def _groups(found: object) -> set[str]:
    if isinstance(found, str):
        return set(found.split())
    if isinstance(found, list):
        return {each for each in found if isinstance(each, str)}
    return set()


def _name(claims: dict[str, Any], email: str | None) -> str:
    for found in (claims.get("preferred_username"), email, claims.get("name")):
        if isinstance(found, str) and (name := username_of(found)) != _NAMELESS:
            return name
    return _NAMELESS


def username_of(name: str) -> str:
    """Return what a new user of a name is called here."""
    return _OTHERS.sub("-", name)[:LONGEST_NAME].strip("-") or _NAMELESS
