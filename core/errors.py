"""Every error that is safe to show a person.

    PatchbayError
    ├── SettingsError      a profile, settings file, variable or flag is wrong
    ├── SetupError         weights could not be fetched, checked or stored
    ├── InputError         a request cannot be answered as it was given
    │   ├── AsksBack       something is missing that only the person can say
    │   ├── UnknownName    no task, adapter or profile has that name
    │   └── TooLong        more tokens than the model can read
    ├── TaskError          a task's YAML files are wrong
    ├── AdapterError       an adapter was refused
    ├── NotAllowed         the visitor may not use the adapter that would answer
    ├── TooMany            one visitor asks too much
    ├── EngineBusy         the queue is full
    ├── EngineAway         what runs the base is elsewhere, and does not answer
    └── Draining           the server is on its way out

Raise at the depth where the mistake is; only an outermost layer (command line, page) turns one
into a message. Each message says what was wrong, the value, and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PatchbayError(Exception):
    """The root: its text is a sentence for the person, never a traceback."""


class SettingsError(PatchbayError):
    """A profile, settings file, environment variable or flag is wrong."""


class SetupError(PatchbayError):
    """Weights could not be fetched, checked or stored."""


class InputError(PatchbayError):
    """A request cannot be answered as it was given."""


class AsksBack(InputError):
    """Something is missing that only the person can say; the message asks for it."""


class UnknownName(InputError):
    """No task, adapter or profile has that name; the message lists near matches."""

    def __init__(self, what: str, name: str, names: Iterable[str]) -> None:
        choices = sorted(names)
        near = difflib.get_close_matches(name, choices, n=3)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        listed = ", ".join(choices) if choices else "none"
        super().__init__(f"There is no {what} named {name!r}. {hint}Available: {listed}.")
        self.name = name


class TooLong(InputError):
    """More tokens than the model can read; the message has the numbers."""


class TaskError(PatchbayError):
    """A task's YAML files are wrong; the message names the file and the key."""


class AdapterError(PatchbayError):
    """An adapter was refused; the message says why."""


class NotAllowed(PatchbayError):
    """The visitor may not use the adapter that would answer."""


class TooMany(PatchbayError):
    """One visitor asks too much, at one time or within a minute."""


class EngineBusy(PatchbayError):
    """The queue of turns, or the engine's own, is full."""


class EngineAway(PatchbayError):
    """What runs the base is elsewhere, and does not answer or was lost in the middle."""


class Draining(PatchbayError):
    """The server is on its way out."""
