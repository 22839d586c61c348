"""How records of the log are written: one line each, as text or as JSON."""

import json
import logging
import re
import time
import traceback
from collections.abc import Iterator
from typing import Any

from llamakeep.errors import LlamaKeepError, ServerError
from llamakeep.logs.context import SERVED
from llamakeep.logs.redaction import without_secrets

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
        line = without_secrets(_LINE_BREAK.sub(" | ", super().format(record)))
        request_id = _request_id()
        return f"{line} request={request_id}" if request_id else line

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Return the traceback, of the error first and then of what caused it."""
        return traceback_of(ei[1])


class JsonFormatter(logging.Formatter):
    """Writes a record as a JSON object on one line; it leaves out what lines do."""

    def __init__(self, *, with_process: bool = False) -> None:
        super().__init__()
        self._with_process = with_process

    def format(self, record: logging.LogRecord) -> str:
        """Return the object."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        facts: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
        }
        if self._with_process:
            facts["process"] = record.process
        if record.exc_info and record.exc_info[1] is not None:
            facts["error"] = without_secrets(traceback_of(record.exc_info[1]))
        request_id = _request_id()
        if request_id:
            facts["request_id"] = request_id
        return json.dumps(facts)


def traceback_of(error: BaseException | None) -> str:
    """Return the traceback, of the error first and then of what caused it."""
    return "\nbecause of ".join(_told(error))


def _request_id() -> str | None:
    served = SERVED.get()
    return None if served is None else served.request_id


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
