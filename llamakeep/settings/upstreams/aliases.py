"""Aliases: each name's models, in the order in which they are asked."""

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from llamakeep.settings.upstreams.model import (
    NAME,
    Member,
    OpenAIUpstream,
    Step,
    Upstream,
)

MOST_COMPARED = 1000
"""Of more names, the nearest one takes too long to find: the file may name many."""

Report = Callable[[Sequence[str], str, str | None], None]
"""Takes where a mistake is, what is wrong, and what is mentioned there."""


class AliasReader:
    """
    Reads aliases, which may name each other.

    Args:
        given: What the file has.
        upstreams: The upstreams of the file.
        others: Those of the environment: their models, or `None` if they serve any.
        report: Takes mistakes.
    """

    def __init__(
        self,
        given: Mapping[str, Any],
        upstreams: Mapping[str, Upstream],
        others: Mapping[str, Sequence[str] | None],
        report: Report,
    ) -> None:
        self._given = given
        self._upstreams = upstreams
        self._report = report
        self._models: dict[str, Sequence[str] | None] = dict(others)
        self._models |= {
            name: each.models or None if isinstance(each, OpenAIUpstream) else None
            for name, each in upstreams.items()
        }
        self._others = others
        self._known: dict[str, Sequence[Step]] = {}
        self._open: list[str] = []

    def read(self) -> Mapping[str, Sequence[Step]]:
        """Return all aliases, each with no other one in it."""
        return {name: self._alias(name) for name in self._given}

    def _alias(self, name: str) -> Sequence[Step]:
        if name in self._known:
            return self._known[name]
        place, steps = ("aliases", name), self._given[name]
        if not re.fullmatch(NAME, name) or name in self._models:
            taken = "is an upstream's name" if name in self._models else "is no name"
            self._report(
                place,
                f"{name!r} {taken}. Call the alias otherwise: up to 32 letters, "
                "digits, hyphens, dots and underscores.",
                None,
            )
        if not isinstance(steps, list) or not steps:
            self._report(
                place,
                f'aliases.{name} has to be a list of models, such as ["a:model", '
                '"b:model"].',
                None,
            )
            steps = []
        self._open.append(name)
        found: list[Step] = []
        for step in steps:
            found += self._step(place, step)
        self._open.pop()
        self._known[name] = found
        return found

    def _step(self, place: Sequence[str], step: Any) -> Sequence[Step]:
        if isinstance(step, str):
            if step in self._open:
                circle = " -> ".join([*self._open[self._open.index(step) :], step])
                self._report(
                    place,
                    f"The alias {step!r} leads to itself: {circle}. Remove one of "
                    "them.",
                    step,
                )
                return []
            if step in self._given:
                return self._alias(step)
            member = self._member(place, step, 1)
            return [] if member is None else [[member]]
        if not isinstance(step, dict) or not step:
            self._report(
                place,
                f"{step!r} is no model. Write a model's name in quotes, or a table of "
                'equal ones with their weights, such as {"a:model" = 3, "b:model" = '
                "1}.",
                None,
            )
            return []
        equals = []
        for name, weight in step.items():
            is_number = isinstance(weight, int | float) and type(weight) is not bool
            if not is_number or not 0 < weight < 1e9:
                self._report(
                    place,
                    f"The weight of {name!r} has to be a number above 0, and is "
                    f"{weight!r}.",
                    name,
                )
                continue
            member = self._member(place, name, weight)
            if member is not None:
                equals.append(member)
        return [equals] if equals else []

    def _member(self, place: Sequence[str], name: str, weight: float) -> Member | None:
        prefix, _, model = name.partition(":")
        if prefix in self._models:
            models = self._models[prefix]
            if not model:
                return self._default(place, prefix, weight)
            if models is None or model in models:
                return Member(prefix, model, weight)
            self._report(
                place,
                f"The upstream {prefix!r} does not serve {model!r}"
                f"{meant(model, models)}. Add it to its `models`, or name one of "
                "them.",
                name,
            )
            return None
        for upstream, models in self._models.items():
            if models is not None and name in models:
                return Member(upstream, name, weight)
        known = [
            *self._models,
            *self._given,
            *(f"{each}:{m}" for each, of in self._models.items() for m in of or ()),
        ]
        self._report(
            place,
            f"No upstream serves {name!r}{meant(name, known)}. Write it as "
            "`upstream:model`, with an upstream of this file or of the environment.",
            name,
        )
        return None

    def _default(self, place: Sequence[str], name: str, weight: float) -> Member | None:
        upstream = self._upstreams.get(name)
        is_asked = isinstance(upstream, OpenAIUpstream) and not upstream.models
        if is_asked or (name == "openai" and not self._models[name]):
            self._report(
                place,
                f"{name!r} would have to be asked for its default model. Write "
                f"`{name}:MODEL`, or give it `models`.",
                name,
            )
            return None
        return Member(name, None, weight)


def meant(name: str, known: Sequence[str]) -> str:
    """Return ` (did you mean …?)`, if something known looks like `name`."""
    if len(known) > MOST_COMPARED:
        return ""
    near = get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
