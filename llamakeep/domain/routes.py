"""The way of a prompt to an alias: which models it was or may be sent to."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from llamakeep.domain.runs import Parameters, Run


class Candidate(NamedTuple):
    """A model that may answer, and what the server says for it in the prompt."""

    provider: str
    model: str
    prompted_tools: bool | None = None
    prompted_format: bool | None = None


class Passed(NamedTuple):
    """A model that did not answer, and why the next one was asked."""

    model: str
    """`upstream:model`."""
    reason: str
    """The code of an error, or `circuit-open`."""
    was_asked: bool
    """Whether it was sent the prompt, or that was tried."""


def route_of(
    alias: str, candidates: Sequence[Candidate], passed: Sequence[Passed]
) -> Mapping[str, Any]:
    """Return what is kept of a route, but for the model that is asked first."""
    return {
        "alias": alias,
        "passed": [each._asdict() for each in passed],
        "left": [[*each] for each in candidates],
    }


def left_of(parameters: Parameters) -> Sequence[Candidate]:
    """Return the models of a run's alias that may be asked next."""
    route = parameters.route
    return [] if route is None else [Candidate(*each) for each in route["left"]]


def moved_on(run: Run, reason: str, *, was_asked: bool = True) -> Run:
    """Return a run as the next model of its alias has it, of which there is one."""
    assert run.parameters.route is not None
    route = run.parameters.route
    following, *left = left_of(run.parameters)
    passed = [Passed(**each) for each in route["passed"]]
    passed.append(Passed(f"{run.provider}:{run.model}", reason, was_asked))
    parameters = replace(
        run.parameters,
        prompted_tools=following.prompted_tools,
        prompted_format=following.prompted_format,
        route=route_of(route["alias"], left, passed),
    )
    return replace(
        run,
        provider=following.provider,
        model=following.model,
        parameters=parameters,
    )


def without(run: Run, upstream: str, reason: str) -> Run | None:
    """Return a run that is not to go to an upstream, if its alias has another one."""
    while run.provider == upstream:
        if not left_of(run.parameters):
            return None
        run = moved_on(run, reason, was_asked=False)
    route, left = run.parameters.route, left_of(run.parameters)
    if route is None or all(each.provider != upstream for each in left):
        return run
    passed = [Passed(**each) for each in route["passed"]]
    passed += [
        Passed(f"{each.provider}:{each.model}", reason, was_asked=False)
        for each in left
        if each.provider == upstream
    ]
    others = [each for each in left if each.provider != upstream]
    kept = route_of(route["alias"], others, passed)
    return replace(run, parameters=replace(run.parameters, route=kept))
