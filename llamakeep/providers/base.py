"""The port between the engine and whoever runs models."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeGuard, runtime_checkable

from llamakeep.domain import MaxTokensName, Message, Parameters, Price, Usage
from llamakeep.domain.values import value

DEFAULT_MODEL = "(default)"
"""The model of a prompt that names none, while its provider cannot say which it has."""


@value
class CompletionRequest:
    """What a provider is asked to answer."""

    run_id: str
    attempt: int
    model: str
    """As the provider calls it."""
    messages: Sequence[Message]
    """In order; the last one is the user's prompt."""
    parameters: Parameters = field(default_factory=Parameters)
    max_tokens_name: MaxTokensName | None = None
    """What the client called the limit of the answer, if that is known."""
    is_followed: bool = True
    """Whether somebody reads along; otherwise only the end matters."""
    is_late: Callable[[], bool] | None = None
    """
    Whether another server may have taken the run over: then nothing may be begun, and
    `answer_may_exist`. A `ReattachableProvider` asks in the moment before it begins.
    """


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took the prompt and will answer; no refusal comes after this."""

    resolved_model: str | None = None
    handle: str | None = None
    """What finds the answer again, for a `ReattachableProvider`."""
    is_whole: bool = False
    """Whether all of the answer is here, so that nobody has to find it again."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event: nothing comes after it."""

    finish_reason: str | None = None
    """`stop`, `length`, `content_filter`, or what else the provider says."""
    usage: Usage = field(default_factory=Usage)
    resolved_model: str | None = None


Event = str | Accepted | Finished
"""What an answer consists of; a `str` is a delta, to be appended to the text."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An answer that may be a run's, as `ReattachableProvider.find` returns it."""

    handle: str
    is_proven: bool
    """
    Whether it carries the run's mark. Without, it only answers the same request, which
    somebody else may have sent: it may be received, and must not be canceled.
    """


class Provider(Protocol):
    """
    Somebody who can answer prompts.

    Implementations raise only `ProviderError`, `PromptRejected`, their children,
    `UnsupportedParameter` and `NoProvider`: translating a vendor's failures is the
    adapter's job.
    """

    name: str
    """`replicate`, `openai` or `local`: the part before the colon of a model's name."""

    is_free: bool
    """Whether asking twice costs nothing, so that interrupted runs may be run again."""

    unsupported: frozenset[str]
    """The names of the `Parameters` that this provider cannot honour."""

    async def default_model(self) -> str:
        """
        Return the model to use when a prompt names none.

        Raises:
            ProviderError: The provider had to be asked, and could not be.
        """
        ...

    async def models(self) -> Sequence[str]:
        """
        Return models that can be asked for, the default one first.

        There may be more: `serves` decides.

        Raises:
            ProviderError: The provider had to be asked, and could not be.
        """
        ...

    def serves(self, model: str) -> bool:
        """Return whether `model`, without its provider's name, can be asked for."""
        ...

    def price(self, model: str) -> Price | None:
        """Return what `model` costs, as far as that is known."""
        ...

    def answer(self, request: CompletionRequest) -> AsyncGenerator[Event, None]:
        """
        Answer `request`: one `Accepted`, any number of deltas, one `Finished`.

        The prompt is sent when the iteration starts. Closing the generator early tells
        the provider to stop. At least one await lies between two deltas, which are text
        that every database can keep: no NUL, no lone surrogate.

        Raises:
            PromptRejected: The provider read the prompt and refused it.
            UnsupportedParameter: This model cannot honour one; nothing was sent.
            ProviderError: It refused for another reason, failed, or broke off; the
                deltas before that remain valid.
        """
        ...

    async def warm_up(self) -> None:
        """
        Do before the first prompt what it would have to wait for.

        Raises:
            ProviderError: It cannot be done now; prompts may still be answered later.
        """
        ...

    async def close(self) -> None:
        """Release connections and child processes. No answer is open any more."""
        ...


@runtime_checkable
class ChecksFormats(Protocol):
    """A provider that cannot hold its model to every response format."""

    def check_format(self, response_format: Mapping[str, Any]) -> None:
        """
        Refuse a response format that could not be kept to.

        Raises:
            UnsupportedParameter: It names what is too much.
        """
        ...


@runtime_checkable
class ModelLookup(Protocol):
    """A provider that can be asked whether it has a model that it does not list."""

    async def has_model(self, model: str) -> bool:
        """
        Return whether a model can be asked for, as far as that can be found out.

        Raises:
            ProviderError: The provider cannot be asked now.
        """
        ...


@runtime_checkable
class ReattachableProvider(Provider, Protocol):
    """
    A provider that goes on answering without us, and lets us come back for the answer.

    Where it may be answering although `answer` or `resume` raised, the error's
    `answer_may_exist` is true.
    """

    marks_answers: bool
    """Whether what it begins carries the run's id, so that it can be proven whose."""

    def resume(
        self, request: CompletionRequest, handle: str
    ) -> AsyncGenerator[Event, None]:
        """
        Fetch an answer that was accepted earlier: `Accepted`, deltas, `Finished`.

        The deltas are the whole text, from its start. Nothing is created or paid for.
        Closing the generator early tells the provider to stop.

        Args:
            request: What was asked then.
            handle: What `Accepted` said then.

        Raises:
            AnswerExpired: The provider has erased it.
            PromptRejected: The provider refused the prompt in the end.
            ProviderError: It failed, or cannot be asked now.
        """
        ...

    async def find(
        self, request: CompletionRequest, *, within: timedelta
    ) -> Sequence[Candidate]:
        """
        Return what an earlier attempt at `request` may have started, the oldest first.

        Those that are merely alike are left out where one is proven.

        Args:
            request: What was asked, or would be asked again.
            within: How long ago it can have been started at the most. The provider's
                clock tells since when; the clocks of our servers may be wrong.

        Raises:
            ProviderError: The provider cannot be asked now.
        """
        ...

    def now(self) -> datetime | None:
        """Return what time it is at the provider, if its last response told that."""
        ...

    async def is_proven(self, request: CompletionRequest, handle: str) -> bool:
        """
        Return whether an answer carries the mark of this request's run.

        Raises:
            ProviderError: The provider does not know it, or cannot be asked now.
        """
        ...

    def hint(self, handle: str) -> None:
        """Look at once how an answer is getting on that is waited for, if it is."""
        ...

    def detach(self) -> None:
        """Let answers go on when their generators are closed: a server that stops."""
        ...

    async def cancel(self, handle: str) -> None:
        """
        Tell the provider to stop; an answer that has ended stays as it is.

        Raises:
            ProviderError: The provider cannot be told now.
        """
        ...


def is_reattachable(provider: Provider | None) -> TypeGuard[ReattachableProvider]:
    """Return whether `provider` goes on without us, and lets us come back."""
    known = _REATTACHABLE.get(type(provider))
    if known is None:
        # Comparing it with the protocol takes 60 µs, and prompts want to know it twice.
        known = _REATTACHABLE[type(provider)] = isinstance(
            provider, ReattachableProvider
        )
    return known


_REATTACHABLE: dict[type, bool] = {}
