"""`llamakeep.toml`: what it may contain, and at which lines its mistakes are."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llamakeep.domain import Limits
from llamakeep.settings.upstreams import (
    Member,
    OpenAIUpstream,
    Upstreams,
    UpstreamsFault,
    read,
    with_local,
)
from llamakeep.settings.upstreams.reading import LARGEST, MOST_MISTAKES
from llamakeep.workers.config import pack_upstreams, unpack_upstreams
from tests.fixtures import forget_surroundings
from tests.providers.asking import settings

GOOD = """\
[upstreams.groq]
kind = "openai"
base_url = "http://127.0.0.1:1/v1"
key_variable = "GROQ_KEY"
models = ["llama-4", "llama-3"]
extra_fields = ["min_p"]
connect_timeout = 2
unavailable_is_free = true
headers = { X-Team = "a" }
prices.llama-4 = { input = 0.2, output = 0.6 }

[upstreams.groq.capabilities.llama-4]
tools = true
context = 8192

[upstreams.hosted]
kind = "replicate"
key_file = "token"

[aliases]
fast = ["groq:llama-4", "hosted", "local"]
any = [{ "llama-3" = 3, "hosted:meta/x" = 1 }, "fast"]

[limits.groq]
dollars_per_day = 0.1
tokens_per_month = 1000

[limits.fast]
concurrent_runs = 8

[roles.user]
models = ["fast", "groq:*", "hosted:meta/x"]
"""


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing outside the test has a say in settings."""
    forget_surroundings(monkeypatch, tmp_path)


def said(tmp_path: Path, text: str, **given: Any) -> Upstreams:
    """Return what a file with this text says."""
    path = tmp_path / "llamakeep.toml"
    path.write_text(text)
    return read(settings(config=path, **given))


def mistakes_in(tmp_path: Path, text: str) -> list[str]:
    """Return the mistakes of a file with this text, without its path."""
    with pytest.raises(UpstreamsFault) as caught:
        said(tmp_path, text)
    return [
        str(each).removeprefix(f"{tmp_path}/llamakeep.toml:")
        for each in caught.value.mistakes
    ]


def test_a_file_names_upstreams_and_aliases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_KEY", "gsk_secret")
    (tmp_path / "token").write_text("r8_token\n")

    found = said(tmp_path, GOOD)

    groq, hosted = found.upstreams["groq"], found.upstreams["hosted"]
    assert isinstance(groq, OpenAIUpstream)
    assert groq.key is not None
    assert groq.key.get_secret_value() == "gsk_secret"
    assert groq.price_by_model["llama-4"].output * 10 == 6
    assert groq.capabilities["llama-4"].context == 8192
    assert hosted.kind == "replicate"
    fast = [
        [Member("groq", "llama-4")],
        [Member("hosted", None)],
        [Member("local", None)],
    ]
    assert found.aliases["fast"] == fast
    equal = [Member("groq", "llama-3", 3), Member("hosted", "meta/x", 1)]
    assert found.aliases["any"] == [equal, *fast]
    assert found.limits["groq"].dollars_per_day == Decimal("0.1")
    assert found.limits["fast"] == Limits(concurrent_runs=8)
    assert found.roles == {"user": {"fast", "groq:*", "hosted:meta/x"}}
    assert "gsk_secret" not in repr(found) + repr(groq)


