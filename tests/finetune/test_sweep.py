"""A sweep: trials with records, a plot, a winner; an interrupted one goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune import sweep

RANGES = "search={learning_rate: {low: 0.001, high: 0.1, log: true}, lora.rank: [2, 4]}"


@pytest.mark.slow
def test_a_sweep(recipe_file: Path, home: Path) -> None:
    words = [RANGES, "steps=2", "evaluations=1"]
    folder, winner = sweep.run(str(recipe_file), words, 2)
    assert folder == home / "sweeps" / "tiny"
    assert {part.split("=")[0] for part in winner} == {"learning_rate", "lora.rank"}
    assert (folder / "sweep.png").is_file()
    assert sorted(f.parent.name for f in folder.glob("*/run.json")) == ["trial-0", "trial-1"]
    sweep.run(str(recipe_file), words, 3)
    assert len(list(folder.glob("*/run.json"))) == 3
