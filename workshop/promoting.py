"""Put a judged adapter to use, by `evaluation promote`.

The gate decides. Where people have compared the answers blind, the promotion's record keeps what
they found; where they prefer the old answers, it wants a reason, whatever the gate says.
"""

from __future__ import annotations

import subprocess

from adapter_store.promotions import MOST_SHARE
from core import paths
from core.errors import PatchbayError
from workshop.blind_comparisons import BlindComparisons
from workshop.jobs import JobFolder, python_module
from workshop.judging import data_sets, gate_arguments
from workshop.refusal import Refusal

SECONDS = 120  # that `evaluation promote` may take; it reads two small files


def promote(found: JobFolder, by: str, why: str = "", share: float = 0) -> str:
    """Let the chat use the adapter that a job judged.

    Args:
        by: who says so.
        why: the reason, where the gate did not find it better, or people prefer the old answers.
        share: of the conversations, as a trial; 0 is all of them.

    Returns:
        what the command said.

    Raises:
        Refusal: the job is not finished, or people prefer the old answers and `why` is empty.
        PatchbayError: the command refused, with its reason.
    """
    if found.state.status != "finished" or found.job.kind != "judge":
        raise Refusal("unfinished", "Only what a finished judging found can be put to use.")
    arguments = gate_arguments(found.folder, data_sets(found.folder))
    given = ["--by", by, *(["--force", why] if why.strip() else [])]
    given += ["--share", str(share)] if share else []
    comparisons = BlindComparisons(found)
    if people := comparisons.preference:
        if people.prefers_old and not why.strip():
            raise Refusal(
                "people",
                "People who compared blind prefer the old answers: the new ones were chosen on "
                "{new} of {choices} rows. To put it to use all the same, say why.",
                new=people.new, choices=people.new + people.old,
            )  # fmt: skip
        given += ["--why", f"compared blind by {', '.join(comparisons.people)}: {people}"]
    done = subprocess.run(
        python_module(["evaluation", "promote", *arguments, *given]),
        cwd=paths.REPOSITORY, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if line.strip()]
    if done.returncode:
        raise PatchbayError(said[-1].removeprefix("error: ") if said else done.stdout.strip())
    return said[-1] if said else ""


def read_share(text: str) -> float:
    """A trial's share of the conversations as a person wrote it: 0.2.

    Raises:
        Refusal: it is none.
    """
    try:
        share = float(text)
    except ValueError:
        share = 0
    if not 0 < share <= MOST_SHARE:
        raise Refusal(
            "share",
            "{value} is no share of the conversations: give one above 0, and {most} at most.",
            value=text,
            most=MOST_SHARE,
        )
    return share
