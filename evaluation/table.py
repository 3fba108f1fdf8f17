"""The tables of shipped figures in the READMEs and the cards, made from their records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard

from adapter_store.discovery import adapter_folders
from adapter_store.files import CARD
from core.errors import InputError
from core.paths import REPOSITORY, shipped_adapter_dirs
from engine.starter import STARTERS
from evaluation import shipped_results
from evaluation.record import Baseline, Figure, Verdict
from evaluation.report import number
from evaluation.shipped_results import ShippedResult
from tasks.spec import Lang

TABLE_BEGIN, TABLE_END = "<!-- results -->", "<!-- /results -->"
CARD_HEAD = "| measured on | figure | base | TF-IDF | with adapter |"
CARD_NOTE = (
    "Measured by Patchbay, with the base in the form that it serves ({forms}). In brackets the 95% "
    "interval; bold: better than the base, paired on the same rows (p < 0.05). TF-IDF: TF-IDF with "
    "logistic regression, trained on the adapter's own rows, so many; a dash where these lack a "
    "label. To repeat it in Patchbay, `DIR` holding the rows and `DATA` what the recipe names:"
)
SHARES = {"accuracy", "macro_f1"}  # shown in percent


@dataclass(frozen=True)
class _Words:
    """What a README says in its language."""

    file: str
    bases: str
    rows: str
    reverse: str
    span: str
    unbeaten: str
    names: dict[str, str]
    verdicts: dict[Verdict, str]
    bases_note: str


README_WORDS: dict[Lang, _Words] = {
    "en": _Words(
        file="README.md",
        bases="| measured on | figure | TF-IDF |",
        rows="{}, {:,} rows",
        reverse="{}, reversed",
        span="{} ({} to {})",
        unbeaten="{}, not beaten",
        names={
            "bleu": "BLEU",
            "chrf": "chrF++",
            "rouge_1": "ROUGE-1",
            "rouge_2": "ROUGE-2",
            "rouge_l": "ROUGE-L",
            "perplexity": "perplexity, lower is better",
        },
        verdicts={
            "better": "**{}**",
            "worse": "{}, worse",
            "no difference shown": "{}, no difference shown",
        },
        bases_note="Each cell: the bare base → with its adapter, or the adapter alone: a base that "
        "is only pretrained writes on without an end. In brackets the 95% interval; "
        "bold: better than the base, paired on the same rows (p < 0.05). TF-IDF: TF-IDF with "
        "logistic regression, trained on the rows of the first base's adapter, so many; a dash "
        "where these lack a label. Each figure links to its adapter's card, where the commands to "
        "repeat it stand; p and fingerprints stand in `results/adapters/`.",
    ),
    "zh": _Words(
        file="README.zh.md",
        bases="| 测试集 | 指标 | TF-IDF |",
        rows="{}，{:,} 行",
        reverse="{}，反向",
        span="{}（{} 至 {}）",
        unbeaten="{}，未被超过",
        names={
            "accuracy": "准确率",
            "bleu": "BLEU",
            "chrf": "chrF++",
            "rouge_1": "ROUGE-1",
            "rouge_2": "ROUGE-2",
            "rouge_l": "ROUGE-L",
            "perplexity": "困惑度，越低越好",
        },
        verdicts={"better": "**{}**", "worse": "{}，更差", "no difference shown": "{}，未见差异"},
        bases_note="每格：基座 → 加适配器，或只有适配器：只做过预训练的基座写起来不会停。"
        "括号内为 95% 区间。粗体：在相同数据行上做配对检验，"
        "优于基座（p < 0.05）。TF-IDF：TF-IDF 加逻辑回归，用第一个基座的适配器的训练数据训练"
        "（括号内为行数），缺少某个标签时记为短横。"
        "每个数字链接到适配器的卡片，其中有复现命令；p 值和指纹在 `results/adapters/`。",
    ),
}


def bases_beside(
    records: Mapping[Path, ShippedResult], cards: Mapping[str, str], lang: Lang
) -> str:
    """One line a test and figure, a column a base; nothing where there are no records.

    Args:
        cards: adapter -> path of its card.
    """
    if not records:
        return ""
    words = README_WORDS[lang]
    results = list(records.values())
    bases = sorted({result.fingerprints["base"] for result in results}, key=_starter_first)
    tests: dict[tuple[object, ...], dict[str, ShippedResult]] = {}
    for result in sorted(results, key=lambda one: (one.task, one.data, one.reverse)):
        test = (result.task, result.data, result.reverse, result.rows)
        tests.setdefault(test, {})[result.fingerprints["base"]] = result
    head = words.bases + "".join(f" {base.rpartition('/')[2]} |" for base in bases)
    lines = [line for test in tests.values() for line in _test_lines(test, bases, cards, words)]
    rule = "|---" * (3 + len(bases)) + "|"
    return "\n".join([head, rule, *lines, "", words.bases_note]) + "\n"


def _starter_first(base: str) -> tuple[bool, str]:
    return base != STARTERS["starter"].name, base


def _test_lines(
    test: Mapping[str, ShippedResult], bases: list[str], cards: Mapping[str, str], words: _Words
) -> Iterator[str]:
    """A line a figure; the data stand in the first only."""
    first = next(test[base] for base in bases if base in test)
    shown = words.rows.format(_data(first, words), first.rows)
    for name in first.figures:
        label = words.names.get(name, name.replace("_", " "))
        baseline = _beside(first.baseline if name == "accuracy" else None, words)
        cells = [_pair(test.get(base), name, cards, words) for base in bases]
        yield f"| {' | '.join([shown, label, baseline, *cells])} |"
        shown = ""


def _pair(result: ShippedResult | None, name: str, cards: Mapping[str, str], words: _Words) -> str:
    one = result.figures.get(name) if result else None
    if result is None or one is None:
        return number(None)
    figure = f"[{_spanned(name, one.adapter, words)}]({cards[result.adapter]})"
    if one.base is None or one.verdict is None:
        return figure
    return f"{_shown(name, one.base.value)} → {words.verdicts[one.verdict].format(figure)}"


def as_markdown(records: Iterable[ShippedResult]) -> str:
    """The table of one adapter, for its card; nothing where there are no records.

    It links nowhere: a card is read on the hub too, where the records are not.
    """
    results = list(records)
    if not results:
        return ""
    lines = [line for result in results for line in _lines(result, README_WORDS["en"])]
    commands = dict.fromkeys(command for result in results for command in result.commands)
    forms = sorted({result.fingerprints["quantization"] for result in results})
    note = CARD_NOTE.format(forms=" and ".join(forms))
    table = [CARD_HEAD, "|---|---|---|---|---|", *lines, "", note, ""]
    return "\n".join([*table, "```sh", *commands, "```"]) + "\n"


def eval_results(records: Iterable[ShippedResult], task_type: str) -> list[EvalResult]:
    """The same figures for the card's `model-index`.

    Args:
        task_type: the hub's name of what the adapter does.
    """
    return [
        EvalResult(
            task_type=task_type,
            dataset_type=Path(result.data).parts[0],
            dataset_name=_data(result, README_WORDS["en"]),
            dataset_split=Path(result.data).stem,
            dataset_config="reversed" if result.reverse else None,
            metric_type=name.partition("_")[0] if name.startswith("rouge") else name,
            metric_name=README_WORDS["en"].names.get(name, name.replace("_", " ")),
            metric_value=one.adapter.value,
        )
        for result in records
        for name, one in result.figures.items()
    ]


def rewritten(text: str, table: str, name: str) -> str:
    """The README's text with the table between its markers.

    Raises:
        InputError: there is not exactly one pair of markers, each on its line.
    """
    lines = text.splitlines(keepends=True)
    places = [
        (i, line.strip())
        for i, line in enumerate(lines)
        if line.strip() in {TABLE_BEGIN, TABLE_END}
    ]
    if [mark for _, mark in places] != [TABLE_BEGIN, TABLE_END]:
        raise InputError(
            f"{name} needs the lines {TABLE_BEGIN} and {TABLE_END} once, in this order."
        )
    (begin, _), (end, _) = places
    return "".join([*lines[: begin + 1], table, *lines[end:]])


def update(root: Path = REPOSITORY, check: bool = False) -> list[str]:
    """Write the table into both READMEs, and into the card of each adapter its own part of it.

    Args:
        root: the repository.
        check: write nothing.

    Returns:
        the files under `root` that the records ask to be different.

    Raises:
        InputError: a record is damaged or does not hold for what ships, or markers are missing.
    """
    wrong = shipped_results.outdated(root)
    if wrong:
        raise InputError("\n".join(wrong))
    different = []
    for name, own, table in _tables(root):
        file = root / name
        text = file.read_text(encoding="utf-8")
        wanted = rewritten(text, table, name) if own is None else _card(text, own, name)
        if wanted != text:
            different.append(name)
            if not check:
                file.write_text(wanted, encoding="utf-8")
    return different


def _tables(root: Path) -> Iterator[tuple[str, list[ShippedResult] | None, str]]:
    """Each document under `root`: a README with its table, a card with its adapter's records."""
    records = shipped_results.read(root)
    folders = adapter_folders(shipped_adapter_dirs(root))
    cards = {name: f"{folder.relative_to(root)}/{CARD}" for name, folder in folders.items()}
    for lang, words in README_WORDS.items():
        yield words.file, None, bases_beside(records, cards, lang)
    for adapter, card in sorted(cards.items()):
        if (root / card).is_file():
            yield card, [one for one in records.values() if one.adapter == adapter], ""


