"""Which limits apply to a prompt, and how much it may take of them at most."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from llamakeep.domain import Limits, Reservation, Run, User, utc_now
from llamakeep.domain.messages import images_in
from llamakeep.domain.quotas import Quota, Unit, Whose
from llamakeep.domain.routes import left_of, without
from llamakeep.engine.context import messages, size_of_tools
from llamakeep.errors import LimitReached, PriceUnknown
from llamakeep.providers.base import Provider
from llamakeep.providers.registry import Registry
from llamakeep.settings import Settings

OVERHEAD = 16
"""Tokens that a model's template puts around each message, at most."""

IMAGE = 2048
"""Tokens that are set aside for an image; what it takes, its provider says."""

_UNITS: dict[str, Unit] = {
    "concurrent_runs": "runs",
    "tokens_per_day": "tokens",
    "tokens_per_month": "tokens",
    "dollars_per_day": "dollars",
    "dollars_per_month": "dollars",
    "end_user_prompts_per_day": "prompts",
}


class Quotas:
    """Turns what administrators, users and the settings allow into quotas."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._for_users = settings.user_limits
        self._for_all = settings.server_limits
        self._max_tokens = settings.quota_max_tokens
        self._registry = registry
        self._is_bounded = {self._for_users, self._for_all} != {Limits()}

    def of(self, user: User, end_user: str | None = None) -> Sequence[Quota]:
        """Return the quotas of `user`, of their API key and of `end_user`."""
        key = user.api_key
        if not (self._is_bounded or user.limits or (key and key.limits)):
            return ()
        now = utc_now()
        limits = self._for_users
        if user.limits is not None:
            limits = replace(limits, **user.limits.given())
        found = list(_quotas("user", limits, now, user_id=user.id, end_user=end_user))
        if key is not None and key.limits is not None:
            found.extend(
                _quotas(
                    "api_key",
                    key.limits,
                    now,
                    user_id=user.id,
                    api_key_id=key.id,
                    end_user=end_user,
                )
            )
        found.extend(self.of_server(now))
        return found

    def of_server(self, now: datetime) -> Iterator[Quota]:
        """Yield the quotas that all users share."""
        return _quotas("server", self._for_all, now)

    def of_upstreams(
        self, names: Iterable[str], now: datetime, *, alias: str | None = None
    ) -> Iterator[Quota]:
        """Yield the quotas of upstreams, and of an alias."""
        limits = self._registry.limits
        for name in dict.fromkeys(names):
            if name in limits:
                yield from _quotas("upstream", limits[name], now, subject=name)
        if alias is not None and alias in limits:
            yield from _quotas("alias", limits[alias], now, subject=alias)

    def of_all_upstreams(self, now: datetime) -> Iterator[Quota]:
        """Yield the quotas of all upstreams and aliases."""
        for name in self._registry.limits:
            if name in self._registry.aliases:
                yield from self.of_upstreams((), now, alias=name)
            else:
                yield from self.of_upstreams((name,), now)

    def reserving(
        self, run: Run, provider: Provider, earlier: Sequence[Run], user: User
    ) -> tuple[Run, Sequence[Quota]]:
        """
        Return `run` with what it may take at most, and what that is to be taken from.

        Where tokens are counted, its answer is bounded.

        Raises:
            PriceUnknown: There is a limit in dollars, and the model may cost anything.
        """
        quotas = self.of(user, run.end_user)
        if self._registry.limits:
            route = run.parameters.route
            names = [run.provider, *(one.provider for one in left_of(run.parameters))]
            alias = None if route is None else route["alias"]
            quotas = [*quotas, *self.of_upstreams(names, utc_now(), alias=alias)]
        if not quotas:
            return run, ()
        # Prompts are counted in the history.
        counted = [quota for quota in quotas if quota.unit != "prompts"]
        if not counted:
            return run, quotas
        units = {quota.unit for quota in counted}
        if units == {"runs"}:
            input_tokens = output_tokens = 0
        else:
            # A token stands for a byte at least, whatever the model's vocabulary is.
            said = messages(run, earlier)
            input_tokens = sum(
                sum([len(text.encode()) for text in each.texts]) + OVERHEAD
                for each in said
            ) + size_of_tools(run.parameters)
            input_tokens += IMAGE * len(images_in(said))
            output_tokens = run.parameters.max_tokens or self._max_tokens
            if run.parameters.embedding is not None:
                texts = run.last_message.parts if run.last_message else ()
                input_tokens += OVERHEAD * len(texts)
                output_tokens = 0
            elif "max_tokens" not in provider.unsupported:
                bounded = replace(run.parameters, max_tokens=output_tokens)
                run = replace(run, parameters=bounded)
        cost = self._cost(run, counted, input_tokens, output_tokens)
        reservation = Reservation(
            quotas=tuple(sorted({quota.id for quota in counted})),
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cost=cost,
        )
        return replace(run, reservation=reservation), quotas

    def _cost(
        self, run: Run, counted: Sequence[Quota], input_tokens: int, output_tokens: int
    ) -> Decimal:
        """
        Return what the dearest model costs that may answer `run`, where that counts.

        Raises:
            PriceUnknown: It may cost anything.
        """
        costly = [quota for quota in counted if quota.unit == "dollars"]
        counts_all = any(quota.whose != "upstream" for quota in costly)
        capped = {quota.subject for quota in costly if quota.whose == "upstream"}
        left, cost = left_of(run.parameters), Decimal(0)
        for name, model in (
            (run.provider, run.model),
            *((each.provider, each.model) for each in left),
        ):
            if not (counts_all or name in capped):
                continue
            price = self._registry.price(name, model)
            if price is None:
                raise PriceUnknown(
                    f"A limit in dollars applies, and the price of {name}:{model} is "
                    "not known; nothing was stored. Choose another model, or have "
                    "LLAMAKEEP_PRICES say it."
                )
            cost = max(cost, price.of(input_tokens, output_tokens))
        return cost


def _quotas(
    whose: Whose,
    limits: Limits,
    now: datetime,
    *,
    user_id: str | None = None,
    api_key_id: str | None = None,
    subject: str | None = None,
    end_user: str | None = None,
) -> Iterator[Quota]:
    counted = f"{whose}:{subject}" if subject else api_key_id or user_id or "server"
    today = datetime(now.year, now.month, now.day, tzinfo=UTC)
    month = today.replace(day=1)
    stretches = {
        "": (counted, None, None),
        "day": (f"{counted}:{today:%Y-%m-%d}", today, today + timedelta(days=1)),
        "month": (f"{counted}:{month:%Y-%m}", month, _next_month(month)),
    }
    for name, limit in limits.given().items():
        is_for_one = _UNITS[name] == "prompts"
        if is_for_one and end_user is None:
            continue
        id_, begins_at, ends_at = stretches[name.partition("_per_")[2]]
        yield Quota(
            id=id_,
            name=name,
            whose=whose,
            unit=_UNITS[name],
            limit=limit,
            user_id=user_id,
            api_key_id=api_key_id,
            subject=subject,
            end_user=end_user if is_for_one else None,
            begins_at=begins_at,
            ends_at=ends_at,
        )


def _next_month(month: datetime) -> datetime:
    return (month + timedelta(days=31)).replace(day=1)


def passing_by(
    run: Run, quotas: Sequence[Quota], reached: LimitReached
) -> tuple[Run, Sequence[Quota]] | None:
    """
    Return what another model of a run's alias may answer, with what it reserves of.

    `None` if the limit that was reached is not an upstream's, or there is no other one.
    """
    limit = reached.limit
    if limit is None or limit.whose != "upstream" or limit.subject is None:
        return None
    other = without(run, limit.subject, reached.code)
    if other is None or other.reservation is None:
        return None
    reached_one = limit.whose, limit.subject
    quotas = [each for each in quotas if (each.whose, each.subject) != reached_one]
    ids = tuple(sorted({each.id for each in quotas if each.unit != "prompts"}))
    return replace(other, reservation=replace(other.reservation, quotas=ids)), quotas
