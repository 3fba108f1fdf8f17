"""What of the workshop is shown: the browser holds it and sends it with everything that is done."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from workshop.review_row import Why

Tab = Literal["review", "train", "judge", "watch"]
TABS: tuple[Tab, ...] = ("review", "train", "judge", "watch")


class View(BaseModel):
    """What is shown.

    Attributes:
        why: rows that are here for that reason alone.
        task: of the rows; "" is all of them, where there are several.
        row: id of the row that is reviewed, "" is the next; line of the one that is compared.
        search: words of the rows that are listed.
        job: id of the job that is looked at; "" is the latest.
        adapter: that is to be judged.
        compare: id of the job whose answers are compared blind.
        named: id of the job whose answers are shown by name, though some could be compared.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    tab: Tab = "review"
    task: str = ""
    why: Why | None = None
    row: str = ""
    search: str = ""
    job: str = ""
    adapter: str = ""
    compare: str = ""
    named: str = ""

    def but(self, **changes: str) -> View:
        """The view with other values."""
        return self.model_copy(update=changes)


def read_view(sent: Any) -> View:
    """A view as the browser sent it; the first one where that is none."""
    try:
        return View.model_validate(sent or {})
    except ValidationError:
        return View()
