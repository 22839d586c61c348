"""Backups of a database, their restoration, and the verification of both."""

from llamakeep.storage.backup.backups import (
    back_up,
    copy,
    restore,
    verify,
    verify_database,
)
from llamakeep.storage.backup.examining import Findings

__all__ = ["Findings", "back_up", "copy", "restore", "verify", "verify_database"]
