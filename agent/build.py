"""Put an agent together from settings: tasks, engine, planner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from agent.agent import Agent
from agent.limits import Limits
from agent.planning.artefact import Artefact, in_use
from agent.planning.planner import Planner
from agent.planning.reading import Reader
from agent.planning.samples import Samples
from core.settings import Settings
from engine.interface import Engine
from tasks.spec import TaskSpec, load_tasks

Progress = Callable[[str], None]


def build_agent(settings: Settings, progress: Progress = lambda line: None) -> Agent:
    """Load everything a profile names; `progress` gets one line a stage.

    Raises:
        PatchbayError: a task, the weights, the planner or the settings are wrong.
    """
    from engine.load import load_engine, load_fallback  # torch and transformers: seconds to import

    progress("Loading the planner and the base model")
    tasks = load_tasks()
    with ThreadPoolExecutor(1) as beside:
        planner = beside.submit(_planner, tasks, settings)
        fallback = load_fallback(settings, progress)
        engine = load_engine(settings, progress)
    return Agent(engine, tasks, planner.result(), limits=Limits(settings), fallback=fallback)


def assemble(engine: Engine, settings: Settings) -> Agent:
    """An agent around an engine that is already there, the fake one included."""
    tasks = load_tasks()
    return Agent(engine, tasks, _planner(tasks, settings), limits=Limits(settings))


def build_planner(settings: Settings) -> Planner:
    """Only what routing needs, no base model."""
    return _planner(load_tasks(), settings)


def _planner(tasks: Mapping[str, TaskSpec], settings: Settings) -> Planner:
    trained = Artefact(in_use())
    planner = Planner(tasks, Reader(trained), Samples(tasks, trained.names))
    planner.plan("Translate into French: hello")  # reads the language tables before anyone waits
    return planner
