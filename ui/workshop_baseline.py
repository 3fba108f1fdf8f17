"""Draw the simple classifier beside a judged adapter, and offer it where it is not beaten."""

from __future__ import annotations

from html import escape

from ui.words import say
from ui.workshop_download import PATH
from workshop.baseline import Accuracy, BaselineFigures, read_baseline
from workshop.jobs import JobFolder


def draw_baseline(found: JobFolder) -> str:
    """What a judging found of it; nothing where there was none."""
    figures = read_baseline(found)
    if figures is None:
        return ""
    if figures.beaten:
        return f'<p class="pb-soft">{_accuracies(figures)}</p>'
    unseen = say("baseline.unseen", labels=", ".join(figures.unseen)) if figures.unseen else ""
    job, adapter = found.folder.name, escape(found.job.adapter)
    return f"""<section class="pb-baseline">
<p><b>{say("baseline.better" if figures.worse else "baseline.as_good")}</b> {_accuracies(figures)}
{say("baseline.what")} {unseen}</p>
<p class="pb-acts"><button type="button" class="pb-chip" data-save="{PATH}/{escape(job)}"
 data-name="{adapter}-classifier.zip">{say("baseline.download")}</button>
<span class="pb-making pb-soft" role="status" hidden>{say("baseline.making")}</span></p>
<div class="pb-save-fault"></div>
<p class="pb-lost pb-table-error" role="alert" hidden>{say("baseline.lost")}</p>
</section>"""


def _accuracies(figures: BaselineFigures) -> str:
    return say(
        "baseline.figures",
        training=f"{figures.training_rows:,}",
        rows=f"{figures.rows:,}",
        **_spanned("simple", figures.baseline),
        **_spanned("adapter", figures.adapter),
    )


def _spanned(name: str, of: Accuracy) -> dict[str, str]:
    parts = {name: of.value, f"{name}_low": of.low, f"{name}_high": of.high}
    return {part: f"{value:.1%}" for part, value in parts.items()}
