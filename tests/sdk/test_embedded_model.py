"""The program of `docs/embedded-model.md`, as a reader would run it."""

import sys
from pathlib import Path

from tests.sdk.clients import history, openai_of
from tests.sdk.programs import output_of, programs_of
from tests.sdk.site import Process


def test_the_embedded_model_calls_fills_in_a_form_and_makes_vectors(
    embedded: Process, tmp_path: Path
) -> None:
    [program] = [
        text for language, text in programs_of("embedded-model") if language == "python"
    ]
    file = tmp_path / "program.py"
    file.write_text(program.replace("http://localhost:8000", embedded.origin))

    said = output_of(sys.executable, str(file), folder=tmp_path)

    first, *_, json, vectors = said.splitlines()
    assert first.startswith("get_weather {'city': ")
    assert json.startswith("{'is_cold': ")
    assert vectors == "576 True"
    kept = history(embedded, limit=4)
    assert [run["model"] for run in kept] == 4 * ["local:smollm2-135m-instruct"]
    assert kept[0]["prompt"] == "Snow is falling.\nIt is winter.\nThe invoice is due."


def test_the_embedded_model_continues_the_beginning_of_an_answer(
    embedded: Process,
) -> None:
    with openai_of(embedded) as client:
        completion = client.chat.completions.create(
            model="local:smollm2-135m-instruct",
            messages=[
                {"role": "user", "content": "Name a colour of the sky."},
                {"role": "assistant", "content": "The colour of the sky is a very"},
            ],
            temperature=0,
            max_tokens=3,
        )

    said = completion.choices[0].message.content or ""
    assert said[:1] == " "
    assert said[1:2].islower()  # it is in the middle of a sentence
