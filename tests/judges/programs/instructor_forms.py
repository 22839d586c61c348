"""Instructor, in its default mode and in others."""

import asyncio
from typing import Any

import instructor
from kit import MODEL, Person, serve, wait_if_killed
from openai import AsyncOpenAI, OpenAI
from pydantic import field_validator

ASKED: Any = {"model": MODEL, "messages": [{"role": "user", "content": "Who is Ada?"}]}


def form() -> Person:
    client = instructor.from_openai(OpenAI())
    return client.create(response_model=Person, **ASKED)


def provider() -> Person:
    client = instructor.from_provider(f"openai/{MODEL}")
    return client.create(response_model=Person, messages=ASKED["messages"])


def strict() -> Person:
    client = instructor.from_openai(OpenAI(), mode=instructor.Mode.TOOLS_STRICT)
    return client.create(response_model=Person, **ASKED)


def json() -> Person:
    client = instructor.from_openai(OpenAI(), mode=instructor.Mode.JSON)
    return client.create(response_model=Person, **ASKED)


def schema() -> Person:
    client = instructor.from_openai(OpenAI(), mode=instructor.Mode.JSON_SCHEMA)
    return client.create(response_model=Person, **ASKED)


def responses() -> Person:
    client = instructor.from_openai(OpenAI(), mode=instructor.Mode.RESPONSES_TOOLS)
    return client.create(response_model=Person, **ASKED)


def partial() -> Person:
    client = instructor.from_openai(OpenAI())
    return [*client.create_partial(response_model=Person, **ASKED)][-1]


def iterable() -> list[Person]:
    client = instructor.from_openai(OpenAI())
    return [*client.create_iterable(response_model=Person, **ASKED)]


def asked_again() -> str:
    seen = []

    class Strict(Person):
        @field_validator("age")
        @classmethod
        def has_to_be_said_twice(cls, age: int) -> int:
            wait_if_killed()
            seen.append(age)
            if len(seen) == 1:
                raise ValueError("Are you sure?")
            return age

    client = instructor.from_openai(OpenAI())
    found = client.create(response_model=Strict, max_retries=2, **ASKED)
    return f"{found.name} {found.age}, asked {len(seen)} times"


async def at_once() -> list[Person]:
    client = instructor.from_openai(AsyncOpenAI())
    return await asyncio.gather(
        *(client.create(response_model=Person, **ASKED) for _ in range(5))
    )


serve(
    form,
    provider,
    strict,
    json,
    schema,
    responses,
    partial,
    iterable,
    asked_again,
    at_once,
)