def test_every_mistake_is_reported_with_its_line_and_its_fix(tmp_path: Path) -> None:
    text = """\
timeout = 3

[upstreams.one]
kind = "openai"
base_ur = "http://127.0.0.1:1/v1"
connect_timeout = "soon"

[upstreams.two]
kind = "opnai"

[upstreams.three]
kind = "openai"
base_url = "http://127.0.0.1:1/v1"
key_variable = "NOT_THERE"
models = ["a"]
prices.a = { input = 1, ouput = 2 }
parallel = 0

[upstreams.four]
kind = "openai"
base_url = "http://127.0.0.1:1/v1"
key = "sk-secret"

[upstreams.five]
kind = "replicate"

[upstreams.six]
kind = "openai"
base_url = "http://127.0.0.1:1/v1"
key_file = "nowhere"
models = ["b"]

[aliases]
circle = ["back"]
back = ["circle"]
wrong = [
    "six:b",
    "six:c",
    "sicks:b",
]
heavy = [{ "six:b" = 0 }]
none = []

[limits.fiv]
dollars_per_day = 1

[limits.six]
concurrent_runs = 1

[limits.three]
dollar_per_day = 1
tokens_per_day = "many"

[roles.guest]
models = ["six:b"]

[roles.user]
models = [
    "six:*",
    "fiv:b",
]
"""

    assert mistakes_in(tmp_path, text) == [
        "1: 'timeout' is not known. Known are: upstreams, aliases, limits, roles.",
        "3: upstreams.one.base_url is missing. Add `base_url = …`.",
        (
            "5: upstreams.one.base_ur is not known (did you mean "
            "'base_url'?). Known are: key_variable, key_file, prices, capabilities, "
            "connect_timeout, silence_timeout, parallel, kind, base_url, headers, "
            "models, extra_fields, unavailable_is_free, background, "
            "idempotency_header."
        ),
        "6: upstreams.one.connect_timeout: It has to be a number.",
        (
            "9: upstreams.two.kind is 'opnai' (did you mean 'openai'?). "
            "Set it to one of: openai, replicate, local."
        ),
        ("16: upstreams.three.prices.a.output is missing. Add `output = …`."),
        (
            "16: upstreams.three.prices.a.ouput is not known (did you mean "
            "'output'?). Known are: input, output."
        ),
        "17: upstreams.three.parallel: It has to be more than 0.",
        (
            "19: upstreams.four: A key is not written into this file. Name "
            "where it is, with `key_variable` or `key_file`."
        ),
        (
            "24: upstreams.five needs an API token. Name the variable that "
            'has it: key_variable = "REPLICATE_API_TOKEN".'
        ),
        (
            "30: upstreams.six.key_file: "
            f"{tmp_path}/nowhere cannot be read: No such file or directory. Write the "
            "key into that file, or name another."
        ),
        (
            "35: The alias 'circle' leads to itself: circle -> back -> "
            "circle. Remove one of them."
        ),
        (
            "38: The upstream 'six' does not serve 'c'. Add it to its "
            "`models`, or name one of them."
        ),
        (
            "39: No upstream serves 'sicks:b' (did you mean 'six:b'?). "
            "Write it as `upstream:model`, with an upstream of this file or of "
            "the environment."
        ),
        "41: The weight of 'six:b' has to be a number above 0, and is 0.",
        (
            '42: aliases.none has to be a list of models, such as ["a:model"'
            ', "b:model"].'
        ),
        (
            "44: limits.fiv: there is no such upstream or alias (did you mean "
            "'five'?). Name one of: one, two, three, four, five, six, local, "
            "circle, back, wrong, heavy, none."
        ),
        (
            "48: limits.six.concurrent_runs is for aliases. Set `parallel` of the "
            "upstream instead, for which prompts wait."
        ),
        (
            "51: limits.three.dollar_per_day is not known (did you mean "
            "'dollars_per_day'?). Known are: concurrent_runs, tokens_per_day, "
            "tokens_per_month, dollars_per_day, dollars_per_month."
        ),
        "52: limits.three.tokens_per_day: It has to be a whole number.",
        "54: roles.guest is not known. Known are: user, admin.",
        (
            "60: roles.user.models: 'fiv:b' is no alias, and no model of an upstream "
            "(did you mean 'five:*'?). Write an alias, `upstream:model`, or "
            "`upstream:*` for all of its models."
        ),
    ]


