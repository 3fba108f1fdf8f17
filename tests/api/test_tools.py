"""Tools over HTTP: a base that is offered them, the official client, another Patchbay between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import tiny
from openai import OpenAI, pydantic_function_tool
from pydantic import BaseModel
from served import Site, served

from agent.agent import Agent
from agent.planning.planner import Planner
from core.settings import Settings
from engine.load import load_engine
from engine.load_base import load_base
from tasks.spec import load_tasks

UNIT = {"type": "string", "enum": ["C", "F"]}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 6}, "unit": UNIT},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "description": "Of a city.", "parameters": SCHEMA},
}
NOW: dict[str, Any] = {"type": "function", "function": {"name": "now"}}
ASKED: list[Any] = [{"role": "user", "content": "Translate into French: is it warm in Bern?"}]


@pytest.fixture(scope="module")
def real(planner: Planner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A tiny random model that really computes, and is offered tools."""
    parent = tmp_path_factory.mktemp("tools")
    folder = tiny.build(parent / "qwen3", "qwen3", tools=True, max_position_embeddings=2048)
    tiny.add_adapter(folder, parent / "adapters", "red", 0)
    base = load_base(tiny.settings(folder, context_tokens=2048, tools="on"))
    engine = tiny.engine(base, parent / "adapters")
    with served(Agent(engine, load_tasks(), planner)) as site:
        yield site
    engine.close()


@pytest.fixture(scope="module")
def relayed(real: Site, planner: Planner) -> Iterator[Site]:
    """A Patchbay whose base is the other one's."""
    settings = Settings(engine="openai", address=f"{real.address}/v1", base=base_of(real))
    engine = load_engine(settings)
    with served(Agent(engine, load_tasks(), planner)) as site:
        yield site
    engine.close()


@pytest.fixture(params=["here", "relayed"])
def site(request: pytest.FixtureRequest, real: Site, relayed: Site) -> Site:
    return real if request.param == "here" else relayed


def base_of(site: Site) -> str:
    return site.agent.engine.fingerprints()["base"]


def create(site: Site, **body: Any) -> Any:
    client = OpenAI(base_url=f"{site.address}/v1", api_key="none", max_retries=0)
    given = {"model": "auto", "messages": ASKED, "tools": [WEATHER, NOW], "seed": 1}
    return client.chat.completions.create(**{**given, "max_tokens": 120, **body})


def post(site: Site, **body: Any) -> httpx.Response:
    given = {"model": "auto", "messages": ASKED, "tools": [WEATHER, NOW]}
    return httpx.post(f"{site.address}/v1/chat/completions", json={**given, **body}, timeout=60)


def fits(arguments: str) -> None:
    value = json.loads(arguments)
    assert set(value) == {"city", "unit"}
    assert len(value["city"]) <= 6
    assert value["unit"] in {"C", "F"}


def test_a_call_comes_whole_and_its_result_goes_back(site: Site) -> None:
    named = {"type": "function", "function": {"name": "weather"}}
    made = create(site, model=base_of(site), tool_choice=named)
    (choice,) = made.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    (call,) = choice.message.tool_calls
    assert (call.type, call.function.name) == ("function", "weather")
    fits(call.function.arguments)
    result = {"role": "tool", "tool_call_id": call.id, "content": "17 degrees"}
    again = create(site, messages=[*ASKED, choice.message, result], max_tokens=10)
    assert again.choices[0].finish_reason in {"length", "stop", "tool_calls"}
    without = create(site, messages=[*ASKED, choice.message, result], tool_choice="none")
    assert without.choices[0].message.tool_calls is None


def test_it_is_streamed_as_openai_streams_it(site: Site) -> None:
    wanted: dict[str, Any] = {"tool_choice": "required", "parallel_tool_calls": False}
    whole = create(site, **wanted).choices[0].message.tool_calls[0].function
    chunks = list(create(site, **wanted, stream=True, stream_options={"include_usage": True}))
    pieces = [
        call for c in chunks for choice in c.choices for call in choice.delta.tool_calls or []
    ]
    assert (pieces[0].index, pieces[0].type, pieces[0].function.name) == (0, "function", whole.name)
    assert pieces[0].id
    assert "".join(piece.function.arguments for piece in pieces) == whole.arguments
    ends = [choice.finish_reason for c in chunks for choice in c.choices if choice.finish_reason]
    assert ends == ["tool_calls"]
    assert chunks[-1].usage.completion_tokens > 0


