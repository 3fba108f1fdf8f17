"""Rows in, an adapter out.

python -m finetune check sentiment-en data=reviews.csv
python -m finetune run sentiment-en data=reviews.csv
"""

from __future__ import annotations

import json
import os
import signal
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, cast, get_args

# Threads that spin while they wait burn the time of whoever shares the processor.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import typer

from adapter_store.discovery import find_finished
from adapter_store.files import CARD
from adapter_store.run_record import ENDED_WORSE, read_run_record
from core import terminal
from core.errors import SettingsError, UnknownName
from core.statement import in_english
from core.terminal import aside
from finetune.recipe import load_recipe

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
STOPPED = "Stopped. A checkpoint is saved; go on with --resume."  # after Ctrl-C
RecipeName = Annotated[str, typer.Argument(help="a shipped recipe's name or a .yaml file")]
Finished = Annotated[str, typer.Argument(help="a finished adapter's name")]
Overrides = Annotated[list[str] | None, typer.Argument(help="key=value in place of the recipe's")]


@app.command()
def check(
    recipe: RecipeName,
    overrides: Overrides = None,
    report: Annotated[
        Path | None, typer.Option(help="a file for what it says, in parts: a JSON line for each")
    ] = None,
) -> None:
    """Read every row and say what training would see; train nothing."""
    from finetune import preview

    resolved = load_recipe(recipe, overrides or [])
    aside(resolved.explain())
    with report.open("w", encoding="utf-8") if report else nullcontext() as file:
        for line in preview.lines(resolved.recipe):
            print(in_english(line))
            if file:
                parts = [asdict(one) for one in line]
                file.write(json.dumps(parts, ensure_ascii=False) + "\n")


@app.command()
def fetch(recipe: RecipeName, overrides: Overrides = None) -> None:
    """Fetch a recipe's data sets, and say what each is, its licence, and what is left to do."""
    from finetune import fetch as fetching

    missing = 0
    for one in fetching.fetch(load_recipe(recipe, overrides or []).recipe):
        print(one.line, *one.missing, sep="\n    ", flush=True)
        missing += bool(one.missing)
    if missing:
        aside(f"{missing} of these must be had by hand, or left out of a recipe of your own.")
        raise typer.Exit(1)


@app.command()
def run(
    recipe: RecipeName,
    overrides: Overrides = None,
    resume: Annotated[bool, typer.Option(help="go on from the last checkpoint")] = False,
    replace: Annotated[
        bool, typer.Option(help="replace an adapter or unfinished run of that name")
    ] = False,
) -> None:
    """Train an adapter. Exit code 3: it is there, and its validation loss rose."""
    from finetune import cross_validation, train

    resolved = load_recipe(recipe, overrides or [])
    aside(resolved.explain())
    for kind in (signal.SIGINT, signal.SIGTERM):  # a shell's & makes programs deaf to the first
        signal.signal(kind, signal.default_int_handler)
    losses: list[float] = []
    if resolved.recipe.folds and not resume:
        losses = cross_validation.run(recipe, overrides or [], resolved.recipe.folds, aside)
    folder = train.run(resolved, resume, replace, folds=losses, say=aside)
    print(folder)
    if worse := read_run_record(folder).ended_worse:
        aside(f"error: {worse.english}")
        raise typer.Exit(ENDED_WORSE)


@app.command()
def sweep(
    recipe: RecipeName,
    overrides: Overrides = None,
    trials: Annotated[int, typer.Option(min=1, help="finished trials to reach")] = 10,
) -> None:
    """Search over the recipe's ranges."""
    from finetune import sweep as search

    folder, winner = search.run(recipe, overrides or [], trials)
    aside(f"The plot and every trial's record are in {folder}. The winner:")
    print(" ".join(winner))


@app.command()
def export(
    adapter: Finished,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="adapter (for PEFT), vllm, gguf-lora (llama.cpp's --lora), merged (a whole "
            "model), gguf or ollama",
        ),
    ] = "adapter",
    to: Annotated[Path | None, typer.Option(help="new folder; by default NAME-FORMAT")] = None,
    weights: Annotated[str, typer.Option(help="f16, q8_0 or q4_0, of gguf and ollama")] = "f16",
    fill: Annotated[
        list[str] | None,
        typer.Option(help="slot=value in the prompt of ollama's Modelfile, like target=fr"),
    ] = None,
) -> None:
    """Write an adapter in a form that other programs read."""
    from finetune import export as exporting
    from finetune.gguf_file import Weights

    if form not in get_args(exporting.Format):
        raise UnknownName("format", form, get_args(exporting.Format))
    if weights not in get_args(Weights):
        raise UnknownName("kind of weights", weights, get_args(Weights))
    if weights != "f16" and form not in {"gguf", "ollama"}:
        raise SettingsError(f"--weights {weights} is for --format gguf and ollama, not {form}.")
    pairs = [pair.partition("=") for pair in fill or []]
    target = to or Path(f"{adapter}-{form}")
    drift = exporting.export(
        adapter,
        cast(exporting.Format, form),
        target,
        cast(Weights, weights),
        {name: value for name, _, value in pairs},
    )
    if drift:
        aside(
            f"Largest logit difference {drift.largest:.3g}, "
            f"{drift.agreement:.1%} of the next tokens the same."
        )
    print(target)


@app.command()
def card(
    adapters: Annotated[list[str], typer.Argument(help="finished adapters' names")],
) -> None:
    """Make adapters' cards anew from their records; figures and your notes in them stay."""
    from finetune import card as cards
    from finetune import model

    for folder in map(find_finished, adapters):
        tokenizer = model.load_tokenizer(cards.recipe_of(folder))
        cards.remade(folder, tokenizer).save(folder / CARD)
        print(folder / CARD)


@app.command()
def push(
    adapter: Finished,
    to: Annotated[str, typer.Option(help="OWNER/NAME on the Hugging Face hub")],
    public: Annotated[bool, typer.Option("--public", help="for everybody to read")] = False,
    update: Annotated[bool, typer.Option("--update", help="into one that is there")] = False,
) -> None:
    """Put an adapter with its card on the hub, for you alone unless you say --public."""
    from finetune import hub

    print(hub.push(adapter, to, public, update))


@app.command()
def pull(
    repository: Annotated[str, typer.Argument(help="OWNER/NAME on the Hugging Face hub")],
    name: Annotated[str | None, typer.Option(help="of the adapter here; by default NAME")] = None,
    revision: Annotated[str | None, typer.Option(help="branch, tag or commit")] = None,
    profile: Annotated[str | None, typer.Option(help="whose base it must be for")] = None,
) -> None:
    """Fetch an adapter from the hub, check it as the chat does, and keep it among your own."""
    from core.settings import load_settings
    from finetune import hub

    print(hub.pull(repository, load_settings(profile=profile), name, revision))


if __name__ == "__main__":
    terminal.run(app, STOPPED)
