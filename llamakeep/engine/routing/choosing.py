"""Aliases: which of their models a prompt is sent to, and which ones afterwards."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from llamakeep.domain import NewRun, Run, User
from llamakeep.domain.messages import images_in
from llamakeep.domain.routes import Candidate, Passed, route_of
from llamakeep.domain.runs import PLAIN, brought_by, told_of, whole_length_of
from llamakeep.engine.context import size_of
from llamakeep.engine.images import check_images, images_before
from llamakeep.engine.routing.access import Access
from llamakeep.engine.routing.prompting import prompted
from llamakeep.errors import (
    ContextLengthExceeded,
    LlamaKeepError,
    UnknownModel,
)
from llamakeep.providers.base import Provider
from llamakeep.providers.registry import Registry
from llamakeep.settings.upstreams import Member, Step

BYTES_OF_A_TOKEN = 4
"""How many bytes a token has about, to see whether a model has the room."""

CIRCUIT_OPEN = "circuit-open"


class Routing:
    """Chooses among the models of aliases those that can do what a prompt needs."""

    def __init__(
        self,
        registry: Registry,
        access: Access,
        *,
        most_of_images: int,
        is_open: Callable[[str, str], bool],
    ) -> None:
        self._is_open = is_open
        self._registry = registry
        self._access = access
        self._most_of_images = most_of_images

    async def choose(
        self, alias: str, user: User, new: NewRun, prior: Sequence[Run]
    ) -> tuple[Provider, str, dict[str, Any]]:
        """
        Return the model that is asked first, and the route with the others.

        Raises:
            LlamaKeepError: Why the first one of them cannot answer; nor can any other.
        """
        registry, may_ask = self._registry, self._access.of(user)
        fitting: list[Candidate] = []
        passed: list[Passed] = []
        refusal: LlamaKeepError | None = None
        for member in members_of(registry.aliases[alias]):
            name = f"{member.upstream}:{member.model or ''}".rstrip(":")
            if member.model is not None and not may_ask(name, alias):
                continue  # nor is it named to them
            try:
                provider, model = await self._served(member)
                if not may_ask(f"{provider.name}:{model}", alias):
                    continue
                candidate = await self._candidate(provider, model, new, prior)
            except LlamaKeepError as error:
                refusal = refusal or error
                passed.append(Passed(name, error.code, was_asked=False))
            else:
                if candidate not in fitting:
                    fitting.append(candidate)
        if not fitting:
            raise refusal or self._access.refusal(user, alias)
        # Those that are not to be asked now come last, in case no other one answers.
        later = [each for each in fitting if self._is_open(each.provider, each.model)]
        if 0 < len(later) < len(fitting):
            fitting = [each for each in fitting if each not in later] + later
            passed += [
                Passed(f"{each.provider}:{each.model}", CIRCUIT_OPEN, was_asked=False)
                for each in later
            ]
        first, *others = fitting
        route = dict(route_of(alias, others, passed))
        return registry.provider(first.provider), first.model, route

    async def _served(self, member: Member) -> tuple[Provider, str]:
        """
        Return the provider of a model, and its name there.

        Raises:
            LlamaKeepError: It is not served, or its provider does not say its name.
        """
        provider = self._registry.provider(member.upstream)
        if member.model is not None and not provider.serves(member.model):
            raise UnknownModel
        return await self._registry.model_at(provider, member.model)

    async def _candidate(
        self, provider: Provider, model: str, new: NewRun, prior: Sequence[Run]
    ) -> Candidate:
        """
        Return a model that can answer.

        Raises:
            LlamaKeepError: Why it cannot.
        """
        registry = self._registry
        if new.parameters != PLAIN:
            await registry.check_parameters(provider, model, new.parameters)
        self._check_room(provider.name, model, new, prior)
        own, before = images_in(brought_by(new)), images_before(prior)
        if own or before:
            most = self._most_of_images
            await check_images(registry, provider, model, own, before, most=most)
        told = await prompted(provider, model, new, prior)
        return Candidate(
            provider.name, model, told.prompted_tools, told.prompted_format
        )

    def _check_room(
        self, provider: str, model: str, new: NewRun, prior: Sequence[Run]
    ) -> None:
        room = self._registry.facts(provider).rooms.get(model)
        if room is None:
            return
        size = size_of(new) + whole_length_of(prior)
        needed = size // BYTES_OF_A_TOKEN + (told_of(new.parameters).max_tokens or 0)
        if needed > room:
            raise ContextLengthExceeded(
                f"The model {provider}:{model} reads {room} tokens, and the prompt "
                f"with its answer needs about {needed}. Nothing was stored. Send less."
            )


def members_of(steps: Sequence[Step]) -> Iterator[Member]:
    """Yield the models of an alias in the order of this time: equal ones by chance."""
    for step in steps:
        if len(step) == 1:
            yield step[0]
            continue
        # Each is the first as often as its weight says, also among those that are left.
        chances = [random.random() ** (1 / each.weight) for each in step]  # noqa: S311
        for place in sorted(range(len(step)), key=chances.__getitem__, reverse=True):
            yield step[place]
