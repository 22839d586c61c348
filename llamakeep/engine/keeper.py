"""What the doors ask of the engine."""

from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
)
from contextlib import aclosing
from copy import copy

from llamakeep import errors
from llamakeep.domain import (
    Actor,
    Asked,
    Run,
    RunStatus,
    User,
    later_id,
    new_id,
    utc_now,
)
from llamakeep.engine.context import size_of
from llamakeep.engine.following import follow_stored
from llamakeep.engine.live import sliced
from llamakeep.engine.node import Node
from llamakeep.engine.quotas import Quotas
from llamakeep.engine.refusals import check_model, stopped, stopping
from llamakeep.engine.updates import PIECE, Delta, Ended, Position, Reset, Update
from llamakeep.errors import (
    ContextTooLarge,
    LlamaKeepError,
    OutcomeUnknown,
    ProviderError,
)
from llamakeep.providers.registry import Registry, check_parameters
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from llamakeep.storage.runs.context import NO_CONTEXT, Context
from llamakeep.storage.runs.steps import IdempotencyKey, conversation_of

POLL_INTERVAL = 0.25
"""Seconds between two looks at a run that another node is working on."""


class Keeper:
    """
    Accepts prompts, has them answered, and lets everybody follow.

    A run belongs to the keeper, not to the request that asked for it: it goes on when
    its client leaves, and whoever comes back follows the same text.
    """

    def __init__(
        self, settings: Settings, storage: Storage, registry: Registry
    ) -> None:
        self._storage = storage
        self._registry = registry
        self._most = settings.max_context_size
        self._node = Node(settings, storage, registry)
        self.quotas = Quotas(settings, registry)

    async def open(self, *, take_over: bool = True) -> None:
        """
        Start working.

        Args:
            take_over: Whether to go on with what earlier processes left unfinished.
        """
        await self._node.open(take_over=take_over)

    def stop_accepting(self, *, grace: float | None = None) -> None:
        """
        Refuse new prompts from now on.

        Args:
            grace: Seconds that runs have to end, from now; at the first call,
                `shutdown_grace` if it is not given.
        """
        self._node.stop_accepting(grace=grace)

    async def close(self) -> None:
        """Let runs end within the grace, then leave the rest as it can be recovered."""
        await self._node.close()

    @property
    def node_id(self) -> str:
        """Under which name this process holds runs."""
        return self._node.id

    @property
    def has_runs(self) -> bool:
        """Whether runs are worked on, or wait for their turn."""
        return self._node.has_runs

    @property
    def is_stopping(self) -> bool:
        """Whether new prompts are refused."""
        return self._node.is_stopping

    @property
    def running(self) -> int:
        """How many runs are going on or queued in this process."""
        return len(self._node.live)

    def ask(
        self,
        user: User,
        asked: Asked | Callable[[], Awaitable[Asked]],
        *,
        idempotency_key: IdempotencyKey | None = None,
        is_followed: bool = True,
    ) -> Coroutine[object, object, Run]:
        """
        Keep a prompt and begin to have it answered.

        When this returns, the prompt is on disk, whatever happens next. With a known
        idempotency key, the run that was made then is returned.

        Args:
            user: Who asks.
            asked: What; or what finds that out, and is only called if the idempotency
                key is not known.
            idempotency_key: Makes asking again the same as asking once.
            is_followed: Whether somebody reads along; some providers are asked in
                another way when only the end matters.

        Raises:
            ClientError: Something about the request is wrong; nothing was stored.
            ServerError: It cannot be accepted now; nothing was stored.
            OutcomeUnknown: It cannot be told whether it was stored.
        """
        if idempotency_key is None:
            return self._ask(user, asked, None, is_followed=is_followed)
        return self._ask_once(user, asked, idempotency_key, is_followed=is_followed)

    async def _ask_once(
        self,
        user: User,
        asked: Asked | Callable[[], Awaitable[Asked]],
        key: IdempotencyKey,
        *,
        is_followed: bool,
    ) -> Run:
        """Look the key up before anything can be refused."""
        known = await self._storage.find_repeated(user, key)
        if known is not None:
            return known
        try:
            return await self._ask(user, asked, key, is_followed=is_followed)
        except OutcomeUnknown:
            raise
        except LlamaKeepError:
            # Another request with this key may have been stored meanwhile.
            known = await self._storage.find_repeated(user, key)
            if known is None:
                raise
            return known

    async def _ask(
        self,
        user: User,
        asked: Asked | Callable[[], Awaitable[Asked]],
        idempotency_key: IdempotencyKey | None,
        *,
        is_followed: bool,
    ) -> Run:
        if not isinstance(asked, Asked):
            asked = await asked()
        if self._node.is_stopping:
            raise stopping()
        provider, model = await self._registry.resolve(asked.model)
        check_model(user, provider, model)
        check_parameters(provider, asked.parameters)
        context = await self._context_of(user, asked)
        earlier = context.runs
        system_prompt = asked.system_prompt
        if system_prompt is None and earlier and asked.inherits_system_prompt:
            system_prompt = earlier[-1].system_prompt
        run_id, now = later_id(new_id("run_"), context.newest_run_id), utc_now()
        run = Run(
            id=run_id,
            user_id=user.id,
            api_key_id=user.api_key.id if user.api_key else None,
            # As it is if it need not wait.
            status=RunStatus.STARTING,
            attempt=1,
            provider=provider.name,
            model=model,
            prompt=asked.prompt,
            system_prompt=system_prompt,
            earlier=asked.earlier,
            prompt_name=asked.prompt_name,
            conversation_id=context.conversation_id or conversation_of(run_id),
            previous_run_id=asked.previous_run_id,
            parameters=asked.parameters,
            max_tokens_name=asked.max_tokens_name,
            metadata=asked.metadata,
            notifications=asked.notifications,
            created_at=now,
            started_at=now,
        )
        run, quotas = self.quotas.reserving(run, provider, earlier, user)
        return await self._node.accept(
            run,
            provider,
            earlier,
            idempotency_key,
            quotas=quotas,
            is_followed=is_followed,
        )

    async def result(self, run: Run) -> Run:
        """
        Wait until `run` is over, and return how it ended.

        Raises:
            LlamaKeepError: It did not succeed, or nobody can tell for now.
        """
        live = self._node.live.get(run.id)
        # Whoever waits for the end alone is not woken up by each word.
        if live is None or (ended := await live.ended()) is None:
            ended = await self.end_of(run)
        self._raise_for_status(ended)
        return ended

    async def answering(self, run: Run) -> None:
        """
        Wait until the provider has begun to answer `run`.

        Raises:
            LlamaKeepError: It was refused, or failed before its first word.
        """
        live = self._node.live.get(run.id)
        while live is not None and not (live.is_answering or live.is_over):
            if live.trouble is not None:
                raise live.trouble
            await live.wait()
        if live is not None and live.is_over and not (live.is_lost or live.length):
            self._raise_for_status(live.run)

    async def follow(
        self, run: Run, position: Position | None = None
    ) -> AsyncGenerator[Update, None]:
        """
        Yield the text of `run` after `position` as it comes, then its end.

        The caller made sure that the run is the reader's. Runs that another process is
        working on are followed too, in storage.

        Raises:
            LlamaKeepError: Nobody can tell the end for now; the run is kept.
        """
        position = position or Position()
        live = self._node.live.get(run.id)
        if live is not None:
            async with aclosing(live.follow(position)) as updates:
                async for update in updates:
                    if isinstance(update, Delta | Reset):
                        position = update.position
                        if len(update.text) > PIECE:
                            for piece in sliced(update):
                                yield piece
                            continue
                    yield update
                    if isinstance(update, Ended):
                        return
        stored = follow_stored(self._storage, run, position, every=POLL_INTERVAL)
        async with aclosing(stored) as updates:
            async for update in updates:
                for piece in sliced(update):
                    yield piece
                if self._node.is_closed and not isinstance(update, Ended):
                    raise stopped()

    async def cancel(self, user: User, run_id: str) -> Run:
        """
        Stop a run and keep its text so far; one that is over stays as it is.

        Raises:
            RunNotFound: `user` has no such run.
        """
        run = await self._storage.request_cancel(user, run_id)
        if run.status.is_final:
            return run
        self._node.cancel(run_id)
        self._node.look_for(run_id)
        return await self.end_of(run)

    def is_live(self, run: Run) -> bool:
        """Return whether this process works on a run."""
        return run.id in self._node.live

    def expects(self, run_id: str) -> bool:
        """Return whether this process has a use for hints about a run."""
        return self._node.expects(run_id)

    def hint(self, run_id: str, handle: str) -> None:
        """
        Look now for the answer to a run, instead of at the next turn.

        Args:
            run_id: The run; if it is not this process's, nothing happens.
            handle: Where its answer is said to be; that is checked.
        """
        self._node.hint(run_id, handle)

    async def delete(self, user: User, run_id: str) -> None:
        """
        Forget a run for good; one that is going on is canceled first.

        Raises:
            RunNotFound: `user` has no such run.
        """
        await self.cancel(user, run_id)
        await self._storage.delete_run(user, run_id)

    def stop_runs(self, run_ids: Collection[str]) -> None:
        """Stop those of them that are this process's; storage told the others."""
        for run_id in run_ids:
            self._node.cancel(run_id)

    async def delete_user(self, user: User, *, actor: Actor) -> None:
        """
        Let a user be gone for everybody, and stop their runs.

        All that was theirs goes a little later: see `deletion/users.py`.

        Raises:
            UserNotFound: There is no such user.
            LastAdmin: Nobody would be left who can manage users; nothing was changed.
        """
        await self._storage.delete_user(user.id, actor=actor)
        self.stop_runs(await self._storage.unfinished_runs(user))

    def _raise_for_status(self, run: Run) -> None:
        try:
            raise_for_status(run)
        except ProviderError as error:
            if error.retry_after is None:
                error.retry_after = self._node.gates.seconds_closed(run.provider)
            raise

    async def _context_of(self, user: User, asked: Asked) -> Context:
        """Return what a prompt follows, if a model may be given that much."""
        most = self._most - size_of(asked)
        if most < 0:
            raise ContextTooLarge(
                "The prompt and what was said before it have more than "
                f"{self._most.human_readable()} together, which is as much as a model "
                "is given here. Nothing was stored. Send less of what was said before."
            )
        if asked.conversation_id is None and asked.previous_run_id is None:
            return NO_CONTEXT
        return await self._storage.context(
            user.id,
            asked.conversation_id,
            previous_run_id=asked.previous_run_id,
            most=most,
        )

    async def end_of(self, run: Run) -> Run:
        """
        Wait until `run` is over, whatever became of it, and return all of it.

        Raises:
            LlamaKeepError: Nobody can tell the end for now; the run is kept.
        """
        async with aclosing(self.follow(run)) as updates:
            async for update in updates:
                if isinstance(update, Ended):
                    if update.text is None:
                        return update.run
                    owner = User(run.user_id, "", run.created_at)
                    return await self._storage.get_run(owner, run.id)
        raise AssertionError("a followed run ends")


def raise_for_status(run: Run) -> None:
    """
    Raise what became of a run that is over, unless it succeeded.

    Raises:
        LlamaKeepError: It names the run, which is kept with the text that arrived.
    """
    if run.status is RunStatus.SUCCEEDED:
        return
    if run.failure is not None:
        error = copy(run.failure)  # many clients may wait, each for one of its own
    else:
        error = errors.from_code(run.error_code, run.error_detail)
    error.run_id = run.id
    raise error
