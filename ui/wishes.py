"""Draw the wishes about how texts are written in a conversation: temperature and length."""

from __future__ import annotations

from agent.options import MAX_TEMPERATURE
from ui.words import attributes, say


def draw_wishes(longest: int) -> str:
    """Two boxes that may stay empty.

    Args:
        longest: tokens of an answer at most.
    """
    boxes = _box("temperature", 0, MAX_TEMPERATURE, "0.1") + _box("max_tokens", 1, longest, "1")
    legend = f"<legend>{say('wishes.title')}</legend>"
    return f'<fieldset class="pb-wishes">{legend}{boxes}</fieldset>'


def _box(name: str, least: int, most: int, step: str) -> str:
    hint = say(f"wishes.{name}.hint", least=least, most=most)
    wrong = say("wishes.wrong", least=least, most=most)
    placeholder = attributes(placeholder="wishes.none")
    return (
        f"<label>{say(f'wishes.{name}')}"
        f'<input type="number" name="{name}" min="{least}" max="{most}" step="{step}" '
        f'aria-describedby="pb-{name}" {placeholder}></label>'
        f'<p class="pb-soft" id="pb-{name}"><span class="pb-hint">{hint}</span>'
        f'<span class="pb-wrong">{wrong}</span></p>'
    )
