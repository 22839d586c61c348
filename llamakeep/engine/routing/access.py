"""Which models and aliases users, their roles and their API keys may ask."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from llamakeep.domain import User
from llamakeep.errors import UnknownModel
from llamakeep.providers.base import Provider
from llamakeep.providers.described import ModelFacts, facts_of_alias
from llamakeep.providers.lookup import check_model_exists
from llamakeep.providers.registry import Registry

Allowed = tuple[str, Collection[str]]
"""Whose models they are, in words, and the models."""


class Access:
    """
    Refuses models to those who may not ask them, and names no others to them.

    The models of a role, of a user and of an API key all have to allow one: each names
    `provider:model`, `provider:*` or an alias, and allows anything if it is not set.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def resolve(self, user: User, name: str | None) -> tuple[Provider, str]:
        """
        Return the provider of a model, and the model's name there.

        Raises:
            UnknownModel: `user` may not ask it, or no user may.
            LlamaKeepError: What `Registry.resolve` raises.
        """
        said = name or "the default model"
        with self.hiding(user, said):
            provider, model = await self._registry.resolve(name)
        self.check(user, provider.name, model, said=said)
        return provider, model

    async def find_model(self, user: User, name: str) -> tuple[Provider, str]:
        """
        Return the provider of an existing model, and the model's name there.

        Raises:
            UnknownModel: `user` may not ask it, or there is none.
            LlamaKeepError: What `Registry.resolve` and `check_model_exists` raise.
        """
        provider, model = await self.resolve(user, name)
        await check_model_exists(provider, model)
        return provider, model

    def check(
        self, user: User, provider: str, model: str, *, said: str | None = None
    ) -> None:
        """
        Refuse what `user` may not ask, and has called so.

        Raises:
            UnknownModel: It names what may be asked.
        """
        name = f"{provider}:{model}"
        if not self.of(user)(name):
            raise self.refusal(user, name, said=said)

    @contextmanager
    def hiding(self, user: User, said: str) -> Iterator[None]:
        """
        Refuse what there is not as what `user` may not ask, unless they may ask all.

        Raises:
            UnknownModel: It names what may be asked.
        """
        try:
            yield
        except UnknownModel as error:
            if not self._sets(user):
                raise
            raise self.refusal(user, said) from error

    def refusal(
        self, user: User, name: str, *, said: str | None = None
    ) -> UnknownModel:
        """Return what refuses a model or an alias that `user` may not ask."""
        sets = self._sets(user)
        who = next((who for who, of in sets if not self._has(of, name)), "You")
        names = sorted(
            each
            for each in {each for _, of in sets for each in of}
            if all(self._has(of, each) for _, of in sets)
        )
        return UnknownModel(
            f"{who} may not ask {said or name}; nothing was stored. "
            f"Allowed are: {', '.join(names) or 'none'}."
        )

    def listed(self, user: User, known: Collection[ModelFacts]) -> list[ModelFacts]:
        """Return those of the models and aliases that `user` may ask."""
        if not self._sets(user):
            return [*known]
        may_ask = self.of(user)
        found = []
        for each in known:
            if each.members is None:
                if may_ask(each.name):
                    found.append(each)
                continue
            members = [one for one in each.members if may_ask(one.name, each.name)]
            if len(members) == len(each.members):
                found.append(each)
            elif members:
                found.append(facts_of_alias(each, members))
        return found

    def of(self, user: User) -> Callable[..., bool]:
        """Return what says of a model, and an alias of it, if `user` may ask that."""
        sets = [allowed for _, allowed in self._sets(user)]

        def may_ask(name: str, alias: str | None = None) -> bool:
            return all(_allows(allowed, name, alias) for allowed in sets)

        return may_ask

    def _sets(self, user: User) -> Sequence[Allowed]:
        sets: list[Allowed] = []
        of_role = self._registry.roles.get(user.role)
        if of_role is not None:
            sets.append((f"Users of the role {user.role.value!r}", of_role))
        if user.models is not None:
            sets.append(("You", user.models))
        if user.api_key is not None and user.api_key.models is not None:
            sets.append(("This API key", user.api_key.models))
        return sets

    def _has(self, allowed: Collection[str], name: str) -> bool:
        """Return whether some of what `name` stands for is allowed."""
        if name in allowed:
            return True
        if name.endswith(":*"):
            return False  # those of its models that are named stand for themselves
        steps = self._registry.aliases.get(name)
        if steps is None:
            return _allows(allowed, name, None)
        return any(
            _allows(allowed, f"{each.upstream}:{each.model}", None)
            for step in steps
            for each in step
        )


def _allows(allowed: Collection[str], name: str, alias: str | None) -> bool:
    provider, _, _ = name.partition(":")
    return name in allowed or f"{provider}:*" in allowed or alias in allowed
