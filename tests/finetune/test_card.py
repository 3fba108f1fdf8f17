"""An adapter's card says how it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter_store.run_record import read_run_record
from core.paths import REPOSITORY
from finetune.card import how_to_ask
from tasks.spec import load_tasks

CARDS = sorted(REPOSITORY.glob("adapters/*/*/README.md"))


@pytest.mark.parametrize("card", CARDS, ids=[card.parent.name for card in CARDS])
def test_a_shipped_card_has_the_prompt_of_today(card: Path) -> None:
    """Whoever changes a task's prompt makes these cards untrue, and is told."""
    task = load_tasks()[read_run_record(card.parent).trained_for]
    assert how_to_ask(card.parent.name, task) in card.read_text(encoding="utf-8")