def _card(text: str, records: Sequence[ShippedResult], name: str) -> str:
    """A card's text with the figures of its adapter, to be read and as `model-index`."""
    card = ModelCard(text)
    card.text = rewritten(card.text, as_markdown(records), name)
    figures = eval_results(records, card.data.get("pipeline_tag", "text-generation"))
    card.data["eval_results"] = figures or None
    card.data["model_name"] = records[0].adapter if figures else None
    return str(card)


def _data(result: ShippedResult, words: _Words) -> str:
    data = str(Path(result.data).with_suffix(""))
    return words.reverse.format(data) if result.reverse else data


def _lines(result: ShippedResult, words: _Words) -> Iterator[str]:
    """A table line a figure; the data stand in the first only."""
    shown = words.rows.format(_data(result, words), result.rows)
    for figure, one in result.figures.items():
        ours = _spanned(figure, one.adapter, words)
        bare = _shown(figure, one.base.value if one.base else None)
        if one.verdict:
            ours = words.verdicts[one.verdict].format(ours)
        label = words.names.get(figure, figure.replace("_", " "))
        baseline = _beside(result.baseline if figure == "accuracy" else None, words)
        yield f"| {' | '.join([shown, label, bare, baseline, ours])} |"
        shown = ""


def _beside(baseline: Baseline | None, words: _Words) -> str:
    """The baseline's accuracy, with a word where the adapter is not better.

    A dash where there is none, or where its rows lack a label: it would lose for that alone.
    """
    if baseline is None or baseline.compared is None or baseline.unseen:
        return number(None)
    found = baseline.compared
    shown = f"{_shown('accuracy', found.baseline.value)} ({baseline.training_rows:,})"
    return shown if found.verdict == "better" else words.unbeaten.format(shown)


def _spanned(name: str, figure: Figure, words: _Words) -> str:
    values = (_shown(name, value) for value in (figure.value, figure.low, figure.high))
    return words.span.format(*values)


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return number(value)
    if name in SHARES:
        return f"{value:.1%}"
    return f"{value:.3f}" if name.startswith("rouge") else f"{value:.1f}"
