"""Rate limiting middleware, and the `RateLimit` headers of responses."""

import math
from collections.abc import Iterable, Sequence

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llamakeep.api.http.problems import render_error
from llamakeep.domain import User
from llamakeep.domain.rates import Rate
from llamakeep.errors import UNREAD, LlamaKeepError, RateLimited
from llamakeep.limits.rates import Counts, Kind, Limit, Standing
from llamakeep.limits.shared_rates import SharedCounts, ValkeyCounts
from llamakeep.limits.throttle import network_of
from llamakeep.settings import Settings

PAGE_FILES = "/page/"
"""
How paths of the web page's files begin. They are not counted: a page has dozens, which
are sent from memory, and browsers keep them.
"""

LOGIN_PATHS = {
    "/login",
    "/login/code",
    "/login/cookie",
    "/password-reset",
    "/invitations/accept",
}
"""Routes at which passwords and tokens could be guessed."""

SIGN_IN_PATH = "/login/oidc"
"""Each request to it or below makes this server ask the identity provider."""

WHO: dict[Kind, str] = {
    "address": "Your address may send",
    "login": "Your address may try to log in",
    "key": "Your API key may send",
    "user": "Your logins together may send",
}


def shared_counts(settings: Settings) -> SharedCounts | None:
    """
    Count requests in Valkey, if there are limits and settings name one.

    Raises:
        CountsUnavailable: The client for Valkey is not installed.
    """
    if settings.valkey_url is None or not _has_limits(settings):
        return None
    return SharedCounts(ValkeyCounts(settings.valkey_url.get_secret_value()))


def limit_rates(
    app: FastAPI, settings: Settings, counts: Counts, *, exempt: Iterable[str]
) -> None:
    """Limit the rate of requests to `app`, but for the paths `exempt`."""
    if _has_limits(settings):
        app.add_middleware(RateLimit, counts=counts, settings=settings, exempt=exempt)


def _has_limits(settings: Settings) -> bool:
    rates = (settings.rate_limit, settings.address_rate_limit)
    return any((*rates, settings.login_rate_limit))


class Visit:
    """Counts one request, and keeps how much of each limit it left."""

    def __init__(self, counts: Counts, key_rates: Sequence[Rate]) -> None:
        self.standings: list[Standing] = []
        self._counts = counts
        self._key_rates = key_rates

    async def count(self, limits: Sequence[Limit]) -> None:
        """
        Count the request against `limits`.

        Raises:
            RateLimited: One of the limits is reached; the request counts for none.
            CountsUnavailable: The request cannot be counted, and has to be.
        """
        if not limits:
            return
        verdict = await self._counts.hit(limits)
        self.standings += verdict.standings
        if not verdict.is_let_through:
            reached = [s for s in verdict.standings if s.left == 0]
            raise _refusal(max(reached, key=lambda standing: standing.more_in))

    async def count_user(self, user: User) -> None:
        """
        Count the request against the limits of its API key, or of the user's logins.

        Raises:
            RateLimited: One of the limits is reached.
        """
        key = user.api_key
        if key is None:
            await self.count(_limits("user", user.id, self._key_rates))
        else:
            await self.count(_limits("key", key.id, self._key_rates))


class RateLimit:
    """
    Limits the rate of requests by client address, before they are authenticated.

    `auth_user` counts them by user later, with the request's `Visit`.
    """

    def __init__(
        self, app: ASGIApp, *, counts: Counts, settings: Settings, exempt: Iterable[str]
    ) -> None:
        self._app = app
        self._counts = counts
        self._settings = settings
        self._exempt = frozenset(path.rstrip("/") for path in exempt)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward requests within the limits."""
        if (
            scope["type"] != "http"
            or scope["path"].rstrip("/") in self._exempt
            or scope["path"].startswith(PAGE_FILES)
        ):
            await self._app(scope, receive, send)
            return
        visit = Visit(self._counts, self._settings.rate_limit)
        is_openai = scope["path"].startswith("/v1/")

        async def send_with_standings(message: Message) -> None:
            if message["type"] == "http.response.start" and visit.standings:
                _add_standings(
                    MutableHeaders(scope=message), visit.standings, is_openai=is_openai
                )
            await send(message)

        try:
            await visit.count(self._limits_of(scope))
        except LlamaKeepError as error:
            response = await render_error(Request(scope), error)
            await response(scope, receive, send_with_standings)
            return
        scope["visit"] = visit
        await self._app(scope, receive, send_with_standings)

    def _limits_of(self, scope: Scope) -> Sequence[Limit]:
        client, path = scope.get("client"), scope["path"]
        if not client:  # a Unix socket, where clients have no addresses
            return ()
        address = network_of(client[0])
        limits = _limits("address", address, self._settings.address_rate_limit)
        is_login = scope["method"] == "POST" and path.rstrip("/") in LOGIN_PATHS
        if is_login or path.startswith(SIGN_IN_PATH):
            limits += _limits("login", address, self._settings.login_rate_limit)
        return limits


def _limits(kind: Kind, whose: str, rates: Sequence[Rate]) -> list[Limit]:
    return [Limit(kind, whose, rate) for rate in rates]


def _refusal(reached: Standing) -> RateLimited:
    limit = reached.limit
    noun = "times" if limit.kind == "login" else "requests"
    amount, _, period = str(limit.rate).partition(" ")
    return RateLimited(
        f"{WHO[limit.kind]} {amount} {noun} {period}, and has done so. {UNREAD} Try "
        f"again in {math.ceil(reached.more_in)} s.",
        retry_after=reached.more_in,
    )


def _add_standings(
    headers: MutableHeaders, standings: Sequence[Standing], *, is_openai: bool
) -> None:
    """Add the headers of the IETF's draft, and OpenAI's own for its clients."""
    named = [(f'"{s.limit.kind}-{s.limit.rate.seconds}s"', s) for s in standings]
    headers["RateLimit-Policy"] = ", ".join(
        f"{name};q={s.limit.rate.amount};w={s.limit.rate.seconds}" for name, s in named
    )
    headers["RateLimit"] = ", ".join(
        f"{name};r={s.left};t={math.ceil(s.more_in)}" for name, s in named
    )
    if is_openai:
        tightest = min(standings, key=lambda standing: standing.left)
        headers["x-ratelimit-limit-requests"] = str(tightest.limit.rate.amount)
        headers["x-ratelimit-remaining-requests"] = str(tightest.left)
        headers["x-ratelimit-reset-requests"] = _duration(tightest.more_in)


def _duration(seconds: float) -> str:
    """Format a duration as OpenAI does: `6m0s`, `1.5s`, `20ms`."""
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    written = f"{hours}h" if hours else ""
    written += f"{minutes}m" if hours or minutes else ""
    return f"{written}{rest / 1000:g}s"
