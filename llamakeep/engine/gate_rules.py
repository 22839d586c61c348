"""What opens and closes a gate: from one state to the next, nothing else."""

import random
from dataclasses import replace
from datetime import datetime, timedelta

from llamakeep.errors import (
    ProviderError,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnavailable,
)
from llamakeep.storage.runs.gates import Gate

FAILURES = 5
"""How many times in a row asking may fail."""

MOST_PAUSES = 6
"""How many times the first pause the gate is closed for at most, if it goes on."""

PROBE_TIME = 20
"""Seconds after which another run is sent first, if nothing was heard of one."""

PASSING = (ProviderRateLimited, ProviderUnavailable, ProviderTimeout)
"""What says something about when a provider can be asked."""


def closed(
    gate: Gate, seconds: float, error: ProviderError, probe: datetime | None
) -> Gate:
    """Close for that long at least, and let nobody come at the very moment it ends."""
    seconds *= random.uniform(1, 1.2)  # noqa: S311 - chance, not a secret
    until = gate.now + timedelta(seconds=seconds)
    if gate.closed_until is not None and gate.closed_until != probe:
        until = max(until, gate.closed_until)
    return replace(
        gate,
        closed_until=until,
        error_code=error.code,
        error_detail=error.detail,
    )


def failed(
    gate: Gate, pause: float, error: ProviderError, probe: datetime | None
) -> Gate:
    """Count a failure, and close when there are too many, longer each time."""
    gate = replace(gate, failures=gate.failures + 1)
    too_many = gate.failures - FAILURES
    if probe is None and too_many < 0:
        return gate
    return closed(gate, pause * min(2 ** max(0, too_many), MOST_PAUSES), error, probe)


def succeeded(gate: Gate, probe: datetime | None) -> Gate:
    """Forget failures; open, unless it was closed again after the probe was sent."""
    if probe is not None and gate.closed_until == probe:
        return Gate(gate.provider, gate.now)
    return replace(gate, failures=0)


def probed(gate: Gate) -> Gate:
    """Close for the others while one goes first, if it is time for that."""
    if gate.closed_until is None or gate.closed_until > gate.now:
        return gate
    return replace(gate, closed_until=gate.now + timedelta(seconds=PROBE_TIME))


def given_up(gate: Gate, probe: datetime) -> Gate:
    """Let another one go first."""
    return replace(gate, closed_until=gate.now) if gate.closed_until == probe else gate
