"""How often an export says word for word what Patchbay serves, on real rows.

    python -m benchmarks.exports translation ROWS.jsonl --task translation --limit 100 \
        --fill source=en --fill target=fr --form merged --form q8_0 --llama FOLDER

Patchbay answers with the base in 8 bits, greedily; each export answers the same prompts: `merged`
in transformers (or in that of --python), `f16`, `q8_0` and `q4_0` in llama.cpp, and `gguf-lora`
there on the base's own file. FOLDER is where `npm install --ignore-scripts node-llama-cpp` was run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

import typer
from peft import PeftModel
from transformers import AutoConfig

from adapter_store.discovery import find_finished
from core.settings import load_settings
from core.terminal import aside
from engine import starter_store
from engine.interface import Delta, WriteRequest
from engine.load import load_engine
from engine.starter import find_starter
from finetune import card, export, gguf_file, gguf_lora, model, older_transformers
from tasks.data_files import read_file
from tasks.spec import Decoding, find_task, load_tasks

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
HERE = Path(__file__).parent


@app.command()
def main(
    adapter: str,
    rows: Annotated[Path, typer.Argument(help="a file of rows")],
    task: Annotated[str, typer.Option(help="whose prompt it is asked with")],
    column: Annotated[str, typer.Option(help="that holds the text")] = "text",
    limit: Annotated[int, typer.Option(min=1)] = 100,
    length: Annotated[int, typer.Option(help="tokens of an answer at most")] = 64,
    fill: Annotated[list[str] | None, typer.Option(help="slot=value of the prompt")] = None,
    form: Annotated[list[str] | None, typer.Option(help="exports to compare")] = None,
    llama: Annotated[Path | None, typer.Option(help="folder with node-llama-cpp")] = None,
    python: Annotated[str, typer.Option(help="whose transformers answers")] = sys.executable,
    profile: Annotated[str | None, typer.Option(help="the base that serves")] = None,
) -> None:
    """Print a line for each export: the share of rows with the same text."""
    spec, settings = find_task(load_tasks(), task), load_settings(profile=profile)
    said = spec.fills(
        dict(pair.split("=", 1) for pair in fill or []),
        [both.en for both in spec.labels.values()],
    )
    found = [record for _, record in read_file(rows).found if isinstance(record, dict)]
    texts = [str(record[column]) for record in found[:limit]]
    asked = [tuple(spec.messages(text, said)) for text in texts]
    words = model.load_tokenizer(card.recipe_of(find_finished(adapter)))
    prompts = [
        words.apply_chat_template(
            list(turns), add_generation_prompt=True, enable_thinking=False, tokenize=False
        )
        for turns in asked
    ]
    engine = load_engine(settings)
    try:
        decoding = Decoding(max_new_tokens=length)
        served = []
        for turns in asked:
            pieces = engine.write(WriteRequest(turns, adapter, decoding))
            served.append("".join(one.text for one in pieces if isinstance(one, Delta)))
    finally:
        engine.close()
    with tempfile.TemporaryDirectory() as work:
        written = _write(adapter, form or ["merged"], Path(work))
        for name, files in written.items():
            script = "merged_answers.py" if name == "merged" else "llama_answers.mjs"
            command = [python] if name == "merged" else ["node"]
            command += [str(HERE / script), *([] if name == "merged" else [str(llama)])]
            ran = subprocess.run(
                [*command, *map(str, files)],
                input=json.dumps({"prompts": prompts, "length": length}),
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            answers = json.loads(ran.stdout.splitlines()[-1])
            pairs = [(a.strip(), b.strip()) for a, b in zip(served, answers, strict=True)]
            same = sum(ours == theirs for ours, theirs in pairs)
            print(f"{name}: {same} of {len(pairs)} the same ({same / len(pairs):.1%})", flush=True)
            for ours, theirs in pairs:
                if ours != theirs:
                    aside(f"  {ours!r} and {theirs!r}")


def _write(adapter: str, forms: Sequence[str], work: Path) -> dict[str, list[Path]]:
    """The files of each export, as `finetune export` writes them, merged once for all."""
    folder = find_finished(adapter)
    recipe = card.recipe_of(folder)
    words = model.load_tokenizer(recipe)
    written: dict[str, list[Path]] = {}
    merged = None
    for form in forms:
        place = work / form
        place.mkdir()
        words.save_pretrained(place)
        if form == "gguf-lora":
            starter = find_starter(recipe.base)
            assert starter, "only the starter has a GGUF file of its own here"
            base = starter_store.prepare(starter) / starter_store.GGUF
            config = AutoConfig.from_pretrained(base.parent)
            lora = gguf_lora.write(folder, config, place, gguf_file.About(adapter))
            written[form] = [base, lora]
            continue
        if merged is None:
            merged = PeftModel.from_pretrained(export.base_of(recipe), folder).merge_and_unload()
        if form == "merged":
            merged.save_pretrained(place)
            older_transformers.write(place)
            written[form] = [place]
        else:
            about, weights = gguf_file.About(adapter), cast(gguf_file.Weights, form)
            written[form] = [gguf_file.write(merged, words, place, about, weights)]
    return written


if __name__ == "__main__":
    app()
