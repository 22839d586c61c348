"""What opens and closes a circuit: from one state to the next, nothing else."""

import random
from dataclasses import replace
from datetime import datetime, timedelta

from llamakeep.errors import (
    ProviderError,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnavailable,
)
from llamakeep.storage.runs.circuits import Circuit

FAILURES = 5
"""How many times in a row asking may fail."""

LONGEST_PAUSE = 300
"""Seconds for which one is open at most, whatever the provider says."""

MOST_PAUSES = 6
"""How many times the first pause a circuit is open for at most."""

PROBE_TIME = 20
"""Seconds after which another run is the probe, if nothing is known of the first."""

PASSING = (ProviderRateLimited, ProviderUnavailable, ProviderTimeout)
"""What says something about when a provider can be asked."""


def opened(
    circuit: Circuit, seconds: float, error: ProviderError, probe: datetime | None
) -> Circuit:
    """Open for that long at least, and a little longer: not all come at its end."""
    seconds *= random.uniform(1, 1.2)  # noqa: S311 - chance, not a secret
    until = circuit.now + timedelta(seconds=seconds)
    if circuit.open_until is not None and circuit.open_until != probe:
        until = max(until, circuit.open_until)
    return replace(
        circuit,
        open_until=until,
        error_code=error.code,
        error_detail=error.detail,
    )


def failed(
    circuit: Circuit, pause: float, error: ProviderError, probe: datetime | None
) -> Circuit:
    """Count a failure, and open when there are too many, for longer each time."""
    circuit = replace(circuit, failures=circuit.failures + 1)
    too_many = circuit.failures - FAILURES
    if probe is None and too_many < 0:
        return circuit
    return opened(
        circuit, pause * min(2 ** max(0, too_many), MOST_PAUSES), error, probe
    )


def succeeded(circuit: Circuit, probe: datetime | None) -> Circuit:
    """Forget failures; close, unless it was opened again after the probe was sent."""
    if probe is not None and circuit.open_until == probe:
        return Circuit(circuit.provider, circuit.now)
    return replace(circuit, failures=0)


def probed(circuit: Circuit) -> Circuit:
    """Half open, with one run as the probe, if it is time for that."""
    if circuit.open_until is None or circuit.open_until > circuit.now:
        return circuit
    return replace(circuit, open_until=circuit.now + timedelta(seconds=PROBE_TIME))


def given_up(circuit: Circuit, probe: datetime) -> Circuit:
    """Let another run be the probe."""
    return (
        replace(circuit, open_until=circuit.now)
        if circuit.open_until == probe
        else circuit
    )
