"""The port between the engine and providers."""

from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from typing import Protocol, TypeGuard, runtime_checkable

from llamakeep.domain import (
    Capabilities,
    Image,
    Item,
    MaxTokensName,
    Message,
    Parameters,
    Price,
    Usage,
    Vector,
)
from llamakeep.domain.runs import PLAIN
from llamakeep.domain.values import value
from llamakeep.errors import LlamaKeepError, ProviderError
from llamakeep.providers.kinds import by_type

DEFAULT_MODEL = "(default)"
"""The model of a prompt that names none, while its provider cannot say its default."""

IMAGES, IMAGE_URLS = "images", "image_urls"
"""
The capability of looking at images, and that of being given an address of one.

They are in messages. See `images.py` for how a provider gets their bytes.
"""

ImageReader = Callable[[Collection[str]], Awaitable[Mapping[str, bytes]]]
"""Reads the bytes of images by their hashes; those that were deleted are left out."""


@value
class CompletionRequest:
    """A request for a completion."""

    run_id: str
    attempt: int
    model: str
    """The provider's id of the model."""
    messages: Sequence[Message]
    """Oldest first; the last one is the prompt."""
    parameters: Parameters = PLAIN
    max_tokens_name: MaxTokensName | None = None
    """The name of the limit in the client's request, if known."""
    is_followed: bool = True
    """Whether a client reads the stream; otherwise only the end matters."""
    read_images: ImageReader | None = None
    """What reads the bytes of the images in the messages; `None` if there are none."""
    is_late: Callable[[], bool] | None = None
    """
    Whether another server may have taken the run over: then nothing may be sent, and
    the error's `answer_may_exist` is true. A `ReattachableProvider` calls it right
    before it sends the request.
    """
    may_be_begun: bool = False
    """
    Whether an earlier attempt may have begun an answer, of which no handle is known:
    then no refusal proves that nothing is paid.
    """


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider accepted the prompt; no refusal follows."""

    resolved_model: str | None = None
    handle: str | None = None
    """Finds the answer again, for a `ReattachableProvider`."""
    is_whole: bool = False
    """Whether the whole answer has arrived, so that it need not be found again."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event."""

    finish_reason: str | None = None
    """`stop`, `length`, `content_filter`, or another word of the provider."""
    usage: Usage = field(default_factory=Usage)
    resolved_model: str | None = None
    vectors: Sequence[Vector] = ()
    """Of the texts of the prompt, in their order, from an `Embedder`."""


@dataclass(frozen=True, slots=True)
class ItemBegun:
    """
    The next item of the answer; the one before is complete.

    An answer begins with a text without it.
    """

    item: Item
    """Without its text."""


@dataclass(frozen=True, slots=True)
class ItemText:
    """More reasoning, or more of a tool call's arguments."""

    text: str


@dataclass(frozen=True, slots=True)
class Logprobs:
    """How likely the tokens of the next delta are, if that was asked for."""

    json: str
    """Objects of OpenAI's chat completions, with commas in between."""


Event = str | ItemBegun | ItemText | Logprobs | Accepted | Finished
"""An event of an answer; a `str` is a delta of a text, or of a refusal."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A possible answer of a run, as `SearchableProvider.find` returns it."""

    handle: str
    is_proven: bool
    """
    Whether it carries the run's id. Otherwise it only has the same request, which may
    be another client's: it may be read, and must not be canceled.
    """


class Provider(Protocol):
    """
    A service that runs models.

    Implementations raise only `ProviderError`, `PromptRejected`, their subclasses,
    `UnsupportedParameter` and `NoProvider`: they translate vendors' errors.
    """

    name: str
    """`replicate`, `openai` or `local`: the prefix of a model's name."""

    is_free: bool
    """Whether requests cost nothing, so that interrupted runs may be repeated."""

    unsupported: frozenset[str]
    """
    Names of `Parameters` that this provider does not support, but for models whose
    `capabilities` say otherwise; see also `ModelsDiffer`. With `IMAGE_URLS`,
    an image has to come with its bytes.
    """

    async def default_model(self) -> str:
        """
        Return the model for prompts that name none.

        Raises:
            ProviderError: The provider had to be asked, and that failed.
        """
        ...

    async def models(self) -> Sequence[str]:
        """
        Return known models, the default one first; `serves` may accept others.

        Raises:
            ProviderError: The provider had to be asked, and that failed.
        """
        ...

    def serves(self, model: str) -> bool:
        """Return whether `model`, without the provider's prefix, may be requested."""
        ...

    def price(self, model: str) -> Price | None:
        """Return the price of `model`, if known."""
        ...

    async def capabilities(self, model: str) -> Capabilities:
        """
        Return what `model` can do, as far as that is known.

        What is not known yet may be asked for, so a plain prompt does without this.
        """
        ...

    def answer(self, request: CompletionRequest) -> AsyncGenerator[Event, None]:
        """
        Answer `request`: one `Accepted`, items and their deltas, one `Finished`.

        The request is sent when the iteration starts; closing the generator early
        cancels it. At least one await lies between two deltas, which are text that
        every database can store: no NUL, no lone surrogate.

        Raises:
            PromptRejected: The provider read the prompt and refused it.
            UnsupportedParameter: The model does not support one; nothing was sent.
            ProviderError: It refused for another reason, failed, or broke off; earlier
                deltas remain valid.
        """
        ...

    async def warm_up(self) -> None:
        """
        Prepare for the first prompt, such as by loading a model.

        Raises:
            ProviderError: It failed; later prompts may succeed.
        """
        ...

    async def close(self) -> None:
        """Release connections and child processes, after all answers have ended."""
        ...


