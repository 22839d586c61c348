"""Which models and aliases users, their roles and their API keys may ask."""

from collections.abc import Callable, Collection, Iterator

from llamakeep.domain import User
from llamakeep.errors import UnknownModel
from llamakeep.providers.described import ModelFacts
from llamakeep.providers.registry import Registry


class Access:
    """
    Refuses models to those who may not ask them.

    The models of a role, of a user and of an API key all have to allow one: each names
    `provider:model`, `provider:*` or an alias, and allows anything if it is not set.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def check(
        self, user: User, provider: str, model: str, *, alias: str | None = None
    ) -> None:
        """
        Refuse what `user` may not ask, under the name of an alias or its own.

        Raises:
            UnknownModel: It names what may be asked.
        """
        for who, allowed in self._sets(user):
            if not _allows(allowed, provider, model, alias):
                raise UnknownModel(
                    f"{who} may not ask {provider}:{model}; nothing was stored. "
                    f"Allowed are: {', '.join(sorted(allowed))}."
                )

    def listed(self, user: User, known: Collection[ModelFacts]) -> list[ModelFacts]:
        """Return those of the models and aliases that `user` may ask."""
        may_ask = self.of(user)
        return [
            each
            for each in known
            if (
                may_ask(each.name)
                if each.alias_of is None
                else any(may_ask(member, each.name) for member in each.alias_of)
            )
        ]

    def of(self, user: User) -> Callable[..., bool]:
        """Return what says of a model, and an alias of it, if `user` may ask that."""
        sets = [allowed for _, allowed in self._sets(user)]

        def may_ask(name: str, alias: str | None = None) -> bool:
            provider, _, model = name.partition(":")
            return all(_allows(allowed, provider, model, alias) for allowed in sets)

        return may_ask

    def _sets(self, user: User) -> Iterator[tuple[str, Collection[str]]]:
        of_role = self._registry.roles.get(user.role)
        if of_role is not None:
            yield f"Users of the role {user.role.value!r}", of_role
        if user.models is not None:
            yield "You", user.models
        if user.api_key is not None and user.api_key.models is not None:
            yield "This API key", user.api_key.models


def _allows(
    allowed: Collection[str], provider: str, model: str, alias: str | None
) -> bool:
    return (
        f"{provider}:{model}" in allowed
        or f"{provider}:*" in allowed
        or alias in allowed
    )
