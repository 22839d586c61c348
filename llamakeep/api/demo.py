"""
The two users of the first README, whom everybody knows.

They exist in demo mode only: they have no password in the database, and their access
tokens are not recognised as such outside demo mode.
"""

from datetime import timedelta

from llamakeep.errors import ServerError, StorageUnavailable
from llamakeep.security.access_tokens import digest
from llamakeep.storage import Storage

PASSWORDS = {"alice": "secret1", "bob": "secret2"}
ACCESS_TOKENS = {f"token_{username}": username for username in PASSWORDS}

FOR_EVER = timedelta(days=36500)


async def add_demo_users(storage: Storage) -> None:
    """
    Let alice and bob in.

    Raises:
        ServerError: The database has a real user of that name.
    """
    for access_token, username in ACCESS_TOKENS.items():
        known = await storage.find_credentials(username)
        if known is None:
            user = await storage.add_user(username, None)
        elif known.password_hash is None:
            user = known.user
        else:
            raise _demo_refused(username)
        await storage.add_access_token(user, digest(access_token), lifetime=FOR_EVER)


def _demo_refused(username: str) -> ServerError:
    return StorageUnavailable(
        f"Demo mode would open the account of a real user, {username!r}. Give it a "
        "database of its own: LLAMAKEEP_DATABASE_URL=sqlite:///demo.db."
    )
