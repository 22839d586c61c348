"""What models can do."""

from collections.abc import Iterator
from dataclasses import fields

from llamakeep.domain.values import value


@value
class Capabilities:
    """
    What a model can do at its provider.

    `None` means that this is not known: then the model is asked, and may refuse.
    """

    tools: bool | None = None
    """Call tools, by a parameter or described in the prompt."""
    parallel_tools: bool | None = None
    """Call several tools in one answer."""
    images: bool | None = None
    """See images."""
    json_schema: bool | None = None
    """Answer with JSON that a schema describes."""
    reasoning: bool | None = None
    """Think as much as `reasoning_effort` says."""
    logprobs: bool | None = None
    """Say how likely its tokens were."""
    n: bool | None = None
    """Give several answers to a prompt."""
    prefill: bool | None = None
    """Continue an assistant's message."""
    embeddings: bool | None = None
    """Turn texts into vectors."""

    def __iter__(self) -> Iterator[tuple[str, bool | None]]:
        """Yield each by its name."""
        for name in CAPABILITIES:
            yield name, getattr(self, name)

    def or_else(self, other: "Capabilities") -> "Capabilities":
        """Return these, and of those that are not known here what `other` says."""
        return Capabilities(
            **{
                name: is_able if is_able is not None else getattr(other, name)
                for name, is_able in self
            }
        )


CAPABILITIES = tuple(each.name for each in fields(Capabilities))
UNKNOWN = Capabilities()
