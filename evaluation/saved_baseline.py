"""A run's baseline as a classifier by itself: needs Python, and neither Patchbay nor a package."""

from __future__ import annotations

import io
import json
import platform
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sklearn.pipeline import Pipeline

from adapter_store.discovery import find_adapter
from core.errors import InputError
from evaluation import baseline, contamination, record, shipped_results
from evaluation.record import Run
from evaluation.training_rows import TrainingRows
from tasks.spec import find_task, load_tasks
from tasks.text_classifier import term_rules

HERE = Path(__file__).parent
PROGRAM, WEIGHTS, README = "classify.py", "classifier.json", "README.md"
TEMPLATE = "classifier_readme.md.j2"
PACKAGES = ("scikit-learn", "scipy", "numpy")


def files(folder: Path, data_folder: Path) -> dict[str, bytes]:
    """The classifier of a finished run, trained anew from the rows that are there now.

    Args:
        folder: of the run.
        data_folder: where the paths in the adapter's recipe begin.

    Returns:
        name -> content of each of its files.

    Raises:
        InputError: the run has no baseline, or what is trained now is another one.
        NoTrainingRows: the rows that it was trained on are not here as they were.
        UnknownName: the task or the adapter is not there.
    """
    run = record.read(folder)
    adapter = run.settings.adapter
    if run.baseline is None or adapter is None:
        raise InputError(
            f"{folder} has no baseline: `python -m evaluation run` makes one for an adapter that "
            "chooses. Give its command again to add it."
        )
    if run.baseline.compared is None:
        raise InputError(f"{folder}: {baseline.as_sentence(run.baseline)}")
    task, place = find_task(load_tasks(), run.settings.task_name), find_adapter(adapter)
    rows, model = baseline.fitted(run, task, place, data_folder)
    _require_same(folder, run, rows, model)
    made = _described(run, place, rows, model)
    return {
        WEIGHTS: _as_json({**made, "terms": _terms(model)}),
        PROGRAM: (HERE / PROGRAM).read_bytes(),
        README: _readme(run, made),
    }


def write(to: Path, content: dict[str, bytes]) -> None:
    """Put the files into a folder that is not there yet.

    Raises:
        InputError: there is something.
    """
    if to.is_file() or (to.is_dir() and any(to.iterdir())):
        raise InputError(f"{to} is there already. Name a new folder, or an empty one.")
    to.mkdir(parents=True, exist_ok=True)
    for name, body in content.items():
        (to / name).write_bytes(body)


def zipped(content: dict[str, bytes], folder: str) -> bytes:
    """The files as a ZIP archive, in a folder."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as into:
        for name, body in content.items():
            into.writestr(f"{folder}/{name}", body)
    return archive.getvalue()


def _require_same(folder: Path, run: Run, rows: TrainingRows, model: Pipeline) -> None:
    """See that it is the classifier whose figures the run has: it answers as that one did."""
    then = record.outcomes(folder, record.BASELINE_FILE)
    now = baseline.answers_of(model, then) if then else []
    changed = sum(a.answer != b.answer for a, b in zip(then, now, strict=True))
    trained = run.baseline.training_rows if run.baseline else 0
    if changed or trained != len(rows.texts):
        raise InputError(
            f"What is trained now is not the baseline whose figures {folder / record.RUN_FILE} "
            f"has: {trained:,} training rows then, {len(rows.texts):,} now; {changed:,} of "
            f"{len(then):,} answers differ. Judge the adapter again."
        )


def _described(run: Run, adapter: Path, rows: TrainingRows, model: Pipeline) -> dict[str, Any]:
    """All but the terms."""
    known = contamination.run_record_or_empty(adapter)
    recipe = contamination.recipe_or_empty(adapter)
    fields = ("name", "licence", "attribution", "sha256")
    sources = [
        {field: getattr(one, field) for field in fields}
        for one, _ in contamination.data_sets(known, recipe)
    ]
    judged = run.baseline.model_dump(mode="json") if run.baseline else {}
    versions = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    return {
        "schema": 1,
        "what": baseline.NAME,
        "labels": [str(label) for label in model.classes_],
        "intercepts": model[-1].intercept_.tolist(),
        "term_rules": term_rules(),
        "figures": {
            "command": shipped_results.command(run.settings, run.baseline),
            "data": {"name": run.settings.data, "sha256": run.settings.sha256},
            "adapter": {"name": run.settings.adapter, **run.settings.fingerprints},
            **judged,
        },
        "training": {"rows": len(rows.texts), "data": sources},
        "versions": versions,
    }


def _terms(model: Pipeline) -> dict[str, list[float]]:
    """Term -> its idf, then a coefficient for each intercept."""
    vectors, regression = model
    columns = regression.coef_.T.tolist()
    idf = vectors.idf_.tolist()
    return {
        term: [idf[place], *columns[place]] for term, place in sorted(vectors.vocabulary_.items())
    }


def _as_json(values: dict[str, Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()


def _readme(run: Run, made: dict[str, Any]) -> bytes:
    shelf = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    return shelf.get_template(TEMPLATE).render(run=run, **made).encode()
