"""Whether what somebody rates may be used for training: the question, and what follows from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from agent.feedback.store import Feedback
from ui.buttons import plain_button
from ui.conversation import TurnView
from ui.words import say
from workshop import withdrawal
from workshop.rows import ReviewStore

BROWSER = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Rater:
    """Who rates: a random id of a browser, or who has logged in. `agrees`: to use for training."""

    name: str
    agrees: bool


def rater_of(said: Mapping[str, Any], login: str | None) -> Rater:
    """Who rates, by what the browser says and, where visitors log in, by that."""
    sent = str(said.get("rater", ""))
    name = f"login {login}" if login else sent if BROWSER.fullmatch(sent) else ""
    return Rater(name, bool(name) and said.get("consent") is True)


def withdraw(feedback: Feedback, rater: Rater) -> None:
    """Take a rater's consent back, and say which adapters were trained with what they gave.

    Raises:
        PatchbayError: a file cannot be written.
    """
    if not rater.name:
        return
    adapters = withdrawal.withdraw(ReviewStore(), rater.name)
    feedback.withdraw(rater.name)  # last: until it is done, what was agreed can be withdrawn anew
    said = say("consent.gone.used", names=", ".join(adapters)) if adapters else say("consent.gone")
    gr.Info(said, title="Patchbay")


def draw_consent(turn: TurnView) -> str:
    """The question, or what was answered to it; the style sheet shows what the browser remembers.

    Nothing where there is no rating, and no route that was corrected.
    """
    if not (turn.rating or turn.corrects):
        return ""
    states = {
        "unsaid": (("agree", "consent.agree"), ("refuse", "consent.refuse")),
        "yes": (("withdraw", "consent.withdraw"),),
        "no": (("agree", "consent.change"),),
    }
    shown = "".join(
        f'<p class="pb-consent-{state}">{say(f"consent.{state}")} '
        f"{' '.join(plain_button(act, turn, name) for act, name in acts)}</p>"
        for state, acts in states.items()
    )
    kept = str(turn.consent).lower()
    return f'<div class="pb-consent" data-turn="{escape(turn.id)}" data-kept="{kept}">{shown}</div>'
