"""Draw where an answer comes from: each sentence, or part, opens its place in the text."""

from __future__ import annotations

from html import escape

from agent.events import Source, Sources, TextPlace
from tasks.spec import TaskSpec
from ui.bars import label_title, percent
from ui.words import say, show


def draw_sources(sources: Sources, text: str, task: TaskSpec | None) -> str:
    """The sentences of a text, or the verdicts on its parts, in order.

    Args:
        text: the answer; of a choice it is not drawn.
    """
    read = say("sources.read", read=sources.read, parts=sources.parts)
    drawn = [_source(source, text, task) for source in sources.sources]
    if sources.sources and all(text[: one.begin].endswith("- ") for one in sources.sources):
        drawn = ["<ul>", *(f"<li>{one}</li>" for one in drawn), "</ul>"]
    return f'<div class="pb-sources">{"".join(drawn)}<p class="pb-note">{read}</p></div>'


def _source(source: Source, text: str, task: TaskSpec | None) -> str:
    said = escape(text[source.begin : source.end].strip())
    if source.label:
        said = f"{show(label_title(source.label, task))} {percent(source.probability)}"
    if source.place is None:
        return f'<p dir="auto">{said} <span class="pb-soft">{say("sources.none")}</span></p>'
    place = source.place
    passage = (
        f'<blockquote dir="auto">{escape(place.before)}<mark>{escape(place.words)}</mark>'
        f"{escape(place.after)}</blockquote>"
    )
    return (
        f'<details><summary dir="auto">{said} <span class="pb-soft">{_where(place)}</span>'
        f"</summary>{passage}</details>"
    )


def _where(place: TextPlace) -> str:
    page = say("sources.page", page=place.page) + " " if place.page is not None else ""
    paragraph = say("sources.paragraph", number=place.paragraph)
    return page + paragraph + (f" · {escape(place.heading)}" if place.heading else "")
