"""A text as it comes from another tool, with what people said of it there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tasks.spec import SlotValue

Said = tuple[str, str]  # an answer, and who gave it


@dataclass(frozen=True)
class AnnotatedText:
    """One row of a file.

    Attributes:
        id: the review row that it was exported from; empty: it comes from elsewhere.
        suggested: what a model, or the file, takes for right.
        right: the answer that all annotators agree on, `by` them; empty where there is none.
        declined: all who looked at it put it aside.
        disagreed: the annotators did not agree; `suggested` is what most of them said.
        line: where it stands in its file.
    """

    text: str
    id: str = ""
    slots: dict[str, SlotValue] = field(default_factory=dict)
    suggested: str = ""
    right: str = ""
    by: str = ""
    declined: bool = False
    disagreed: bool = False
    line: int = 0


def agreed(said: Sequence[Said]) -> tuple[str, str, bool]:
    """What annotators agree on, who they are, and whether they disagree.

    Returns:
        (right, by, False), or (what most say, "", True), or ("", "", False) of nobody.
    """
    if not said:
        return "", "", False
    counts = Counter(answer for answer, _ in said)
    most = counts.most_common(1)[0][0]
    if len(counts) > 1:
        return most, "", True
    return most, ", ".join(dict.fromkeys(by for _, by in said if by)), False
