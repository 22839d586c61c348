"""Logging to standard error, one line a record."""

import logging
import re
import sys
import time
import traceback
from collections.abc import Iterator
from typing import Any

from llamakeep.errors import LlamaKeepError, ServerError

_SECRET = re.compile(
    r"(?i:(?<=bearer )|(?<=://)(?=[^\s/@]*:[^\s/@]*@)"
    r"|\b(?:authorization|cookie|x-api-key|password)[\"']?\s*[:=]\s*[\"']?"
    r"(?:(?:basic|bearer|token)\s+)?)[^\s\"',;@]+"
    r"|\b(?:lk[ars]?_|r8_|sk-|whsec_)[\w+/=-]{16,}"
    r"|\btoken_(?:alice|bob)\b"
)
"""Access tokens, ours and those of providers, and passwords, wherever they got to."""
_LINE_BREAK = re.compile(r"[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+")


class LineFormatter(logging.Formatter):
    """
    Writes a record as one line, however many its message or its traceback have.

    What looks like an access token or a password is left out. Prompts and responses are
    never handed to a logger in the first place; errors that may quote them are named,
    and not told.
    """

    converter = staticmethod(time.gmtime)
    default_msec_format = "%s.%03dZ"
    default_time_format = "%Y-%m-%dT%H:%M:%S"

    def __init__(self, *, with_process: bool = False) -> None:
        process = " [%(process)d]" if with_process else ""
        super().__init__(f"%(asctime)s{process} %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        record.exc_text = None  # what another handler made of it tells more
        return _SECRET.sub("[secret]", _LINE_BREAK.sub(" | ", super().format(record)))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Return the traceback, of the error first and then of what caused it."""
        return "\nbecause of ".join(_told(ei[1]))


def _told(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        kind = type(error)
        name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        said = "" if _may_quote(error) else f": {error}"
        yield f"{''.join(traceback.format_tb(error.__traceback__))}{name}{said}"
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions:
                yield from _told(one)
        is_silent = error.__suppress_context__
        error = error.__cause__ or (None if is_silent else error.__context__)


def _may_quote(error: BaseException) -> bool:
    """Return whether its text may have a prompt in it, or what a provider said."""
    is_ours = isinstance(error, LlamaKeepError) and not isinstance(error, ServerError)
    # Those of Pydantic and FastAPI list what was found instead of what is valid.
    return is_ours or hasattr(error, "errors")


def set_up_logging(level: str, *, with_process: bool = False) -> None:
    """Log llamakeep's records from `level` on, and warnings of libraries."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(with_process=with_process))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("llamakeep").setLevel(level.upper())
    logging.captureWarnings(capture=True)
