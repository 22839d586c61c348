"""What the process says about itself: one line a record, to standard error."""

import logging
import re
import sys
import time

_SECRET = re.compile(
    r"(?i:(?<=bearer ))[^\s\"',;]+|\b(?:lk[ars]?_|r8_|sk-)[\w-]{16,}"
    r"|\btoken_(?:alice|bob)\b"
)
"""Access tokens, ours and those of providers, wherever they may have got to."""
_LINE_BREAK = re.compile(r"[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+")


class LineFormatter(logging.Formatter):
    """
    Writes a record as one line, however many its message or its traceback have.

    What looks like an access token is left out. Prompts and responses are never handed
    to a logger in the first place.
    """

    converter = staticmethod(time.gmtime)
    default_msec_format = "%s.%03dZ"
    default_time_format = "%Y-%m-%dT%H:%M:%S"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return _SECRET.sub("[secret]", _LINE_BREAK.sub(" | ", super().format(record)))


def set_up_logging(level: str) -> None:
    """
    Log what llamakeep says from `level` on, and warnings of everybody else.

    Args:
        level: One of `Settings.log_level`'s words.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("llamakeep").setLevel(level.upper())
    logging.captureWarnings(capture=True)
