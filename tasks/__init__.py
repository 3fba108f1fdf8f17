"""What the agent can do: one folder per skill, read by router, engine, trainer and evaluator."""

from tasks.spec import Decoding, Message, TaskSpec, load_tasks

__all__ = ["Decoding", "Message", "TaskSpec", "load_tasks"]
