"""Logs: records as lines or JSON, and a line for each request."""

import logging
import sys
from typing import TYPE_CHECKING

from llamakeep.logs.formats import JsonFormatter, LineFormatter

if TYPE_CHECKING:
    from llamakeep.logs.access import AccessLog
    from llamakeep.settings import Settings
    from llamakeep.settings.values import LogFormat

__all__ = ["open_access_log", "set_up_logging"]


def set_up_logging(
    level: str, *, log_format: "LogFormat" = "line", with_process: bool = False
) -> None:
    """Log llamakeep's records from `level` on, and warnings of libraries."""
    formatter = JsonFormatter if log_format == "json" else LineFormatter
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(with_process=with_process))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("llamakeep").setLevel(level.upper())
    logging.captureWarnings(capture=True)


def open_access_log(
    settings: "Settings", *, with_process: bool = False
) -> "AccessLog | None":
    """Return what writes a line for each request, if the settings want that."""
    if not settings.access_log or settings.log_level not in {"debug", "info"}:
        return None
    from llamakeep.logs.access import AccessLog  # noqa: PLC0415 - not for all commands

    return AccessLog(
        sys.stderr,
        log_format=settings.log_format,
        with_process=with_process,
        has_probes=settings.log_level == "debug",
    )
