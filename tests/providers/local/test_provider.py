import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from llamakeep.domain import Message, Parameters, Part, Role, Text, ToolCall
from llamakeep.domain.messages import message_of
from llamakeep.errors import NoProvider, PromptRejected, ProviderUnavailable
from llamakeep.providers.local.provider import LocalProvider
from llamakeep.providers.local.weights import find_weights, model_id
from llamakeep.providers.prompted.tools import told
from llamakeep.settings import Settings
from tests.providers.asking import Answer, ask, request, settings
from tests.waiting import LONG_ENOUGH, until

MODEL = "smollm2-135m-instruct"
LONG = request(
    "Tell me a long story.", model=MODEL, parameters=Parameters(max_tokens=400)
)
SHORT = request("Hi", model=MODEL, parameters=Parameters(max_tokens=2))


@pytest.fixture
def cold(local_settings: Settings) -> LocalProvider:
    return LocalProvider(local_settings)


@pytest.fixture
async def own(cold: LocalProvider) -> AsyncIterator[LocalProvider]:
    """A provider whose process the test may hurt."""
    yield cold
    await cold.close()


def state(pid: int) -> str:
    """One letter, such as `S` or `Z`, or nothing when there is no such process."""
    ps = subprocess.run(
        ["ps", "-o", "state=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return ps.stdout.strip()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_the_embedded_model_says_how_likely_its_tokens_were(
    local: LocalProvider,
) -> None:
    parameters = Parameters(max_tokens=3, logprobs=True, top_logprobs=2)
    answer = await ask(local, request("Hi", model=MODEL, parameters=parameters))

    tokens = [json.loads(each) for each in answer.logprobs]
    assert "".join(each["token"] for each in tokens) == answer.text
    assert {len(each["top_logprobs"]) for each in tokens} == {2}


async def test_the_embedded_model_answers(local: LocalProvider) -> None:
    answer = await ask(
        local,
        request(
            "What is the capital of France?",
            model=MODEL,
            parameters=Parameters(max_tokens=16),
        ),
    )

    assert len(answer.deltas) > 3, "deltas arrive one by one"
    assert answer.finished is not None
    assert answer.finished.resolved_model == MODEL


async def test_the_same_seed_gives_the_same_text(local: LocalProvider) -> None:
    parameters = Parameters(seed=7, temperature=1.0, max_tokens=12)
    asked = request("Tell me a story.", model=MODEL, parameters=parameters)

    texts = {(await ask(local, asked)).text for _ in range(2)}

    assert len(texts) == 1


@pytest.mark.parametrize("seed", [2**32 - 1, 2**32, 2**63 - 1, -(2**63)])
async def test_a_seed_may_be_larger_than_llama_cpps(
    local: LocalProvider, seed: int
) -> None:
    parameters = Parameters(seed=seed, temperature=1.5, max_tokens=12)
    asked = request("Tell me a story.", model=MODEL, parameters=parameters)

    texts = {(await ask(local, asked)).text for _ in range(2)}

    assert len(texts) == 1


@pytest.mark.parametrize(
    "parameters",
    [
        Parameters(seed=-1, max_tokens=2),
        Parameters(top_p=0, max_tokens=2),
        Parameters(top_k=-1, max_tokens=2),
        Parameters(top_k=0, max_tokens=2),
        Parameters(stop=("\n\n", " "), max_tokens=4),
    ],
)
async def test_the_embedded_model_takes_what_llama_cpp_takes(
    local: LocalProvider, parameters: Parameters
) -> None:
    asked = request("Tell me a story.", model=MODEL, parameters=parameters)

    assert (await ask(local, asked)).finished is not None


async def test_an_answer_that_grows_too_long_ends_as_length(
    local: LocalProvider,
) -> None:
    answer = await ask(local, SHORT)

    assert answer.finished is not None
    assert answer.finished.finish_reason == "length"


async def test_a_prompt_longer_than_the_context_is_rejected(
    local: LocalProvider,
) -> None:
    with pytest.raises(PromptRejected, match="context"):
        await ask(local, request("word " * 600, model=MODEL))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
async def test_canceling_stops_the_computing(local: LocalProvider) -> None:
    answer = Answer()
    task = asyncio.create_task(ask(local, LONG, into=answer))
    await until(lambda: len(answer.deltas) > 2)
    pid = local.pid
    assert pid is not None
    before = await asyncio.to_thread(cpu_seconds, pid)
    task.cancel()
    await asyncio.wait([task], timeout=LONG_ENOUGH)

    async def rests() -> bool:
        seen = await asyncio.to_thread(cpu_seconds, pid)
        await asyncio.sleep(0.3)
        return await asyncio.to_thread(cpu_seconds, pid) - seen < 0.05

    await until(rests)
    # The rest of the answer takes several seconds.
    assert await asyncio.to_thread(cpu_seconds, pid) - before < 1


async def test_a_killed_process_breaks_off_its_answer_and_the_next_prompt_is_answered(
    own: LocalProvider,
) -> None:
    answer = Answer()
    task = asyncio.create_task(ask(own, LONG, into=answer))
    await until(lambda: len(answer.deltas) > 2)
    assert own.pid is not None
    os.kill(own.pid, signal.SIGKILL)

    with pytest.raises(ProviderUnavailable):
        await task
    assert answer.text
    assert (await ask(own, SHORT)).text


async def test_closing_ends_the_process_and_leaves_no_zombie(
    own: LocalProvider,
) -> None:
    await own.warm_up()
    pid = own.pid
    assert pid is not None

    async with asyncio.timeout(LONG_ENOUGH):
        await own.close()

    assert await asyncio.to_thread(state, pid) == ""


PARENT = """
import asyncio
from llamakeep.providers.local.provider import LocalProvider
from llamakeep.settings import Settings

async def main():
    provider = LocalProvider(Settings(_env_file=None))
    await provider.warm_up()
    print(provider.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.usefixtures("local_settings")
def test_the_process_does_not_outlive_a_killed_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as p:
        assert p.stdout is not None
        child = int(p.stdout.readline())
        assert state(child) in {"R", "S"}
        p.kill()

    deadline = time.monotonic() + 1
    while state(child) not in {"", "Z"} and time.monotonic() < deadline:
        time.sleep(0.01)
    assert state(child) in {"", "Z"}, "a zombie is its new parent's to bury"


async def test_the_key_is_not_among_the_arguments(local: LocalProvider) -> None:
    await local.warm_up()
    assert local.pid is not None
    assert local._endpoint is not None

    ps = await asyncio.create_subprocess_exec(
        "ps", "-ww", "-o", "args=", "-p", str(local.pid), stdout=subprocess.PIPE
    )
    arguments, _ = await ps.communicate()

    assert b"local/server.py" in arguments
    assert local._endpoint.api_key.encode() not in arguments


@pytest.fixture
def broken(local_settings: Settings, tmp_path: Path) -> LocalProvider:
    weights = tmp_path / "broken.gguf"
    weights.write_bytes(b"not a model")
    return LocalProvider(local_settings.model_copy(update={"local_model": weights}))


async def test_weights_that_cannot_be_loaded_are_tried_less_and_less_often(
    broken: LocalProvider,
) -> None:
    for _ in range(2):
        with pytest.raises(ProviderUnavailable, match="could not be loaded"):
            await broken.warm_up()
    with pytest.raises(ProviderUnavailable, match="again") as caught:
        await broken.warm_up()

    assert caught.value.retry_after


@pytest.fixture
def missing(tmp_path: Path) -> LocalProvider:
    return LocalProvider(settings(local_model=tmp_path / "missing.gguf"))


async def test_a_missing_file_is_named_by_its_setting(missing: LocalProvider) -> None:
    with pytest.raises(NoProvider, match="LLAMAKEEP_LOCAL_MODEL"):
        await ask(missing)


def test_no_model_is_embedded_where_none_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "none").touch()
    monkeypatch.chdir(tmp_path)

    assert find_weights(settings(local_model="none")) is None


def test_a_configured_file_is_the_weights(tmp_path: Path) -> None:
    weights = tmp_path / "Own.gguf"
    weights.touch()

    assert find_weights(settings(local_model=weights)) == weights


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct"),
        ("Llama-3.2-1B-Instruct-Q4_K_M.gguf", "llama-3.2-1b-instruct"),
        ("tiny-IQ2_XS.gguf", "tiny"),
        ("tiny.BF16.gguf", "tiny"),
        ("qwen2.5-7b.gguf", "qwen2.5-7b"),
    ],
)
def test_a_model_is_called_like_its_file_without_the_quantization(
    file: str, name: str
) -> None:
    assert model_id(Path(file)) == name


async def tokens_taken(local: LocalProvider, *said: Message) -> int:
    asked = request(model=MODEL, parameters=Parameters(max_tokens=1))
    answer = await ask(local, replace(asked, messages=said))
    assert answer.finished is not None
    return answer.finished.usage.input_tokens or 0


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
@pytest.mark.parametrize(
    "token", ["<|im_end|>", "<|im_start|>", "<|endoftext|>", "<|im_end|>\n<|im_start|>"]
)
async def test_what_looks_like_a_control_token_is_text(
    local: LocalProvider, role: Role, token: str
) -> None:
    last = Message("user", "Hi")

    without = await tokens_taken(local, Message(role, "one two"), last)
    with_it = await tokens_taken(local, Message(role, f"one {token} two"), last)

    assert with_it >= without + 5


async def test_text_that_only_looks_a_little_like_a_token_is_left_alone(
    local: LocalProvider,
) -> None:
    said = [Message("user", "a <b> and [INST] and <|im_en")]
    endpoint, _ = await local._running()

    async with local._text(endpoint) as text:
        assert await text.messages(said) == said


async def test_what_looks_like_a_control_token_is_text_in_parts_as_well(
    local: LocalProvider,
) -> None:
    token, plain = "<|im_end|>", "<\u200b|im_end|>"
    parts: list[Part] = [Text(token), ToolCall(token, token, token)]
    endpoint, _ = await local._running()
    asked = replace(request(), messages=[message_of("assistant", parts)])

    async with local._text(endpoint) as text:
        [said] = await text.messages(told(asked).messages)

    call = f'{{"name": "{plain}", "parameters": "{plain}"}}'
    assert said == Message("assistant", f"{plain}\n{call}")


async def test_tokens_are_counted_as_they_are_in_the_usage_of_an_answer(
    local: LocalProvider,
) -> None:
    token = "<|im_end|>"
    said = [Message("system", "Be brief."), Message("user", f"Hi {token} \u00e9?")]

    count = await local.count_tokens(replace(request(), messages=said))

    assert count == await tokens_taken(local, *said)
