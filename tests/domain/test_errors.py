import re
from http import HTTPStatus

import pytest

from llamakeep import errors
from llamakeep.errors import (
    FieldError,
    InvalidRequest,
    LlamaKeepError,
    ProviderError,
    from_code,
    walk,
)

CLASSES = list(walk())


def test_every_code_is_one_classs_and_speaks_for_itself() -> None:
    codes = [error.code for error in CLASSES]

    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)


def test_every_title_is_one_classs_and_a_sentence() -> None:
    titles = [error.title for error in CLASSES]

    assert len(set(titles)) == len(titles)
    assert all(re.fullmatch(r"[A-Z].*\.", title) for title in titles)


@pytest.mark.parametrize("error", CLASSES)
def test_the_status_says_whose_fault_it_is(error: type[LlamaKeepError]) -> None:
    assert isinstance(error.status, HTTPStatus)
    is_clients = issubclass(error, errors.ClientError)
    # What a provider has erased is gone, whoever is at fault.
    assert is_clients == (error.status < 500) or error.status is HTTPStatus.GONE


@pytest.mark.parametrize("error", CLASSES)
def test_a_stored_error_is_raised_as_it_was(error: type[LlamaKeepError]) -> None:
    again = from_code(error.code, "This happened.")

    assert type(again) is error
    assert again.detail == str(again) == "This happened."


@pytest.mark.parametrize("code", [None, "", "of-a-newer-version"])
def test_a_stored_error_of_an_unknown_kind_is_the_providers(code: str | None) -> None:
    again = from_code(code, None)

    assert type(again) is ProviderError
    assert again.detail == ProviderError.title


def test_wrong_fields_are_named_in_the_detail() -> None:
    error = InvalidRequest(
        errors=[FieldError("prompt", "Say something."), FieldError("seed", "Too big.")]
    )

    assert error.detail == "prompt: Say something. seed: Too big."


def test_the_tree_is_drawn_as_it_is() -> None:
    drawn: list[tuple[str, str]] = []
    path = ["LlamaKeepError"]
    for line in (errors.__doc__ or "").splitlines():
        if branch := re.fullmatch(r"([│ ]*)[├└]── (\w+).*", line):
            depth = len(branch[1]) // 4 + 1
            drawn.append((path[depth - 1], branch[2]))
            path[depth:] = [branch[2]]

    assert sorted(drawn) == sorted(_tree(LlamaKeepError))


def _tree(base: type[LlamaKeepError]) -> list[tuple[str, str]]:
    pairs = []
    for child in base.__subclasses__():
        pairs += [(base.__name__, child.__name__), *_tree(child)]
    return pairs
