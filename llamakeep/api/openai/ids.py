"""Ids of OpenAI's kind: each is made of a run's, and leads back to it."""

import re

RUN = "run_"
RESPONSE = "resp_"
MESSAGE = "msg_"

_REST = re.compile(r"[0-9a-z]{26}")


def id_of(run_id: str, prefix: str) -> str:
    """Return what a run, or a part of it, is called here."""
    return prefix + run_id.removeprefix(RUN)


def run_id_of(given: str, prefix: str) -> str | None:
    """Return which run `given` stands for, unless it cannot be one of ours."""
    rest = given.removeprefix(prefix)
    if rest == given or not _REST.fullmatch(rest):
        return None
    return RUN + rest
