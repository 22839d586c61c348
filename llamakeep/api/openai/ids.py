"""Ids of OpenAI's kind: each is made of a run's, and leads back to it."""

import re

from llamakeep.domain import Run
from llamakeep.errors import RunNotFound

RUN = "run_"

_REST = re.compile(r"[0-9a-z]{26}")


def id_of(run: Run, prefix: str) -> str:
    """Return what `run`, or a part of it, is called here."""
    return prefix + run.id.removeprefix(RUN)


def run_id_of(given: str, prefix: str) -> str:
    """
    Return which run `given` stands for.

    Raises:
        RunNotFound: It cannot be an id of ours.
    """
    rest = given.removeprefix(prefix)
    if rest == given or not _REST.fullmatch(rest):
        raise RunNotFound(f"There is no {given[:64]!a} in your history.")
    return RUN + rest
