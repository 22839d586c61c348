"""Patterns of JSON schemas, with what the embedded model really makes of them."""

import pytest

from llamakeep.domain import Parameters
from llamakeep.errors import UnsupportedParameter
from llamakeep.providers.local.grammar import is_supported, unsupported_patterns
from llamakeep.providers.local.provider import LocalProvider
from llamakeep.providers.registry import Registry


@pytest.mark.parametrize(
    "pattern",
    [
        "^[A-Z]{3}$",
        "^(foo|bar)$",
        r"^\+?[0-9]{3}$",
        "^(?:ab|cd)$",
        "^a{2,}b$",
        r"^\.$",
        r"^[a-z\-]{3}$",
        "^$",
        "^(a|)b$",
        "^[0-9a-f]{8}-[0-9a-f]{4}$",
        r"^x\$$",
        r"^[\]a]{2}$",
        "^(ab){2}$",
        "^a/b$",
        "^(a(b|c))+d$",
        "^[À-ÿ]+$",
        "^(a{0,20}b){0,30}$",
    ],
)
def test_a_pattern_that_is_obeyed_is_let_through(pattern: str) -> None:
    assert is_supported(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\d{4}$",
        r"^\w+$",
        r"^\S+@\S+$",
        r"^[\w.]+$",
        r"^[a-z\d]$",
        r"^\bx$",
        r"^\u0041$",
        r"^\p{L}$",
        r"^\/x$",
        r"^[\.]$",
        "^.+@.+$",
        "^x.*y$",
        "^[^x]{4}$",
        "[A-Z]{3}",
        "^[A-Z]",
        "[A-Z]$",
        "",
        "^",
        r"^a\$",
        "^a$b$",
        "^a^b$",
        "^a+?$",
        "^a++$",
        "^*a$",
        "^(*a)$",
        "^(?=a)a$",
        "^(?!a)b$",
        "^(?<n>a)$",
        "^(?i)a$",
        "^(a$",
        "^a)$",
        "^[a$",
        "^[ -~]$",
        "^[z-a]$",
        "^[[:alpha:]]$",
        '^a"b$',
        r"^\\$",
        "^é{2}$",
        "^a\tb$",
        "^a{9999}$",
        "^(a{0,50}){0,50}$",
        "^((a{2,99})+b{2}){11}$",
        "^" + "(" * 300 + "a" + "{0,999})" * 300 + "$",
    ],
)
def test_a_pattern_that_is_not_obeyed_is_found(pattern: str) -> None:
    assert not is_supported(pattern)


@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": "^.$"},
        {"properties": {"pattern": {"pattern": "^.$"}}},
        {"$defs": {"A": {"anyOf": [{"type": "null"}, {"pattern": "^.$"}]}}},
        {"items": {"additionalProperties": {"pattern": "^.$"}}},
        {"patternProperties": {"^.$": {}}},
    ],
)
def test_patterns_are_found_wherever_they_are(schema: dict[str, object]) -> None:
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}

    assert list(unsupported_patterns(asked)) == ["^.$"]


def test_what_is_only_called_a_pattern_is_none() -> None:
    schema = {
        "properties": {"pattern": {"type": "string"}},
        "enum": [{"pattern": "^.$"}],
        "default": {"pattern": "^.$"},
    }

    assert list(unsupported_patterns(schema)) == []


async def test_a_pattern_that_cannot_be_kept_to_is_refused_by_name(
    local: LocalProvider,
) -> None:
    wanted = {"json_schema": {"schema": {"pattern": r"^\d{4}$"}}}
    given = Parameters(response_format=wanted)

    with pytest.raises(UnsupportedParameter) as caught:
        await Registry([local]).check_parameters(local, "any", given)

    assert repr(r"^\d{4}$") in caught.value.detail
    assert "Nothing was stored" in caught.value.detail
    assert caught.value.parameters == ("response_format",)