@runtime_checkable
class ChecksSchemas(Protocol):
    """A provider that supports only some JSON schemas."""

    def check_schemas(self, parameters: Parameters) -> None:
        """
        Check the schemas of tools and of the response format.

        Raises:
            UnsupportedParameter: One is not supported.
        """
        ...


@runtime_checkable
class ModelsDiffer(Protocol):
    """A provider whose models support different parameters."""

    async def lacks(self, model: str, parameters: Collection[str]) -> frozenset[str]:
        """Return those of the parameters that a model does not support, by name."""
        ...

    async def check_images(self, model: str, images: Sequence[Image]) -> None:
        """
        Check images that a model is to be given.

        Raises:
            UnsupportedParameter: It cannot be given them.
        """
        ...

    async def check_values(self, model: str, parameters: Parameters) -> None:
        """
        Check the values of those parameters that a model does support.

        Raises:
            UnsupportedParameter: It does not support one.
        """
        ...


@runtime_checkable
class PromptsTools(Protocol):
    """A provider that may describe tools in the prompt, where models lack them."""

    def prompts_tools(self, model: str) -> bool:
        """Return whether it does so for a model."""
        ...


@runtime_checkable
class PromptsFormats(Protocol):
    """A provider that may ask for a response format in the prompt."""

    def prompts_format(self, model: str) -> bool:
        """Return whether it does so for a model."""
        ...


@runtime_checkable
class CountsTokens(Protocol):
    """A provider that can count the tokens of a prompt without answering it."""

    async def count_tokens(self, request: CompletionRequest) -> int:
        """
        Return how many tokens the model would read.

        Raises:
            PromptRejected: The provider refused the prompt.
            ProviderError: The provider cannot be asked.
        """
        ...


@runtime_checkable
class ModelLookup(Protocol):
    """A provider that can look up models which it does not list."""

    async def has_model(self, model: str) -> bool:
        """
        Return whether a model exists, as far as that can be found out.

        Raises:
            ProviderError: The provider cannot be asked.
        """
        ...


@runtime_checkable
class ReattachableProvider(Provider, Protocol):
    """
    A provider that continues answers without a connection, and returns them later.

    Where an answer may exist although `answer` or `resume` raised, the error's
    `answer_may_exist` is true.
    """

    is_idempotent: bool
    """
    Whether `answer` may be called again where an earlier call may have begun something:
    it returns the same answer, which is paid for once.
    """

    def resume(
        self, request: CompletionRequest, handle: str
    ) -> AsyncGenerator[Event, None]:
        """
        Fetch an accepted answer again: `Accepted`, deltas, `Finished`.

        The deltas are the whole text, from its start. Nothing is created or paid for.
        Closing the generator early cancels the answer.

        Raises:
            AnswerExpired: The provider has erased it.
            PromptRejected: The provider refused the prompt in the end.
            ProviderError: It failed, or the provider cannot be asked.
        """
        ...

    def detach(self) -> None:
        """Let answers continue when their generators are closed, as a server stops."""
        ...

    async def cancel(self, handle: str) -> None:
        """
        Cancel an answer; one that has ended stays as it is.

        Raises:
            ProviderError: The provider cannot be asked.
        """
        ...


@by_type
def is_reattachable(provider: Provider | None) -> TypeGuard[ReattachableProvider]:
    """Return whether answers of `provider` continue without a connection."""
    return isinstance(provider, ReattachableProvider)


def call_id_of(run_id: str, number: int) -> str:
    """Return the id of a tool call that came without one: the same at each attempt."""
    return f"call_{run_id.removeprefix('run_')}_{number}"


def may_continue(error: LlamaKeepError) -> bool:
    """Return whether the answer that this ended may be fetched again."""
    return isinstance(error, ProviderError) and error.answer_may_exist
