"""Which parameters of a prompt ask for what a model cannot do."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from itertools import islice
from typing import TypeGuard

from llamakeep.domain import Capabilities, Parameters
from llamakeep.domain.capabilities import CAPABILITIES
from llamakeep.domain.runs import TOOL_PARAMETERS
from llamakeep.providers.base import (
    ModelsDiffer,
    PromptsFormats,
    PromptsTools,
    Provider,
)
from llamakeep.providers.embedding import Embedder
from llamakeep.providers.kinds import by_type

CAPABILITY_OF: Mapping[str, str] = {
    "tools": "tools",
    "tool_choice": "tools",
    "parallel_tool_calls": "tools",
    "response_format": "json_schema",
    "reasoning_effort": "reasoning",
    "logprobs": "logprobs",
    "top_logprobs": "logprobs",
}
"""By a parameter's name: what a model has to be able to do for it."""

_MOST_CANDIDATES = 1000
"""How many models of a provider may be looked at for one that fits."""
_PARAMETERS = frozenset(each.name for each in fields(Parameters))
_FALLBACKS: Mapping[str, str] = {
    capability: parameter
    for parameter, capability in CAPABILITY_OF.items()
    if parameter not in {"tool_choice", "parallel_tool_calls", "top_logprobs"}
} | {"parallel_tools": "tools", "images": "images"}
"""By a capability: the parameter that nothing supports which lacks it."""

_OF_ALL = Capabilities(n=True)
"""What is the same for all: several answers are asked for one by one."""
_UNLESS_SAID = Capabilities(prefill=False)
"""What few can do, and those that cannot do not refuse."""


async def capabilities_of(provider: Provider, model: str) -> Capabilities:
    """Return what a model can do, as far as it or its provider is known."""
    known = _OF_ALL.or_else(await provider.capabilities(model)).or_else(_UNLESS_SAID)
    if not (unsupported := provider.unsupported):
        return known
    return known.or_else(
        Capabilities(
            **{
                capability: False
                for capability, parameter in _FALLBACKS.items()
                if parameter in unsupported
            }
        )
    )


def needs_by_name(names: Collection[str]) -> Mapping[str, str | None]:
    """Return the needs that parameters and capabilities are, by their names."""
    return {
        name: name if name in CAPABILITIES else CAPABILITY_OF.get(name)
        for name in names
    }


def needs_of(parameters: Parameters) -> Mapping[str, str | None]:
    """Return the needs that parameters are, but for those that change nothing."""
    needs = {name: CAPABILITY_OF.get(name) for name in parameters.given()}
    form = parameters.response_format
    if form is not None and form.get("type") != "json_schema":
        needs["response_format"] = None  # any JSON is less than that of a schema
    idle = {*idle_in(parameters), "prompted_tools", "prompted_format"}
    return {name: needs[name] for name in needs if name not in idle}


def idle_in(parameters: Parameters) -> frozenset[str]:
    """Return the names of those parameters that change nothing."""
    idle = {
        # A model that does not think thinks as little as that.
        "reasoning_effort": parameters.reasoning_effort == "none",
        "tool_choice": parameters.tool_choice in ("auto", "none"),
        "parallel_tool_calls": parameters.parallel_tool_calls is True,
    }
    return frozenset([name for name, is_idle in idle.items() if is_idle])


async def lacking(
    provider: Provider, model: str, needs: Mapping[str, str | None]
) -> frozenset[str]:
    """
    Return the names of those needs that a model does not meet.

    Where it is not known what the model can do, its provider decides.
    """
    can = await capabilities_of(provider, model)
    if models_differ(provider):
        lacked = await provider.lacks(model, _PARAMETERS.intersection(needs))
    else:
        lacked = provider.unsupported.intersection(needs)
        lacked -= {name for name in lacked if _is_able(can, name, needs[name])}
    if not lacked.isdisjoint(TOOL_PARAMETERS) and prompts_tools(provider, model):
        lacked -= TOOL_PARAMETERS
    if "response_format" in lacked and prompts_format(provider, model):
        lacked -= {"response_format"}
    lacked |= {
        name
        for name, capability in needs.items()
        if capability is not None and getattr(can, capability) is False
    }
    if "embeddings" in needs and not isinstance(provider, Embedder):
        lacked |= {"embeddings"}
    if "tools" in lacked:  # the others say nothing without them
        lacked -= TOOL_PARAMETERS - {"tools"}
    return lacked


def _is_able(can: Capabilities, name: str, capability: str | None) -> bool:
    if capability is None and name == "response_format":
        capability = "json_schema"
    return capability is not None and getattr(can, capability) is True


async def able_model(
    provider: Provider,
    needs: Mapping[str, str | None],
    *,
    is_default: bool,
    may_ask: Callable[[str], bool],
) -> str | None:
    """
    Return a model that meets needs: the default one, or the first one known to.

    `may_ask` says of `provider:model` whether it may be named.

    Raises:
        ProviderError: The provider had to be asked for its models, and that failed.
    """
    if is_default:  # it may be tried where that is not known
        model = await provider.default_model()
        if not may_ask(f"{provider.name}:{model}"):
            return None
        return None if await lacking(provider, model, needs) else model
    wanted, name = [*filter(None, needs.values())], provider.name
    known = (each for each in await provider.models() if may_ask(f"{name}:{each}"))
    for model in islice(known, _MOST_CANDIDATES):
        can = await capabilities_of(provider, model)
        is_able = all(getattr(can, capability) for capability in wanted)
        if is_able and not await lacking(provider, model, needs):
            return model
    return None


def prompts_tools(provider: Provider, model: str) -> bool:
    """Return whether a provider describes tools to a model in the prompt."""
    return _may_prompt_tools(provider) and provider.prompts_tools(model)


def prompts_format(provider: Provider, model: str) -> bool:
    """Return whether a provider asks a model for a format in the prompt."""
    return _may_prompt_formats(provider) and provider.prompts_format(model)


@by_type
def models_differ(provider: Provider) -> TypeGuard[ModelsDiffer]:
    """Return whether the models of a provider support different parameters."""
    return isinstance(provider, ModelsDiffer)


@by_type
def _may_prompt_tools(provider: Provider) -> TypeGuard[PromptsTools]:
    return isinstance(provider, PromptsTools)


@by_type
def _may_prompt_formats(provider: Provider) -> TypeGuard[PromptsFormats]:
    return isinstance(provider, PromptsFormats)
