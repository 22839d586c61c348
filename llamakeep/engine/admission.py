"""What becomes a run, and what is refused."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from llamakeep.domain import (
    Image,
    NewRun,
    Run,
    RunStatus,
    User,
    later_id,
    new_id,
    utc_now,
)
from llamakeep.domain.messages import images_in
from llamakeep.domain.runs import PLAIN, brought_by, told_of
from llamakeep.engine.context import (
    is_little,
    messages,
    size_of,
    system_prompt_in,
)
from llamakeep.engine.images import apart, check_images, images_before
from llamakeep.engine.live import LiveRun
from llamakeep.engine.quotas import Quotas
from llamakeep.engine.refusals import (
    model_missing,
    stopping,
    unreadable_later,
)
from llamakeep.engine.routing.access import Access
from llamakeep.engine.routing.choosing import Routing
from llamakeep.engine.routing.prompting import prompted
from llamakeep.engine.runner import Runner
from llamakeep.errors import (
    ContextTooLarge,
    ServerBusy,
    TooManyWaiting,
    UnsupportedParameter,
)
from llamakeep.logs.context import SERVED
from llamakeep.providers.base import CompletionRequest, CountsTokens, Provider
from llamakeep.providers.registry import Registry
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from llamakeep.storage.runs.context import NO_CONTEXT, Context
from llamakeep.storage.runs.lookups import IdempotencyKey
from llamakeep.storage.runs.steps import conversation_of

MOST_BYTES = 4
"""Bytes that a character has at most."""

NewRunSource = NewRun | Callable[[], Awaitable[NewRun]]
"""What a client wants; or what finds that out, and is only called if it matters."""


class Admission:
    """Makes runs of prompts, if there is room for them."""

    def __init__(
        self, settings: Settings, storage: Storage, registry: Registry, runner: Runner
    ) -> None:
        self.is_stopping = False
        """Whether new prompts are refused."""
        self.quotas = Quotas(settings, registry)
        self._settings = settings
        self._requires_model = settings.require_model
        self._most = int(settings.max_context_size)
        self._most_of_images = int(settings.max_images_size)
        self._most_runs = settings.max_running + settings.max_queued
        self._storage = storage
        self._registry = registry
        self._access = Access(registry)
        self._routing = Routing(
            registry,
            self._access,
            most_of_images=self._most_of_images,
            is_open=runner.circuits.is_open_now,
        )
        self._runner = runner

    async def begin(  # noqa: C901, PLR0912, PLR0915 - in two, each prompt would cost another call
        self,
        user: User,
        asked: NewRunSource,
        key: IdempotencyKey | None,
        *,
        is_followed: bool,
    ) -> LiveRun:
        """
        Begin to store a run and to work on it.

        Raises:
            LlamaKeepError: Why not; nothing is stored.
        """
        new = asked if isinstance(asked, NewRun) else await asked()
        if self.is_stopping:
            raise stopping()
        if new.model is None and self._requires_model:
            raise model_missing()
        api_key = user.api_key
        store = new.store and user.keeps_texts
        if new.is_read_later and not store:
            raise unreadable_later()
        registry, context, route = self._registry, NO_CONTEXT, None
        try:
            alias = new.model or registry.default_alias
            if alias is not None and alias in registry.aliases:
                context = await self._context_of(user, new)
                provider, model, route = await self._routing.choose(
                    alias, user, new, context.runs
                )
            else:
                if api_key is not None or registry.roles or user.models is not None:
                    provider, model = await self._access.resolve(user, new.model)
                else:
                    provider, model = await registry.resolve(new.model)
                if new.parameters != PLAIN:
                    await registry.check_parameters(provider, model, new.parameters)
            length = len(new.prompt) + len(new.system_prompt or "")
            if route is None and (
                MOST_BYTES * length > self._most  # it may be too long by itself
                or new.prior_messages
                or new.parameters.tools
                or new.conversation_id is not None
                or new.previous_run_id is not None
            ):
                context = await self._context_of(user, new)
            prior = context.runs
            if new.check_followed is not None:
                new.check_followed(prior)
            images: Sequence[Image] = ()
            if prior or new.prior_messages or new.last_message:
                new, images = await self._with_images(provider, model, new, prior)
            parameters = new.parameters
            if (
                parameters.tools
                or parameters.response_format
                or prior
                or new.prior_messages
                or new.last_message
            ):
                parameters = await prompted(provider, model, new, prior)
        except UnsupportedParameter as error:
            await self._name_another(error, user)
            raise
        if route is not None:
            parameters = replace(parameters, route=route)
        system_prompt = new.system_prompt
        if system_prompt is None and prior and new.inherits_system_prompt:
            system_prompt = system_prompt_in(prior)
        run_id, now = new_id("run_"), utc_now()
        if context.newest_run_id is not None:
            run_id = later_id(run_id, context.newest_run_id)
        run = Run(
            id=run_id,
            user_id=user.id,
            api_key_id=None if api_key is None else api_key.id,
            end_user=new.end_user,
            source=new.source,
            store=store,
            # As it is if it need not wait.
            status=RunStatus.STARTING,
            attempt=1,
            provider=provider.name,
            model=model,
            prompt=new.prompt,
            system_prompt=system_prompt,
            prior_messages=new.prior_messages,
            last_message=new.last_message,
            images=images,
            conversation_id=context.conversation_id
            or conversation_of(run_id, is_embedding=parameters.embedding is not None),
            previous_run_id=new.previous_run_id,
            parameters=parameters,
            max_tokens_name=new.max_tokens_name,
            metadata=new.metadata,
            notifications=new.notifications,
            created_at=now,
            started_at=now,
        )
        run, quotas = self.quotas.reserving(run, provider, prior, user)
        runner = self._runner
        if len(runner.live) >= self._most_runs:
            raise ServerBusy(
                f"{self._most_runs} prompts are being answered or waiting already; "
                "nothing was stored. Try again in a moment.",
                retry_after=1,
            )
        upstream = runner.turns.take(run)
        if upstream is not None:
            live = LiveRun(run, provider)
            live.has_slot, live.upstream = True, upstream
            live.prior = prior
        else:
            self._check_share(user.id)
            run = replace(run, status=RunStatus.QUEUED, attempt=0, started_at=None)
            live = LiveRun(run, provider)
            runner.turns.line_up(live)
            # While many wait, much is better read again when it is their turn.
            live.prior = prior if is_little(prior) else None
        live.is_followed = is_followed
        if (served := SERVED.get()) is not None:
            served.run_id = run.id
        runner.start(live, key, quotas)
        return live

    async def repeated(self, user: User, key: IdempotencyKey) -> Run | None:
        """Return the run that an earlier request with this key made."""
        known = await self._storage.find_repeated(user, key)
        if known is not None and (served := SERVED.get()) is not None:
            served.run_id = known.id
        return known

    async def count_tokens(self, user: User, new: NewRun) -> int:
        """
        Return how many tokens the model of a prompt would read; nothing is stored.

        Raises:
            LlamaKeepError: It would be refused, or its provider cannot count them.
        """
        if new.model is None and self._requires_model:
            raise model_missing()
        prior = (await self._context_of(user, new)).runs
        try:
            return await self._count_tokens(user, new, prior)
        except UnsupportedParameter as error:
            await self._name_another(error, user)
            raise

    async def _count_tokens(self, user: User, new: NewRun, prior: Sequence[Run]) -> int:
        registry = self._registry
        alias = new.model or registry.default_alias
        if alias is not None and alias in registry.aliases:
            provider, model, _ = await self._routing.choose(alias, user, new, prior)
        else:
            provider, model = await self._access.resolve(user, new.model)
            if new.parameters != PLAIN:
                await registry.check_parameters(provider, model, new.parameters)
        if not isinstance(provider, CountsTokens):
            raise UnsupportedParameter(
                f"The provider {provider.name!r} cannot count the tokens of a prompt "
                "before it answers; the usage of an answer has their number. Nothing "
                "was stored. The embedded model can count.",
                parameters=["model"],
            )
        if new.check_followed is not None:
            new.check_followed(prior)
        if new.system_prompt is None and prior and new.inherits_system_prompt:
            new = replace(new, system_prompt=system_prompt_in(prior))
        new, _ = await self._with_images(provider, model, new, prior)
        new = replace(new, parameters=told_of(new.parameters))
        parameters = await prompted(provider, model, new, prior)
        return await provider.count_tokens(
            CompletionRequest(
                run_id=new_id("run_"),
                attempt=1,
                model=model,
                messages=messages(new, prior),
                parameters=parameters,
            )
        )

    async def _name_another(self, error: UnsupportedParameter, user: User) -> None:
        """Name a model that has what is needed, if there is one that `user` may ask."""
        if not error.needed:
            return
        may_ask = self._access.of(user)
        other = await self._registry.able(error.needed, may_ask=may_ask)
        if other is not None:
            error.name_another(other)

    def _check_share(self, user_id: str) -> None:
        """Keep room in the queue for others, whatever one user sends."""
        share = max(1, self._settings.max_queued // 2)
        if self._runner.turns.slots.waiting(user_id) >= share:
            raise TooManyWaiting(
                f"{share} of your prompts are waiting already, which is your part of "
                "the queue; nothing was stored. Try again when some are answered.",
                retry_after=1,
            )

    async def _with_images(
        self, provider: Provider, model: str, new: NewRun, prior: Sequence[Run]
    ) -> tuple[NewRun, Sequence[Image]]:
        """
        Return a request without the bytes of its images, and the images to keep.

        Raises:
            ContextTooLarge: A model is not given so many images.
            UnsupportedParameter: The model cannot be given them.
        """
        own, before = images_in(brought_by(new)), images_before(prior)
        if not (own or before):
            return new, ()
        most = self._most_of_images
        await check_images(self._registry, provider, model, own, before, most=most)
        return apart(new)

    async def _context_of(self, user: User, new: NewRun) -> Context:
        """Return what a prompt follows, if a model may be given that much."""
        most = self._most - size_of(new)
        if most < 0:
            raise ContextTooLarge(
                "The prompt and what was said before it have more than "
                f"{self._settings.max_context_size.human_readable()} together, which "
                "is as much as a model is given here. Nothing was stored. Send less of "
                "what was said before."
            )
        if new.conversation_id is None and new.previous_run_id is None:
            return NO_CONTEXT
        return await self._storage.context(
            user.id,
            new.conversation_id,
            previous_run_id=new.previous_run_id,
            most=most,
        )
