"""What a step worked on is stored as a place in the request, and comes back as the text."""

from __future__ import annotations

from agent.events import Finished, Planned, StepFinished, StepStarted
from agent.plan import Plan, Step
from documents import Document
from documents.document import Block
from tasks.spec import load_tasks
from ui.conversation import AttachmentView, Conversation, TurnView
from ui.kept_steps import kept_steps

TASKS = load_tasks()
REQUEST = "Translate into French: good evening"


def answered(turn: TurnView, *contents: str, tasks: tuple[str, ...] = ("translation",)) -> TurnView:
    """The turn after the events of an answer, as the browser gives it back."""
    turn.apply(Planned(Plan(tuple(Step(task, 0.9) for task in tasks), "router")))
    for index, content in enumerate(contents):
        turn.apply(StepStarted(index, Step(tasks[index], 0.9), "mine", content=content))
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


def test_what_stands_nowhere_in_the_request_is_kept_as_it_is() -> None:
    turn = answered(TurnView(text="and in German?"), "good evening")
    assert turn.steps[0].content == "good evening"
    assert contents(turn) == ["good evening"]


def test_a_later_step_works_on_the_answer_before_it() -> None:
    tasks = ("translation", "sentiment")
    turn = answered(TurnView(text=REQUEST), "good evening", "answer 0", tasks=tasks)
    assert turn.steps[1].content == ""
    assert contents(turn) == ["good evening", "answer 0"]


def test_a_file_is_not_stored_twice() -> None:
    file = Document("a.txt", "text", (Block("paragraph", "Guten Abend. " * 500),))
    attached = [AttachmentView(document=file.to_json())]
    turn = answered(TurnView(text="Translate", attached=attached), file.text)
    assert isinstance(turn.steps[0].content, tuple)
    assert contents(turn) == [file.text]


def test_chat_that_read_earlier_turns_says_so() -> None:
    past = Conversation(turns=[answered(TurnView(text="Hello"), "Hello", tasks=("generation",))])
    for task, alone in (("generation", False), ("translation", True)):
        turn = answered(TurnView(text=REQUEST), REQUEST, tasks=(task,))
        assert [step.alone for step in kept_steps(turn, past, TASKS)] == [alone]
    own = Conversation(instructions="Be brief.")
    turn = answered(TurnView(text="Hi"), "Hi", tasks=("generation",))
    assert not kept_steps(turn, own, TASKS)[0].alone
    assert kept_steps(turn, Conversation(), TASKS)[0].alone
