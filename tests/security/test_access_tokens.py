import hashlib
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llamakeep.credentials.tokens import (
    digest,
    is_api_key,
    is_well_formed,
    new_access_token,
    new_api_key,
)


def test_an_access_token_is_recognised_as_ours() -> None:
    access_token = new_access_token()

    assert len(access_token) == len("lka_") + 43 + 6
    assert is_well_formed(access_token)
    assert not is_api_key(access_token)


def test_an_api_key_is_recognised_as_ours() -> None:
    api_key = new_api_key()

    assert len(api_key) == len("lk_") + 43 + 6
    assert is_well_formed(api_key)
    assert is_api_key(api_key)


def test_no_access_token_is_handed_out_twice() -> None:
    access_tokens = {new_access_token() for _ in range(1000)}

    assert len(access_tokens) == 1000


@pytest.mark.parametrize("position", range(53))
def test_an_access_token_with_one_wrong_character_is_refused(position: int) -> None:
    access_token = new_access_token()
    others = set(string.ascii_letters + string.digits) - {access_token[position]}

    accepted = [
        other
        for other in others
        if is_well_formed(
            access_token[:position] + other + access_token[position + 1 :]
        )
    ]

    assert accepted == []


def test_an_access_token_with_something_around_it_is_refused() -> None:
    access_token = new_access_token()

    assert not is_well_formed(access_token + "\n")
    assert not is_well_formed(" " + access_token)
    assert not is_well_formed(access_token[:-1])
    assert not is_well_formed(access_token * 100_000)


def test_the_demo_users_access_tokens_are_not_of_our_form() -> None:
    assert not is_well_formed("token_alice")
    assert not is_well_formed("token_bob")


GARBAGE = st.one_of(
    st.text(alphabet=st.characters()),
    st.text("lk_09AZaz\u0660\ud800\n", max_size=60),
    st.text("0Az", min_size=49, max_size=49).map("lk_".__add__),
    st.binary(),
    st.integers(),
    st.none(),
)


@given(GARBAGE)
def test_garbage_is_refused_without_an_error(garbage: object) -> None:
    assert is_well_formed(garbage) is False


@given(st.text(alphabet=st.characters()))
@example("half a surrogate pair: \ud800")
def test_anything_has_a_digest(value: str) -> None:
    assert len(digest(value)) == 32


def test_the_digest_is_sha_256() -> None:
    access_token = new_access_token()

    assert digest(access_token) == hashlib.sha256(access_token.encode()).digest()
