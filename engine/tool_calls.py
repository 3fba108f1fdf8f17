"""How an answer calls a tool: the grammar that holds it to that, and its reading.

A base is tuned on one form of call. Which one is known from its chat template: a past call must be
rendered in that form, and the tools that are offered must be rendered at all.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from jinja2.exceptions import TemplateError

from core.errors import InputError
from engine.constraints import JSON_STYLE, require_supported
from engine.interface import Delta, Grammar, PrefillProgress, Tools, Usage, WriteReply
from engine.stop_strings import StopStrings, overlap
from tasks.spec import ToolCall

MAX_CALLS = 16  # in one answer
SEPARATOR = "\n"  # before a call that is not the beginning of an answer
NO_ARGUMENTS: dict[str, Any] = {"properties": {}, "additionalProperties": False}


@dataclass(frozen=True)
class CallForm:
    """A call as a family of bases writes it: `begin`, `before`, name, `between`, arguments, `after`
    and `end`. `begin` and `end` are tokens of their own.

    Attributes:
        markers: what else stands for its parts in a prompt, and must not be spelled by a text.
    """

    begin: str
    before: str
    between: str
    after: str
    end: str
    markers: tuple[str, ...]

    def written(self, name: str, arguments: str) -> str:
        """The call of a function with arguments in JSON."""
        return self.begin + self.before + name + self.between + arguments + self.after + self.end

    def read(self, inner: str) -> ToolCall:
        """What stood between `begin` and `after`, as a call with an id of its own."""
        name, _, arguments = inner.removeprefix(self.before).partition(self.between)
        return ToolCall(f"call_{uuid.uuid4().hex[:24]}", name, arguments)


# Nous Research's Hermes 2 Pro had it first; Qwen2.5, Qwen3 and SmolLM3 are tuned on it, too.
HERMES = CallForm(
    begin="<tool_call>",
    before='\n{"name": "',
    between='", "arguments": ',
    after="}\n",
    end="</tool_call>",
    markers=("<tools>", "</tools>", "<tool_response>", "</tool_response>"),
)
FORMS = (HERMES,)


def form_of(tokenizer: Any) -> CallForm | None:
    """The form that a base's chat template renders tools and past calls in; None where it renders
    none, or in a form that is not known here.
    """
    name, told, result = "find_city", "Finds a city.", "In the Alps."
    arguments = {"name": "Bern"}
    function = {"name": name, "description": told, "parameters": {"type": "object"}}
    call = {"type": "function", "function": {"name": name, "arguments": arguments}}
    turns = [
        {"role": "user", "content": "Where is it?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": result, "name": name},
    ]
    tools = [{"type": "function", "function": function}]
    try:
        rendered = tokenizer.apply_chat_template(
            turns, tools=tools, tokenize=False, add_generation_prompt=True
        )
    except (TemplateError, TypeError, ValueError):  # it knows no such turns, and says so its way
        return None
    for form in FORMS:
        tokens = {form.begin, form.end}
        ordinary = tokens <= set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens)
        shown = (form.written(name, json.dumps(arguments)), told, result)
        if ordinary and all(piece in rendered for piece in shown):
            return form
    return None


def grammar_of(tools: Tools, form: CallForm, answer: Grammar | None = None) -> Grammar:
    """What an answer must be that may call the tools, or must, each with arguments by its schema.

    Args:
        answer: what it must be where it calls none, a JSON schema.

    Raises:
        InputError: a tool's schema is wrong, or says what is not supported.
    """
    functions = [
        definition["function"]
        for definition in tools.definitions
        if tools.only in {None, definition["function"]["name"]}
    ]
    rules = []
    for index, function in enumerate(functions):
        head = json.dumps(f"{form.before}{function['name']}{form.between}")
        schema = json.dumps(_arguments_schema(function))
        rules.append(f"tool_{index}: {head} %json {schema} {json.dumps(form.after)}")
    names = " | ".join(f"tool_{index}" for index in range(len(functions)))
    rules.append(f"call: {form.begin} ({names}) {form.end}")
    more = f" ({json.dumps(SEPARATOR)} call){{0,{MAX_CALLS - 1}}}"
    rules.append("calls: call" + ("" if tools.only or tools.parallel is False else more))
    if tools.required or tools.only:
        start = "calls"
    elif answer is None:
        start = "TEXT? calls?"
        rules.append(f"TEXT: /(?s:.+)/ & ~/(?s:.*){form.begin}(?s:.*)/")
    else:
        start = "answer | calls"
        schema = json.dumps({**json.loads(answer.text), "x-guidance": JSON_STYLE})
        rules.append(f"answer: %json {schema}")
    return Grammar("lark", "\n".join([f"start: {start}", *rules]))


def read_calls(
    items: Iterator[WriteReply], form: CallForm, until: tuple[str, ...], end: Callable[[], None]
) -> Iterator[WriteReply]:
    """What an engine writes, with the calls told from the text. Each comes whole.

    A call that was cut off is text, as it was written.

    Args:
        until: stop strings, of the text alone: a call may hold any.
        end: ends the answer; what comes after is dropped.
    """
    reader, stops = _Reader(form), StopStrings(until)
    for item in items:
        if isinstance(item, PrefillProgress):
            yield item
        elif isinstance(item, Usage):
            if rest := stops.flush() + ("" if stops.matched else reader.flush()):
                yield Delta(rest)
            yield replace(item, stopped="until") if stops.matched else item
        elif not stops.matched:
            text, calls = reader.feed(item.text)
            shown = stops.feed(text)
            if stops.matched:
                end()
                calls = []
            elif calls:
                shown += stops.flush()
            if shown or calls or item.tokens:
                yield Delta(shown, item.tokens, tuple(calls))


class _Reader:
    """Pieces of an answer in, text and whole calls out. After a call the grammar has no text."""

    def __init__(self, form: CallForm) -> None:
        self._form = form
        self._pending = ""
        self._inside = self._called = False

    def feed(self, piece: str) -> tuple[str, list[ToolCall]]:
        self._pending += piece
        text, calls, form = "", [], self._form
        while True:
            marker = form.after + form.end if self._inside else form.begin
            before, found, rest = self._pending.partition(marker)
            if not found:
                break
            if self._inside:
                calls.append(form.read(before))
            else:
                text += "" if self._called else before.removesuffix(SEPARATOR)
            self._pending, self._inside, self._called = rest, not self._inside, True
        if not self._called:
            opening = (form.begin, SEPARATOR + form.begin)
            held = max(overlap(self._pending, marker) for marker in opening)
            cut = len(self._pending) - held
            text, self._pending = text + self._pending[:cut], self._pending[cut:]
        return text, calls

    def flush(self) -> str:
        """What is left, once nothing more comes."""
        return self._form.begin + self._pending if self._inside else self._pending


def _arguments_schema(function: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a function's arguments, with how it is to be written.

    Unless the function is `strict`, what is not supported of a schema is left out of account.

    Raises:
        InputError: it is wrong, not of an object, or not supported.
    """
    where = f"The parameters of the tool {function['name']!r}"
    schema = function.get("parameters") or NO_ARGUMENTS
    if schema.get("type", "object") != "object":
        raise InputError(f"{where} are of type {schema['type']!r}. Make it an object's schema.")
    lenient = not function.get("strict")
    schema = {"type": "object", **schema, "x-guidance": {**JSON_STYLE, "lenient": lenient}}
    try:
        require_supported(Grammar("json_schema", json.dumps(schema)))
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return schema
