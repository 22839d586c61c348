"""The metadata of all tables, to which importing them adds them."""

from llamakeep.storage.accounts import tables as _accounts  # noqa: F401
from llamakeep.storage.database import tables as _others  # noqa: F401
from llamakeep.storage.database.columns import metadata

__all__ = ["metadata"]