def test_several_calls_have_places_of_their_own(site: Site) -> None:
    wanted = {"tool_choice": "required", "tools": [NOW], "max_tokens": 1000}
    made = next(
        one
        for seed in range(20)
        if len((one := create(site, **wanted, seed=seed)).choices[0].message.tool_calls) > 1
    )
    calls = made.choices[0].message.tool_calls
    assert len({call.id for call in calls}) == len(calls)
    seed = made.patchbay["seed"]
    streamed = [
        call
        for chunk in create(site, **wanted, seed=seed, stream=True)
        for choice in chunk.choices
        for call in choice.delta.tool_calls or []
    ]
    assert [call.index for call in streamed] == list(range(len(calls)))


def test_auto_does_not_route_and_says_so(site: Site) -> None:
    made = create(site, tool_choice="auto", max_tokens=10)
    (step,) = made.patchbay["steps"]
    assert (made.patchbay["reason"], step["task"], step["adapter"]) == (None, None, None)


def test_the_client_reads_a_call_into_a_class(real: Site) -> None:
    class Weather(BaseModel):
        warm: bool

    client = OpenAI(base_url=f"{real.address}/v1", api_key="none", max_retries=0)
    made = client.chat.completions.parse(
        model="auto",
        messages=ASKED,
        tools=[pydantic_function_tool(Weather)],
        tool_choice="required",
        parallel_tool_calls=False,
        max_tokens=120,
    )
    calls = made.choices[0].message.tool_calls
    assert calls
    assert isinstance(calls[0].function.parsed_arguments, Weather)


CALL = {"id": "a", "type": "function", "function": {"name": "now", "arguments": "{}"}}
OTHER = {"id": "b", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL, OTHER]}


def result(call: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call, "content": f"of {call}"}


def test_results_stand_in_the_order_of_their_calls(real: Site) -> None:
    """A template that shows no ids would give each the other's."""
    texts = []
    for first, second in ("ab", "ba"):
        messages = [*ASKED, CALLED, result(first), result(second)]
        answer = post(real, messages=messages, seed=3, max_tokens=12, tools=[NOW])
        assert answer.status_code == 200, answer.text
        texts.append(answer.json()["choices"][0]["message"])
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({"messages": [*ASKED, CALLED, result("a")]}, "messages.3", "'b' has no result"),
        ({"messages": [*ASKED, result("a")]}, "messages.1.tool_call_id", "'a' is no call"),
        ({"tools": [NOW, NOW]}, "tools", "'now' is there twice"),
        (
            {"tool_choice": {"type": "function", "function": {"name": "then"}}},
            "tool_choice",
            "'then' is not among the tools",
        ),
        ({"model": "red"}, "tools", "Tools are for the base"),
        ({"patchbay": {"task": "sentiment"}}, "tools", "Tools are for the base"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, None, "name: "),
        ({"tools": [{"type": "web_search"}]}, None, "tools.0"),
    ],
)
def test_what_does_not_fit_together_is_named(
    real: Site, body: dict[str, Any], param: str | None, said: str
) -> None:
    answer = post(real, **body)
    assert answer.status_code == (422 if param else 400), answer.text
    error = answer.json()["error"]
    assert said in error["message"]
    assert param in {None, error["param"]}


def test_arguments_of_a_past_call_are_an_object(real: Site) -> None:
    call = {**CALL, "function": {"name": "now", "arguments": "[1"}}
    answer = post(real, messages=[*ASKED, {**CALLED, "tool_calls": [call]}])
    assert answer.status_code == 422
    assert "must be a JSON object, in a string" in answer.json()["error"]["message"]


def test_a_schema_that_no_call_can_follow_is_refused(real: Site) -> None:
    wrong = {"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}}
    answer = post(real, tools=[wrong])
    assert answer.status_code == 422
    assert "tool 'f' are of type 'array'" in answer.json()["error"]["message"]
    deep: dict[str, Any] = {}
    for _ in range(400):
        deep = {"type": "object", "properties": {"a": deep}}
    deep_tool = {"type": "function", "function": {"name": "f", "parameters": deep}}
    answer = post(real, tools=[deep_tool])
    assert answer.status_code == 400
    assert "nested too deeply" in answer.json()["error"]["message"]
