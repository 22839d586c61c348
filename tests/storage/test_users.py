import pytest

from llamakeep.domain import User
from llamakeep.errors import InvalidRequest
from llamakeep.storage import Storage


async def test_a_username_is_taken_whatever_its_case(
    storage: Storage, alice: User
) -> None:
    with pytest.raises(InvalidRequest, match="ALICE"):
        await storage.add_user("ALICE", None)

    assert await storage.list_users() == [alice]
