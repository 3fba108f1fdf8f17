"""The lm-evaluation-harness over the engine, held against the harness's own model."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny
import yaml
from judging import write_rows

from core import terminal
from core.errors import InputError, TooLong, UnknownName
from engine.engine import TorchEngine
from engine.fake import FakeEngine
from engine.load_base import load_base
from evaluation.__main__ import app

INSTALLED = importlib.util.find_spec("lm_eval") is not None
needs_harness = pytest.mark.skipif(
    not INSTALLED, reason="lm_eval is not installed: the extra `harness`"
)
LONG = "The ferry runs four times a day in summer and twice in winter. " * 12  # over 512 tokens


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["evaluation", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        terminal.run(app)
    return int(ended.value.code or 0)


@pytest.fixture
def own_tasks(tmp_path: Path) -> Path:
    """A folder with a task of each kind the harness has, over rows of our own."""
    rows = [
        {"question": f"Which is {word}?", "choices": ["a cat", "a red dog"], "right": i % 2}
        for i, word in enumerate(["small", "big", "loud", "calm"])
    ]
    data = write_rows(tmp_path / "tasks" / "rows.jsonl", rows)
    texts = write_rows(
        tmp_path / "tasks" / "texts.jsonl", [{"text": "A short text."}, {"text": LONG}]
    )
    shared = {"dataset_path": "json", "test_split": "test", "metadata": {"version": 1.0}}
    cache = {"cache_dir": str(tmp_path / "cache")}
    asking = {
        "dataset_kwargs": {"data_files": {"test": str(data)}, **cache},
        "doc_to_text": "Question: {{question}}\nAnswer:",
    }
    tasks = {
        "own_choice": {
            **asking,
            "output_type": "multiple_choice",
            "doc_to_choice": "{{choices}}",
            "doc_to_target": "right",
            "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
        },
        "own_text": {
            "dataset_kwargs": {"data_files": {"test": str(texts)}, **cache},
            "output_type": "loglikelihood_rolling",
            "doc_to_text": "",
            "doc_to_target": "{{text}}",
            "metric_list": [{"metric": "word_perplexity"}, {"metric": "bits_per_byte"}],
        },
        "own_answer": {
            **asking,
            "output_type": "generate_until",
            "doc_to_target": "{{choices[right]}}",
            "generation_kwargs": {"until": ["\n"], "max_gen_toks": 6},
            "metric_list": [{"metric": "exact_match"}],
        },
    }
    for name, task in tasks.items():
        file = tmp_path / "tasks" / f"{name}.yaml"
        file.write_text(yaml.safe_dump({"task": name, **shared, **task}))
    return tmp_path / "tasks"


@pytest.fixture(scope="module")
def shelf(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    tiny.add_adapter(tiny_folder, folder, "red", 1)
    return folder


@pytest.fixture(scope="module")
def small(tiny_folder: Path, shelf: Path) -> Iterator[TorchEngine]:
    engine = tiny.engine(load_base(tiny.settings(tiny_folder)), shelf)
    yield engine
    engine.close()


def asked(*pairs: tuple[object, ...]) -> list[SimpleNamespace]:
    """Requests as the harness hands them to a model."""
    return [SimpleNamespace(args=pair) for pair in pairs]


@needs_harness
@pytest.mark.parametrize("adapter", [None, "red"])
def test_the_scores_are_those_of_the_harness_own_model(
    adapter: str | None, small: TorchEngine, tiny_folder: Path, shelf: Path
) -> None:
    from lm_eval.models.huggingface import HFLM

    from evaluation.harness import EngineLM

    peft = {"peft": str(shelf / adapter)} if adapter else {}
    theirs = HFLM(pretrained=str(tiny_folder), device="cpu", dtype="float32", **peft)
    ours = EngineLM(small, adapter)
    pairs = asked(
        ("Which is small?", " a cat"),
        ("Which is small?", " a red dog"),
        ("ends in a space ", "and goes on"),
        ("", "nothing stands before it"),
        (LONG, " is cut on the left"),
    )
    for ours_one, theirs_one in zip(
        ours.loglikelihood(pairs), theirs.loglikelihood(pairs), strict=True
    ):
        assert ours_one[0] == pytest.approx(theirs_one[0], rel=1e-4)
        assert ours_one[1] == theirs_one[1]
    texts = asked(("A short text.",), (LONG,))
    assert ours.loglikelihood_rolling(texts) == pytest.approx(
        theirs.loglikelihood_rolling(texts), rel=1e-4
    )
    questions = asked(
        ("Once upon a time", {"until": ["\n"], "max_gen_toks": 9}),
        (LONG, {"until": [], "max_gen_toks": 5}),
    )
    # Half a character at the end of an answer is left out here and marked there.
    answers = zip(ours.generate_until(questions), theirs.generate_until(questions), strict=True)
    for ours_one, theirs_one in answers:
        assert ours_one.rstrip("�") == theirs_one.rstrip("�")


@needs_harness
def test_the_adapter_makes_the_difference(small: TorchEngine) -> None:
    from evaluation.harness import EngineLM

    pairs = asked(("Which is small?", " a cat"))
    assert EngineLM(small, None).loglikelihood(pairs) != EngineLM(small, "red").loglikelihood(pairs)


@needs_harness
def test_answers_end_at_the_words_the_task_names() -> None:
    from evaluation.harness import EngineLM

    engine = FakeEngine()
    wanted = {"until": ["stop", "never"], "max_gen_toks": 30}
    text = "one two stop three four five six seven"
    assert EngineLM(engine, None).generate_until(asked((text, wanted))) == ["[base] one two "]
    assert engine.passes < 6, "it is not written to the end"


@needs_harness
def test_what_cannot_be_done_is_said() -> None:
    from evaluation.harness import EngineLM

    model = EngineLM(FakeEngine(context_tokens=64), None)
    greedy = {"until": [], "do_sample": False, "top_k": 5, "max_gen_toks": 8}
    assert model.generate_until(asked(("Hi there", greedy)))
    drawn = {**greedy, "do_sample": True, "temperature": 0.7}
    with pytest.raises(InputError, match="asks for top_k=5"):
        model.generate_until(asked(("Hi", drawn)))
    with pytest.raises(InputError, match=r"temperature=9\.0 in its answers: Input should be less"):
        model.generate_until(asked(("Hi", {"temperature": 9.0, "max_gen_toks": 8})))
    with pytest.raises(InputError, match="answers of up to 64 tokens; this base reads 64"):
        model.generate_until(asked(("Hi", {"until": [], "max_gen_toks": 64})))
    with pytest.raises(TooLong, match="65 tokens long"):
        model.loglikelihood(asked(("Hi", "x" * 65)))


@needs_harness
def test_tasks_that_are_not_there(tmp_path: Path, own_tasks: Path, small: TorchEngine) -> None:
    from evaluation import harness

    with pytest.raises(InputError, match="Did you mean own_choice"):
        harness.load(["own_choic"], own_tasks)
    with pytest.raises(InputError, match="is no folder"):
        harness.load(["own_choice"], tmp_path / "none")
    (own_tasks / "rows.jsonl").unlink()
    with pytest.raises(InputError, match="own_choice could not be loaded"):
        harness.load(["own_choice"], own_tasks)
    with pytest.raises(UnknownName, match="Did you mean red"):
        harness.run([], small, "rad", None)


@needs_harness
def test_own_tasks_by_command(
    tmp_path: Path,
    home: Path,
    own_tasks: Path,
    tiny_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    tiny.add_adapter(tiny_folder, home / "adapters", "red", 1)
    values = {"base": str(tiny_folder), "quantization": "none", "context_tokens": 512}
    profile = tmp_path / "tiny.yaml"
    profile.write_text(yaml.safe_dump(values))
    words = ["harness", "--tasks", "own_choice, own_text, own_answer", "--profile", profile]
    words += ["--include-path", own_tasks, "--adapter", "red"]
    file = tmp_path / "found.json"
    assert command(monkeypatch, *words, "--limit", 2, "--output", file) == 0
    printed = capsys.readouterr()
    assert "|own_choice|" in printed.out
    assert "continuation" in printed.err, "progress"
    results = json.loads(file.read_text())
    assert (results["adapter"], results["limit"], results["prompts"]) == ("red", 2, "raw text")
    assert set(results["fingerprints"]) >= {"base", "quantization", "adapter"}
    assert results["results"]["own_choice"]["acc,none"] in {0.0, 0.5, 1.0}
    assert results["results"]["own_text"]["bits_per_byte,none"] > 1
    assert results["n-samples"]["own_answer"] == {"original": 4, "effective": 2}


@pytest.mark.skipif(INSTALLED, reason="lm_eval is installed")
def test_without_the_harness_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert command(monkeypatch, "harness", "--tasks", "arc_easy") == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert '-e ".[harness]"' in line
