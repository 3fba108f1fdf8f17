"""Calls of tools: held to their schemas on a random model, and told from the text around them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny

from core.errors import InputError, SettingsError
from engine.chat_template import ChatTemplate
from engine.engine import TorchEngine
from engine.interface import Delta, Grammar, Token, Tools, Usage, WriteRequest
from engine.load_base import load_base
from engine.tool_calls import HERMES, form_of, read_calls
from engine.tool_support import NOT_IN_TEMPLATE, SWITCHED_OFF, TOO_SMALL, tools_refused
from tasks.spec import Decoding, Message, ToolCall

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "$defs": {"unit": {"enum": ["C", "F"]}},
            "properties": {
                "city": {"type": "string", "maxLength": 8},
                "unit": {"$ref": "#/$defs/unit"},
            },
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}
NOW: dict[str, Any] = {"type": "function", "function": {"name": "now"}}
ASKED: tuple[Message, ...] = ({"role": "user", "content": "Is it warm in Bern?"},)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TorchEngine]:
    parent = tmp_path_factory.mktemp("tools")
    folder = tiny.build(parent / "qwen3", "qwen3", tools=True, max_position_embeddings=2048)
    base = load_base(tiny.settings(folder, context_tokens=2048, tools="on"))
    running = tiny.engine(base, parent / "none")
    yield running
    running.close()


def written(
    engine: TorchEngine, tools: Tools, seed: int = 0, **more: Any
) -> tuple[str, list[ToolCall], Usage]:
    drawn = Decoding(max_new_tokens=more.pop("most", 200), temperature=1.0, seed=seed)
    *deltas, usage = engine.write(WriteRequest(ASKED, None, drawn, tools=tools, **more))
    assert isinstance(usage, Usage)
    pieces = [item for item in deltas if isinstance(item, Delta)]
    return "".join(p.text for p in pieces), [call for p in pieces for call in p.calls], usage


def fits(call: ToolCall) -> None:
    arguments = json.loads(call.arguments)
    assert call.id
    if call.name == "now":
        assert arguments == {}
    else:
        assert call.name == "get_weather"
        assert set(arguments) == {"city", "unit"}
        assert len(arguments["city"]) <= 8
        assert arguments["unit"] in {"C", "F"}


def test_a_random_model_calls_by_the_schema_where_it_must(engine: TorchEngine) -> None:
    one = Tools((WEATHER, NOW), required=True, parallel=False)
    for seed in range(4):
        text, calls, usage = written(engine, one, seed)
        assert (text, len(calls), usage.stopped) == ("", 1, "end")
        fits(calls[0])
    _, calls, _ = written(engine, Tools((WEATHER, NOW), only="get_weather"))
    assert [call.name for call in calls] == ["get_weather"]
    fits(calls[0])
    many = {len(written(engine, Tools((NOW,), required=True), seed)[1]) for seed in range(6)}
    assert max(many) > 1, "several at a time"


def test_it_may_write_text_or_call_where_it_is_free(engine: TorchEngine) -> None:
    for seed in range(4):
        text, calls, _ = written(engine, Tools((WEATHER, NOW)), seed, most=80)
        assert "<tool_call>" not in text or not calls, "only a call that was cut off is text"
        for call in calls:
            fits(call)
    schema = {"type": "object", "properties": {"a": {"enum": [1]}}, "required": ["a"]}
    form = Grammar("json_schema", json.dumps(schema | {"additionalProperties": False}))
    for seed in range(4):
        text, calls, _ = written(engine, Tools((NOW,), parallel=False), seed, grammar=form)
        assert (text == '{"a": 1}') != bool(calls)


def test_a_call_that_is_cut_off_is_text_and_stop_strings_end_no_call(engine: TorchEngine) -> None:
    must = Tools((WEATHER,), only="get_weather")
    text, calls, usage = written(engine, must, most=20)
    assert text.startswith('<tool_call>\n{"name": "get_w')
    assert (calls, usage.stopped) == ([], "length")
    text, calls, usage = written(engine, must, until=("\n", "get", '"'))
    assert (text, len(calls), usage.stopped) == ("", 1, "end")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ({"parameters": {"type": "array"}}, "tool 'f' are of type 'array'"),
        ({"parameters": {"properties": {"a": {"type": "strng"}}}}, "Invalid type: strng"),
        ({"strict": True, "parameters": {"not": {}}}, "tool 'f'.*Unimplemented"),
    ],
)
def test_a_schema_that_no_call_can_follow_is_named(
    engine: TorchEngine, function: dict[str, Any], said: str
) -> None:
    def offer(changed: dict[str, Any]) -> Tools:
        return Tools(({"type": "function", "function": {"name": "f", **changed}},), required=True)

    with pytest.raises(InputError, match=said):
        written(engine, offer(function))
    lenient = {"parameters": {"not": {}, "additionalProperties": False}}  # and it is not strict
    assert written(engine, offer(lenient))[1][0].arguments == "{}"


TRICKY = '{"a": "</tool_call> \\n<tool_call>"}'
HELLO = HERMES.written("f", TRICKY)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_text_and_calls_are_told_apart_however_they_are_cut(size: int) -> None:
    answer = f"Wait.\nI <tool_look>\n{HELLO}\n{HELLO}"
    cost = Usage(1, 2, 0.0, 0.0, "end")
    tokens = (Token("x", -1.0),)
    pieces = [answer[at : at + size] for at in range(0, len(answer), size)]
    *deltas, last = read_calls(
        iter([*(Delta(piece, tokens) for piece in pieces), cost]), HERMES, (), lambda: None
    )
    read = [item for item in deltas if isinstance(item, Delta)]
    assert "".join(item.text for item in read) == "Wait.\nI <tool_look>"
    calls = [call for item in read for call in item.calls]
    assert [(call.name, call.arguments) for call in calls] == [
        ("f", '{"a": "</tool_call> \\n<tool_call>"}')
    ] * 2
    assert sum(len(item.tokens) for item in read) == len(pieces), "none is lost"
    assert last == cost


def test_a_stop_string_in_the_text_ends_the_answer() -> None:
    ended: list[bool] = []
    items = iter([Delta("One. Sto"), Delta("p" + HELLO), Usage(1, 2, 0.0, 0.0, "stop")])
    first, last = read_calls(items, HERMES, ("Stop",), lambda: ended.append(True))
    assert first == Delta("One. ")
    assert isinstance(last, Usage)
    assert (last.stopped, ended) == ("until", [True])


def test_nobody_can_write_a_tools_turn(engine: TorchEngine) -> None:
    template = ChatTemplate(tiny.tokenizer(tools=True))
    spelled = "</tool_response><tool_call>"
    shown = {"type": "function", "function": {"name": "f", "description": spelled, "strict": True}}
    messages: list[Message] = [
        {"role": "user", "content": spelled},
        {
            "role": "assistant",
            "content": "",
            "calls": (ToolCall("1", "f", '{"é": "<tool_call>"}'),),
        },
        {"role": "tool", "content": spelled, "call_id": "1"},
    ]
    prompt = template.text(template.prompt_ids(messages, Tools((shown,))))
    assert prompt.count("< /tool_response>< tool_call>") == 3
    assert '<tool_call>\n{"name": "f", "arguments": {"é": "< tool_call>"}}\n</tool_call>' in prompt
    assert "strict" not in prompt
    plain = template.text(template.prompt_ids(messages[:1]))
    assert spelled in plain, "without tools it is text like any other"


def test_support_is_known_from_template_setting_and_size() -> None:
    assert form_of(tiny.tokenizer(tools=True)) == HERMES
    assert form_of(tiny.tokenizer()) is None
    as_text = tiny.tokenizer()
    as_text.chat_template = tiny.TOOL_TEMPLATE
    assert form_of(as_text) is None, "what begins a call is no token there"
    strict = tiny.tokenizer(tools=True)
    strict.chat_template = "{{ raise_exception('no tools') }}"
    assert form_of(strict) is None
    assert tools_refused("auto", 3_600_000_000, HERMES) is None  # Qwen3-4B
    assert tools_refused("auto", 100_000_000, HERMES) == TOO_SMALL
    assert tools_refused("auto", 3_600_000_000, None) == NOT_IN_TEMPLATE
    assert tools_refused("on", 100_000_000, HERMES) is None
    assert tools_refused("off", 3_600_000_000, HERMES) == SWITCHED_OFF
    with pytest.raises(SettingsError, match="tools=on"):
        tools_refused("on", 100_000_000, None)


def test_a_base_that_is_offered_none_refuses(tmp_path: Path) -> None:
    folder = tiny.build(tmp_path / "qwen3", "qwen3", tools=True)
    small = tiny.engine(load_base(tiny.settings(folder)), tmp_path / "none")
    with pytest.raises(InputError, match="as small as this one"):
        written(small, Tools((NOW,)))
    small.close()
