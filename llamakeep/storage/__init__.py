"""What is remembered: the only place where SQL is spoken."""

from llamakeep.storage.storage import Storage, open_storage

__all__ = ["Storage", "open_storage"]
