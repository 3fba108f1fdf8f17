"""Tools in a chat completion: what is offered, to whom, and which result is which call's."""

from __future__ import annotations

from collections.abc import Sequence

from api.errors import ApiError
from api.tool_schemas import NamedTool, OfferedTool
from engine.interface import Engine, Tools
from tasks.spec import Message

WITHOUT = "`auto` routes to the skills that are there, and response_format gives JSON"


def offered_tools(
    offered: Sequence[OfferedTool] | None, choice: str | NamedTool | None, parallel: bool | None
) -> Tools | None:
    """What the answer may call; None where it may call nothing.

    Raises:
        ApiError: it must call what is not there, or two have one name.
    """
    names = [tool.function.name for tool in offered or ()]
    only = choice.function.name if isinstance(choice, NamedTool) else None
    if choice == "none" or not (names or only or choice == "required"):
        return None
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise _wrong("tools", f"{twice!r} is there twice. Give each tool a name of its own")
    if not names:
        raise _wrong("tool_choice", "There are no tools to choose from. Name some in tools")
    if only and only not in names:
        raise _wrong("tool_choice", f"{only!r} is not among the tools. Name it there")
    definitions = tuple(tool.model_dump(exclude_unset=True) for tool in offered or ())
    return Tools(definitions, required=choice == "required", only=only, parallel=parallel)


def require_tools(engine: Engine, where: str, *, of_base: bool) -> None:
    """See that a request with tools can be answered.

    Args:
        where: the parameter that has them.

    Raises:
        ApiError: the base is offered none, or something else is to answer.
    """
    if engine.tools_refused:
        said = f"{where}: {engine.tools_refused} Ask without them; {WITHOUT}."
        raise ApiError(400, said, param=where)  # as of any parameter that is not known here
    if not of_base:
        raise _wrong(
            where, "Tools are for the base: name it or `auto`, and neither an adapter nor a task"
        )


def paired(messages: Sequence[Message]) -> list[Message]:
    """The messages with the results in the order of their calls: few templates say whose each is.

    Raises:
        ApiError: a call has no result, or a result no call.
    """
    ordered: list[Message] = []
    results: dict[str, Message] = {}
    waiting: list[str] = []  # ids of the calls whose results must come now

    def close(place: int) -> None:
        if missing := [one for one in waiting if one not in results]:
            raise _wrong(f"messages.{place}", f"The call {missing[0]!r} has no result before it")
        ordered.extend(results[one] for one in waiting)
        results.clear()
        waiting.clear()

    for place, message in enumerate(messages):
        if message["role"] == "tool":
            call = message.get("call_id", "")
            if call not in waiting or call in results:
                raise _wrong(
                    f"messages.{place}.tool_call_id", f"{call!r} is no call of the answer before it"
                )
            results[call] = message
            continue
        close(place)
        ordered.append(message)
        waiting.extend(call.id for call in message.get("calls", ()))
    close(len(messages))
    return ordered


def _wrong(param: str, message: str) -> ApiError:
    return ApiError(422, f"{param}: {message}.", param=param)
