"""Cross-validation for small sets: as many trainings, each with another part held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from adapter_store.run_record import read_run_record
from core import paths
from finetune import train
from finetune.recipe import load_recipe


def run(name: str, overrides: Sequence[str], count: int, say: Callable[[str], None]) -> list[float]:
    """Train once for each fold, on the rows outside of it.

    The adapters stay in the person's `folds/` folder, out of the chat's sight.

    Args:
        name: a shipped recipe's name or a .yaml file.
        overrides: `key=value` in place of the recipe's.
        count: folds.
        say: told each fold's loss.

    Returns:
        the lowest validation loss of each fold, nats an answer token.
    """
    losses: list[float] = []
    recipe = load_recipe(name, overrides).recipe.name
    for fold in range(count):
        fold_overrides = [*overrides, f"fold={fold}", f"name={recipe}-fold{fold}"]
        adapters_dir = paths.user_dir() / "folds" / recipe
        adapter = train.run(
            load_recipe(name, fold_overrides), replace=True, adapters_dir=adapters_dir
        )
        losses.append(read_run_record(adapter).best_loss)
        say(f"Fold {fold + 1} of {count}: validation loss {losses[-1]:.4f}")
    return losses
