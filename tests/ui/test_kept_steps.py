"""What a step worked on is stored as a place in the request, and comes back as the text."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agent.cleaning import clean
from agent.events import Finished, Planned, StepFinished, StepStarted
from agent.plan import Plan, Step
from documents import Document
from documents.document import Block
from tasks.spec import load_tasks
from ui.conversation import AttachmentView, Conversation, TurnView
from ui.kept_steps import kept_steps

TASKS = load_tasks()
REQUEST = "Translate into French: good evening"


def answered(
    turn: TurnView,
    *contents: str,
    tasks: tuple[str, ...] = ("translation",),
    past: Sequence[TurnView] = (),
) -> TurnView:
    """The turn after the events of an answer, as the browser gives it back."""
    turn.apply(Planned(Plan(tuple(Step(task, 0.9) for task in tasks), "router")))
    for index, content in enumerate(contents):
        turn.apply(StepStarted(index, Step(tasks[index], 0.9), "mine", content=content), past)
        turn.apply(
            StepFinished(
                index, f"answer {index}", labels={}, tokens=1, seconds=0.1, first_token=0.1,
                stopped="end", fingerprints={"base": "b"},
            )
        )  # fmt: skip
    turn.apply(Finished("answer", labels={}, tokens=1, seconds=0.1, stopped="end"))
    return TurnView.model_validate_json(turn.model_dump_json())


def contents(turn: TurnView, past: Conversation | None = None) -> list[str]:
    return [step.content for step in kept_steps(turn, past or Conversation(), TASKS)]


def test_a_place_in_the_request() -> None:
    turn = answered(TurnView(text=REQUEST), "good evening")
    assert turn.steps[0].content == (23, 35)
    assert contents(turn) == ["good evening"]


def test_what_stands_nowhere_is_kept_as_it_is() -> None:
    turn = answered(TurnView(text="and in German?"), "good evening")
    assert turn.steps[0].content == "good evening"
    assert contents(turn) == ["good evening"]


def test_a_later_step_works_on_the_answer_before_it() -> None:
    tasks = ("translation", "sentiment")
    turn = answered(TurnView(text=REQUEST), "good evening", "answer 0", tasks=tasks)
    assert turn.steps[1].content == ""
    assert contents(turn) == ["good evening", "answer 0"]


@pytest.mark.parametrize("words", ["Guten Abend. ", "Gu\u00adten\r\nA\u0308bend. "])
def test_a_file_is_not_stored_twice(words: str) -> None:
    file = Document("a.txt", "text", (Block("paragraph", words * 500),))
    attached, read = [AttachmentView(document=file.to_json())], clean(file.text)
    turn = answered(TurnView(text="Translate", attached=attached), read)
    assert isinstance(turn.steps[0].content, tuple)
    assert contents(turn) == [read]
    past = Conversation(turns=[turn, answered(TurnView(text="thanks"), "thanks")])
    later = answered(TurnView(text="And into German?"), read, past=past.turns)
    assert len(later.model_dump_json()) < len(read)
    assert contents(later, past) == [read]


def test_an_earlier_answer_is_not_stored_twice() -> None:
    past = Conversation(turns=[answered(TurnView(text=REQUEST), "good evening")])
    turn = answered(TurnView(text="Is that friendly?"), "answer 0", past=past.turns)
    assert turn.steps[0].content == (37, 45, past.turns[0].id)
    assert contents(turn, past) == ["answer 0"]
    assert contents(turn) == [""]  # that turn was not sent


def test_chat_that_read_earlier_turns_says_so() -> None:
    past = Conversation(turns=[answered(TurnView(text="Hello"), "Hello", tasks=("generation",))])
    for task, alone in (("generation", False), ("translation", True)):
        turn = answered(TurnView(text=REQUEST), REQUEST, tasks=(task,))
        assert [step.alone for step in kept_steps(turn, past, TASKS)] == [alone]
    own = Conversation(instructions="Be brief.")
    turn = answered(TurnView(text="Hi"), "Hi", tasks=("generation",))
    assert not kept_steps(turn, own, TASKS)[0].alone
    assert kept_steps(turn, Conversation(), TASKS)[0].alone
