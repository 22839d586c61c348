"""Server settings: from the environment, `.env` and secret files."""

from llamakeep.settings.model import Settings

__all__ = ["Settings"]
