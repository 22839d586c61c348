"""Conversion between run ids and ids of OpenAI's format."""

import re

from llamakeep.domain import Run
from llamakeep.errors import RunNotFound

RUN = "run_"

_REST = re.compile(r"[0-9a-z]{26}")


def id_of(run: Run, prefix: str) -> str:
    """Return the id of `run`, or of a part of it, with `prefix`."""
    return prefix + run.id.removeprefix(RUN)


def run_id_of(given: str, prefix: str) -> str:
    """
    Return the run id that `given` is made from.

    Raises:
        RunNotFound: `given` has another format.
    """
    rest = given.removeprefix(prefix)
    if rest == given or not _REST.fullmatch(rest):
        raise RunNotFound(f"There is no {given[:64]!a} in your history.")
    return RUN + rest
