"""Request rates: who sends too much is told so, and everybody where they stand."""

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
from llamakeep.limits.rates import Counts, Kind, Limit, OwnCounts, Standing
from llamakeep.limits.shared_rates import SharedCounts, ValkeyCounts
from llamakeep.limits.throttle import network_of
from llamakeep.settings import Settings

LOGIN_PATHS = {"/login", "/password-reset"}
"""Where passwords and reset tokens can be tried."""

WHO: dict[Kind, str] = {
    "address": "Your address may send",
    "login": "Your address may try to log in",
    "key": "Your API key may send",
    "user": "Your logins together may send",
}


def limit_rates(
    app: FastAPI, settings: Settings, counts: Counts | None, *, exempt: Iterable[str]
) -> None:
    """
    Have the requests to `app` counted, if any rate is set.

    `app.state.counts` is to be closed with it.

    Args:
        app: The whole server.
        settings: The rates.
        counts: Where they are counted if Valkey is not set; by default, here.
        exempt: Paths that are not counted.

    Raises:
        CountsUnavailable: The client for Valkey is not installed.
    """
    counts = counts or OwnCounts()
    rates = (settings.rate_limit, settings.address_rate_limit)
    if any((*rates, settings.login_rate_limit)):
        if settings.valkey_url is not None:
            url = settings.valkey_url.get_secret_value()
            counts = SharedCounts(ValkeyCounts(url))
        app.add_middleware(RateLimit, counts=counts, settings=settings, exempt=exempt)
    app.state.counts = counts


class Visit:
    """One request, as far as rates know it."""

    def __init__(self, counts: Counts, key_rates: Sequence[Rate]) -> None:
        self.standings: list[Standing] = []
        self._counts = counts
        self._key_rates = key_rates

    async def count(self, limits: Sequence[Limit]) -> None:
        """
        Let the request pass, or not.

        Raises:
            RateLimited: One of the limits is reached; the request counts for none.
            CountsUnavailable: It may not pass uncounted, and cannot be counted.
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
        Let the request pass, or not, now that it is known whose it is.

        Raises:
            RateLimited: The API key, or all logins of the user together, sent too many.
        """
        key = user.api_key
        if key is None:
            await self.count(_limits("user", user.id, self._key_rates))
        else:
            await self.count(_limits("key", key.id, self._key_rates))


class RateLimit:
    """
    Counts requests before anything else is looked at.

    Whose they are is found out later: `auth_user` tells the request's `Visit`.

    Args:
        app: What gets the requests that are not too many.
        counts: Where they are counted.
        settings: The rates.
        exempt: Paths that are not counted, such as those of health checks.
    """

    def __init__(
        self, app: ASGIApp, *, counts: Counts, settings: Settings, exempt: Iterable[str]
    ) -> None:
        self._app = app
        self._counts = counts
        self._settings = settings
        self._exempt = frozenset(path.rstrip("/") for path in exempt)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is not too much."""
        if scope["type"] != "http" or scope["path"].rstrip("/") in self._exempt:
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
        """Return the limits of who sends, as far as it is known from where."""
        client = scope.get("client")
        if not client:  # a Unix socket: nobody can be told from others
            return ()
        address = network_of(client[0])
        limits = _limits("address", address, self._settings.address_rate_limit)
        if scope["method"] == "POST" and scope["path"].rstrip("/") in LOGIN_PATHS:
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
    """Say it as the IETF's draft has it, and to OpenAI's clients as OpenAI does."""
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
    """Return a time as OpenAI writes it: `6m0s`, `1.5s`, `20ms`."""
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    written = f"{hours}h" if hours else ""
    written += f"{minutes}m" if hours or minutes else ""
    return f"{written}{rest / 1000:g}s"
