"""Draw trials: how one is begun, and what the ratings say of those that stand."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ui.words import say
from workshop.jobs import JobFolder
from workshop.trials import Trial

SHARES = (10, 20, 50)  # percent of the conversations that are offered
ANSWERS = {  # of the sequential test -> key of its words
    "better": "judge.better",
    "not better": "judge.worse",
}


def draw_try(found: JobFolder, why: str) -> str:
    """How a judged adapter is tried.

    Args:
        why: HTML of what asks for a reason, where it wants one.
    """
    options = "".join(f'<option value="{one / 100}">{one}%</option>' for one in SHARES)
    return (
        f'<form data-do="try" data-job="{escape(found.folder.name)}" autocomplete="off">'
        f'<p class="pb-acts">{why}<button type="submit" class="pb-chip">{say("judge.try")}</button>'
        f'<label><select name="share">{options}</select> {say("judge.share")}</label></p></form>'
    )


def draw_trials(trials: Sequence[Trial]) -> str:
    """Those that stand."""
    return "".join(map(_trial, trials))


def _trial(trial: Trial) -> str:
    event, new, old, evidence = trial.event, trial.new, trial.old, trial.evidence
    since = say(
        "trial.since",
        adapter=event.adapter,
        share=f"{100 * event.share:.0f}",
        task=event.task,
        at=event.at[:16].replace("T", " "),
    )
    likes = say(
        "trial.likes",
        new=new.liked, news=new.rated, in_place=old.adapter, old=old.liked, olds=old.rated,
    )  # fmt: skip
    answer = say(ANSWERS.get(evidence.answer, "judge.unknown"))
    more = f" · {say('trial.more', ratings=trial.more_ratings)}" if trial.more_ratings else ""
    end = (
        f'<button type="button" class="pb-chip" data-do="rollback" '
        f'data-task="{escape(event.task)}" data-id="{escape(event.fingerprint)}">'
        f"{say('trial.end')}</button>"
    )
    return (
        f'<section class="pb-facts pb-trial"><h3>{say("trial.title")}</h3><p>{since}</p>'
        f"<p>{likes}</p><p><b>{answer}</b>{more}</p>"
        f'<p class="pb-acts">{end}</p></section>'
    )