@pytest.mark.parametrize(
    ("text", "line", "wrong"),
    [
        ('[upstreams.a]\nkind = "openai"\n\n[upstreams.a]\n', 4, "Cannot declare"),
        ('[upstreams.a]\nkind = "openai\n', 2, "Illegal character"),
        ("upstreams = 3\n", 1, "is no table"),
        ('[upstreams."a b"]\nkind = "local"\n', 1, "is no name"),
        ('[upstreams.me]\nkind = "local"\n', 2, "one embedded model"),
        ('[upstreams.local]\nkind = "local"\nkey_file = "x"\n', 3, "not known"),
        (
            '[upstreams.a]\nkind = "replicate"\nunavailable_is_free = true\n',
            3,
            "not known",
        ),
        (
            (
                '[upstreams.a]\nkind = "openai"\nbase_url = "http://a/v1"\n'
                'idempotency_header = "Idempotency-Key"\n'
            ),
            4,
            "Add `background = true`",
        ),
        (
            (
                '[upstreams.a]\nkind = "openai"\nbase_url = "http://a/v1"\n'
                'background = true\nidempotency_header = "Not one"\n'
            ),
            5,
            "idempotency_header",
        ),
        (
            (
                '[upstreams.a]\nkind = "openai"\nbase_url = "http://a/v1"\n'
                'background = "perhaps"\n'
            ),
            4,
            "background",
        ),
        (
            (
                '[upstreams.a]\nkind = "openai"\nbase_url = "ftp://a"\n'
                '[aliases]\nx = ["a"]\n'
            ),
            3,
            "http",
        ),
        (
            (
                '[upstreams.a]\nkind = "openai"\nbase_url = "http://a/v1"\n'
                '[aliases]\nx = ["a"]\n'
            ),
            5,
            "would have to be asked for its default model",
        ),
        (
            (
                '[upstreams.a]\nkind = "openai"\nbase_url = "http://a/v1"\n'
                '[aliases]\na = ["a:b"]\n'
            ),
            5,
            "is an upstream's name",
        ),
        (
            (
                '[upstreams.a]\nkind = "openai"\nbase_url = "http://a/v1"\n'
                '[aliases]\nx = ["a:"]\n'
            ),
            5,
            "would have to be asked for its default model",
        ),
        (
            '[upstreams.a]\nkind = "replicate"\nkey_file = "a\\u0000b"\n',
            3,
            "cannot be read: embedded null byte",
        ),
        (
            '[upstreams.a]\nkind = "replicate"\nkey_file = "~nobody-here/key"\n',
            3,
            "there is no user of that name",
        ),
        (
            '[upstreams.a]\nkind = "replicate"\nmodels = ["a\\nb"]\n',
            3,
            "not written as it has to be",
        ),
        (
            (
                '[upstreams.a]\nkind = "openai"\nbase_url = "http://a/v1"\n'
                'headers = { Host = "b" }\n'
            ),
            4,
            "sets Host itself",
        ),
        ('[roles.Admin]\nmodels = ["local:*"]\n', 1, "did you mean 'admin'?"),
        (f"a = {'9' * 5000}\n", 1, "too many digits"),
        (f"a = {'[' * 9000}", None, "nested too deep"),
    ],
)
def test_one_mistake_is_at_its_line(
    tmp_path: Path, text: str, line: int | None, wrong: str
) -> None:
    first, *_ = mistakes_in(tmp_path, text)

    assert first.startswith("" if line is None else f"{line}: ")
    assert wrong in first


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff[upstreams.a]\nparallel = 0\n",
        "[upstreams.a]\r\nparallel = 0\r\n",
        "[upstreams.a] # \u2028 \u0085 no line of TOML's\nparallel = 0\n",
    ],
    ids=["BOM", "CRLF", "other ends of lines"],
)
def test_what_editors_write_is_read_and_lines_are_counted_as_they_show_them(
    tmp_path: Path, text: str
) -> None:
    more = 'kind = "openai"\nbase_url = "http://127.0.0.1:1/v1"\n'

    assert mistakes_in(tmp_path, text + more) == [
        "2: upstreams.a.parallel: It has to be more than 0."
    ]


def test_a_file_that_is_there_and_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "llamakeep.toml").symlink_to("llamakeep.toml")

    with pytest.raises(UpstreamsFault, match="Too many levels of symbolic links"):
        read(settings())


def test_of_very_many_mistakes_the_first_are_told(tmp_path: Path) -> None:
    aliases = "\n".join(f'a{number} = ["nowhere:m"]' for number in range(10_000))

    assert len(mistakes_in(tmp_path, f"[aliases]\n{aliases}\n")) == MOST_MISTAKES


def test_a_key_in_the_place_of_its_variable_is_not_told(tmp_path: Path) -> None:
    text = '[upstreams.a]\nkind = "replicate"\nkey_variable = "r8_secret"\n'

    [mistake] = mistakes_in(tmp_path, text)

    assert "secret" not in mistake
    assert mistake.startswith("3: upstreams.a.key_variable: the variable is not set.")


def test_a_worker_has_the_keys_that_its_parent_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_KEY", "gsk_secret")
    (tmp_path / "token").write_text("r8_token\n")
    found = said(tmp_path, GOOD)

    packed = pack_upstreams(found)
    monkeypatch.delenv("GROQ_KEY")
    (tmp_path / "token").unlink()

    assert unpack_upstreams(packed, settings()) == found


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    missing = settings(config=tmp_path / "nowhere.toml")

    with pytest.raises(UpstreamsFault, match="cannot be read"):
        read(missing)


@pytest.mark.parametrize("file", ["/dev/zero", "long.toml"])
def test_a_file_is_read_no_further_than_a_configuration_is_long(file: str) -> None:
    Path("long.toml").write_bytes("\u00e9".encode() * LARGEST)

    with pytest.raises(UpstreamsFault, match="too large"):
        read(settings(config=Path(file)))


def test_a_variable_wins_against_the_file(tmp_path: Path) -> None:
    text = """\
[upstreams.openai]
kind = "openai"
base_url = "http://127.0.0.1:1/v1"

[upstreams.local]
kind = "local"
file = "model.gguf"
slots = 2
threads = 3
"""

    found = said(tmp_path, text, openai_base_url="http://127.0.0.1:2/v1")
    given = settings(local_slots=7)
    merged = with_local(given, found)

    assert list(found.upstreams) == ["local"]
    assert merged.local_model == tmp_path / "model.gguf"
    assert merged.local_slots == 7
    assert merged.local_threads == 3
