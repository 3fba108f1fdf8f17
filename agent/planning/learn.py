"""Learn from the routes you corrected: `python -m agent.planning.learn`. Minutes of one core."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from agent.feedback.store import Correction, Feedback
from agent.planning import artefact, examples, train
from agent.planning.artefact import Artefact
from core.errors import InputError
from core.terminal import aside, run

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def learn(
    rounds: Annotated[int, typer.Option(min=1)] = 4,
    rows: Annotated[
        int, typer.Option(min=train.BATCH, help="other requests a round, at least")
    ] = 2000,
    rate: Annotated[float, typer.Option(help="the highest learning rate")] = 2e-4,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Train the shipped planner on with your corrections, and use the result where it is better.

    It is put into your Patchbay folder if more of the corrected requests are planned as you said,
    and held-out requests no worse than before.

    Raises:
        InputError: there is nothing to learn, or the result is no better.
    """
    corrected = examples.of_corrections(_learnable(Feedback()))
    before = train.exact(Artefact(artefact.FOLDER).network, corrected)
    own = artefact.own()
    own.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=own.parent) as scratch:
        new = Path(scratch) / own.name
        train.train(
            to=new,
            start=artefact.FOLDER,
            rounds=rounds,
            rows=max(rows, 2 * train.CORRECTION_COPIES * len(corrected)),
            rate=rate,
            seed=seed,
            corrections=True,
        )
        after = train.exact(Artefact(new).network, corrected)
        _say(corrected, before, after)
        if after < before or after == before < 1:
            raise InputError(
                "Nothing was put in place. Give it more --rounds, and see that no two corrections "
                "of one request contradict each other."
            )
        shutil.rmtree(own, ignore_errors=True)
        new.rename(own)
    aside(f"{own}: used from the next start on. Delete it to go back to the shipped planner.")


def _learnable(feedback: Feedback) -> list[Correction]:
    """The corrections to tasks that the planner is trained for.

    Raises:
        InputError: there are none.
    """
    kept = feedback.corrections()
    known = [row for row in kept if set(row.tasks) <= set(examples.NAMES)]
    others = sorted({name for row in kept for name in row.tasks} - set(examples.NAMES))
    if others:
        aside(
            f"{len(kept) - len(known)} of {len(kept)} left out, to {', '.join(others)}: a skill "
            "added later is known by its requests.yaml. Put such requests there."
        )
    if not known:
        raise InputError(
            f"There are no corrected routes to learn from in {feedback.file}. One is kept whenever "
            "you have the page answer a request with another skill."
        )
    return known


def _say(corrected: list[examples.Example], before: float, after: float) -> None:
    count = len(corrected)
    aside(
        f"Of {count} corrected requests {round(before * count)} were planned as you said before, "
        f"{round(after * count)} are now."
    )


if __name__ == "__main__":
    run(app)
