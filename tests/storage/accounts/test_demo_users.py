import asyncio

from llamakeep.api.accounts.demo import add_demo_users
from llamakeep.credentials.demo import ACCESS_TOKENS
from llamakeep.credentials.tokens import digest
from llamakeep.storage import Storage


async def test_several_servers_may_make_the_demo_users_at_once(
    storage: Storage,
) -> None:
    await asyncio.gather(*(add_demo_users(storage) for _ in range(5)))

    for access_token, username in ACCESS_TOKENS.items():
        user = await storage.find_user_by_access_token(digest(access_token))
        assert user is not None
        assert user.username == username
