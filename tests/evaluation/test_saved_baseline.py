"""A baseline that was saved: the same answers as scikit-learn's, with Python alone."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import zipfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from judging import TASKS
from test_baseline import BAD, GOOD, NAMED, UNNAMED, edit, judged, learnt, put_adapter

from adapter_store.discovery import find_adapter
from core.errors import InputError
from core.fingerprint import sha256_file
from core.paths import REPOSITORY
from evaluation import baseline, record, saved_baseline
from evaluation.training_rows import NoTrainingRows

ZH = {"pos": ["好看", "很好吃，下次还来", "非常喜欢！"], "neg": ["难吃", "太差了", "送餐慢，冷了"]}
CHINESE = [
    {"text": f"{text}{i}", "label": label}
    for i in range(4)
    for label, texts in ZH.items()
    for text in texts
]
ODD = [
    "",
    " ",
    "\t\n\r\n  ",
    "a",
    "Film",
    "A FUNNY, WARM FILM!!! funny funny",
    "İstanbul ﬁlm STRASSE straße ΣΊΣΥΦΟΣ",
    "warm\u00a0film\u2003dull\u3000bright",
    "warm_film dull-film bright's x1 22",
    "好看",
    "非常  喜欢！\n\n很好吃",
    "FILM 好看 film",
    "不好看不好看不好看 a",
    "ＦＩＬＭ　ｗａｒｍ",
    "👍🏽👍 好 😀",
    "🙂 warm 🙂",
    "\x00\x07warm\x1ffilm",
    "\ud800 好看\ud800",
    "e\u0301te\u0301 ète",
    "ไทย हिन्दी العربية",
    "々〇㐀𠀀好",
    "nothing that anybody learnt",
    "warm " * 400,
    "好看" * 400,
]


def saved(tmp_path: Path, rows: list[dict[str, str]] | None = None) -> Path:
    """The folder of a classifier, saved out of a finished run in `run`."""
    put_adapter(tmp_path / "home", tmp_path / "data", rows or learnt())
    baseline.add(judged(tmp_path, UNNAMED), tmp_path / "data")
    saved_baseline.write(tmp_path / "out", files(tmp_path))
    return tmp_path / "out"


def files(tmp_path: Path) -> dict[str, bytes]:
    return saved_baseline.files(tmp_path / "run", tmp_path / "data")


def classifier_of(folder: Path) -> Any:
    """The class, imported as somebody else's program imports it."""
    spec = spec_from_file_location("classify", folder / "classify.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Classifier()


def asked(folder: Path, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """The program, run without any package, from another folder."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(folder / "classify.py"), *arguments],
        input=given, capture_output=True, cwd="/", check=False,
    )  # fmt: skip


def assert_same(folder: Path, run: Path, data: Path, texts: list[str]) -> None:
    """Every probability is scikit-learn's."""
    found = record.read(run)
    task = TASKS[found.settings.task_name]
    _, model = baseline.fitted(found, task, find_adapter("mine"), data)
    ours = classifier_of(folder)
    assert ours.labels == [*model.classes_]
    for text, wanted in zip(texts, model.predict_proba(texts), strict=True):
        probabilities = ours.probabilities(text)
        assert [*probabilities.values()] == pytest.approx(wanted.tolist(), abs=1e-9, rel=0), text
        assert ours.classify(text)[0] == model.predict([text])[0], text


def test_it_answers_as_scikit_learn_does(tmp_path: Path) -> None:
    folder = saved(tmp_path, learnt() + CHINESE)
    assert_same(folder, tmp_path / "run", tmp_path / "data", ODD)


def test_of_many_labels_too(tmp_path: Path, home: Path) -> None:
    words = [*GOOD, *BAD, "好看", "难吃得很", "说“不”", 'the "end"']
    rows = [{"text": f"{word} {i}", "label": f"about {word}"} for word in words for i in range(3)]
    put_adapter(home, tmp_path / "data", rows, labels="sampled", answers={})
    labels = ", ".join(sorted({row["label"] for row in rows}))
    run = judged(tmp_path, rows[::3], task="classification", labels=labels)
    baseline.add(run, tmp_path / "data")
    saved_baseline.write(tmp_path / "out", files(tmp_path))
    assert_same(tmp_path / "out", run, tmp_path / "data", ODD)


def test_of_headlines_in_two_languages(tmp_path: Path, home: Path) -> None:
    shipped = REPOSITORY / "finetune" / "rows" / "news.jsonl"
    rows = [json.loads(line) for line in shipped.read_text(encoding="utf-8").splitlines()]
    rows = [{"text": row["text"], "label": row["label"]} for row in rows]
    put_adapter(home, tmp_path / "data", rows[::2], labels="sampled", answers={})
    run = judged(tmp_path, rows[1:50:2], task="classification")
    baseline.add(run, tmp_path / "data")
    saved_baseline.write(tmp_path / "out", files(tmp_path))
    assert_same(tmp_path / "out", run, tmp_path / "data", [row["text"] for row in rows])


def test_it_runs_where_there_is_python_alone(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    said = asked(folder, "a warm film", "a dull film").stdout.decode().splitlines()
    assert [line.split("\t")[0] for line in said] == ["positive", "negative"]
    assert all(0.5 < float(line.split("\t")[1]) < 1 for line in said)
    lines = "\ufeffa warm film\r\n\r\n好看\n".encode()
    assert len(asked(folder, given=lines).stdout.splitlines()) == 3
    assert asked(folder, given=lines).stdout.decode().splitlines()[0] == said[0]
    assert asked(folder, given=b"caf\xe9").stderr.startswith(b"standard input is not UTF-8")


def test_a_column_of_a_file(tmp_path: Path) -> None:
    folder, file = saved(tmp_path), tmp_path / "rows.csv"
    file.write_text('\ufeffid,text,label\n1,"warm,\nwarm",old\n\n2,dull,\n', encoding="utf-8")
    found = list(csv.reader(io.StringIO(asked(folder, "--csv", str(file)).stdout.decode())))
    assert found[0] == ["id", "text", "label", "predicted", "probability"]
    assert [row[:4] for row in found[1:]] == [
        ["1", "warm,\nwarm", "old", "positive"],
        ["2", "dull", "", "negative"],
    ]
    wrong = asked(folder, "--csv", str(file), "--column", "words")
    assert wrong.returncode == 1
    assert b"has no column 'words'. Its columns: id, text, label" in wrong.stderr
    file.write_text("id,text\n1,warm,film\n", encoding="utf-8")
    assert b"line 2: 3 values, 2 columns" in asked(folder, "--csv", str(file)).stderr
    assert b"cannot be read" in asked(folder, "--csv", str(tmp_path / "none.csv")).stderr


def test_it_says_what_it_is_and_where_from(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    made = json.loads((folder / "classifier.json").read_text(encoding="utf-8"))
    run = record.read(tmp_path / "run")
    assert run.baseline
    assert run.baseline.compared
    assert made["figures"]["compared"] == run.baseline.compared.model_dump(mode="json")
    assert made["training"]["rows"] == 40
    [source] = made["training"]["data"]
    assert source["sha256"] == {"train.jsonl": sha256_file(tmp_path / "data" / "train.jsonl")}
    assert "scikit-learn" in made["versions"]
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert "| this classifier | 1.000 (1.000 to 1.000) |" in readme
    assert made["figures"]["command"] in readme
    assert "films: licence not stated" in readme
    assert "No training row had neutral" in readme


def test_the_same_rows_give_the_same_files(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    assert files(tmp_path) == {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(InputError, match="is there already"):
        saved_baseline.write(folder, files(tmp_path))


def test_rows_that_were_taken_back_do_not_come_back(tmp_path: Path, home: Path) -> None:
    """Of the training rows: there is no such classifier any more. Of the judged: it is the same."""
    folder = saved(tmp_path)
    answers = tmp_path / "run" / record.BASELINE_FILE
    for file in (answers, tmp_path / "run" / record.ROWS_FILE):
        file.write_text("".join(file.read_text().splitlines(keepends=True)[3:]))
    assert files(tmp_path)["classifier.json"] == (folder / "classifier.json").read_bytes()
    train = tmp_path / "data" / "train.jsonl"
    train.write_text("".join(train.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(NoTrainingRows, match="is not the one that the adapter was trained on"):
        files(tmp_path)
    edit(home / "adapters" / "mine" / "run.json", sha256={"train.jsonl": sha256_file(train)})
    with pytest.raises(InputError, match="40 training rows then, 39 now"):
        files(tmp_path)


def test_what_has_no_baseline_says_why(tmp_path: Path, home: Path) -> None:
    adapter = put_adapter(home, tmp_path / "data", learnt())
    run = judged(tmp_path, NAMED)
    with pytest.raises(InputError, match="has no baseline: `python -m evaluation run` makes one"):
        files(tmp_path)
    (adapter / "recipe.yaml").unlink()
    baseline.add(run, tmp_path / "data")
    with pytest.raises(InputError, match=r"No baseline\. The run record and the recipe of mine"):
        files(tmp_path)


def test_the_command(tmp_path: Path, home: Path) -> None:
    folder = saved(tmp_path)
    command = [sys.executable, "-m", "evaluation", "baseline", str(tmp_path / "run"),
               "--data-folder", str(tmp_path / "data"), "--save"]  # fmt: skip
    again = subprocess.run(
        [*command, str(folder)], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert (again.returncode, again.stdout) == (1, "")
    assert "out is there already" in again.stderr
    done = subprocess.run([*command, "-"], cwd=REPOSITORY, capture_output=True, check=True)
    with zipfile.ZipFile(io.BytesIO(done.stdout)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            f"mine-classifier/{name}": body for name, body in files(tmp_path).items()
        }
