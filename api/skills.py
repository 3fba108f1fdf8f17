"""POST /v1/route and /v1/classify: what Patchbay does and OpenAI's API has no words for."""

from __future__ import annotations

from contextlib import closing

from fastapi import APIRouter, Request

from agent.agent import Agent
from agent.cleaning import clean
from agent.options import TurnOptions
from agent.plan import Plan, Step
from api.answer import Answer, alternatives
from api.background_turn import Turns, unless_gone
from api.errors import documented
from api.reply_schemas import (
    Classified,
    Route,
    RoutedStep,
)
from api.schemas import (
    ClassifyRequest,
    RouteRequest,
    as_messages,
)
from core.access import Visitor
from core.errors import InputError
from tasks.spec import SlotValue, TaskSpec, find_task

DEFAULT_CHOICE_TASK = "classification"
ERRORS = documented(400, 401, 403, 404, 413, 422, 429, 500, 503)


def skill_routes(router: APIRouter, agent: Agent, turns: Turns) -> None:
    """Add both operations."""

    @router.post("/v1/route", responses=ERRORS)
    async def route(request: Request, body: RouteRequest) -> Route:
        """Plan a request without answering it."""
        visitor: Visitor = request.state.visitor
        history = as_messages(body.history or [])
        plan = await turns.call(
            visitor.name, lambda: agent.planner.plan(body.input, history, content=body.content)
        )
        request.state.log_fields["tasks"] = [step.task for step in plan.steps]
        return _route(plan)

    @router.post("/v1/classify", responses=ERRORS)
    async def classify(request: Request, body: ClassifyRequest) -> Classified:
        """Find a text's label, with the probability of each."""
        visitor: Visitor = request.state.visitor
        plan = _plan(body, find_task(agent.tasks, body.task or DEFAULT_CHOICE_TASK))
        options = TurnOptions(allowed=visitor.allowed, visitor=visitor.name)
        answer = Answer(seed=0)

        async def finish() -> None:
            while (event := await turn.next()) is not None:
                answer.take(event)

        turn = turns.begin(lambda stop: agent.run_plan(plan, stop=stop, options=options))
        with closing(turn):
            await unless_gone(request, finish())
        request.state.log_fields |= answer.log_fields
        step, *_ = answer.patchbay.steps
        return Classified(
            label=step.text, labels=step.labels, usage=answer.usage, patchbay=answer.patchbay
        )


def _plan(body: ClassifyRequest, task: TaskSpec) -> Plan:
    """One step that chooses.

    Raises:
        InputError: the task does not choose, or has labels of its own, or there is no text.
    """
    if task.kind != "choose":
        raise InputError(f"The task {task.name!r} has no labels, it writes. Name another.")
    slots: dict[str, SlotValue] = {}
    if body.labels:
        if task.labels_slot is None:
            own = ", ".join(task.labels)
            raise InputError(f"The task {task.name!r} has labels already: {own}. Leave yours out.")
        slots[task.labels_slot] = body.labels
    return Plan((Step(task.name, 1.0, slots, text=clean(body.input)),), "chosen")


def _route(plan: Plan) -> Route:
    return Route(
        steps=[
            RoutedStep(
                task=step.task,
                confidence=step.confidence,
                slots=step.slots,
                nearest=step.nearest,
                text=step.text,
            )
            for step in plan.steps
        ],
        confidence=plan.confidence,
        uncertain=plan.uncertain,
        reason=plan.reason,
        milliseconds=plan.milliseconds,
        question=plan.question.message if plan.question else None,
        alternatives=alternatives(plan),
    )
