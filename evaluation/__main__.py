"""Adapter in, evidence out.

python -m evaluation run --task sentiment --data reviews.jsonl --adapter sentiment-en --output DIR
python -m evaluation compare BASE_DIR DIR
python -m evaluation gate DIR BASE_DIR --also DIR_ELSEWHERE BASE_DIR_ELSEWHERE
python -m evaluation promote DIR BASE_DIR
python -m evaluation baseline DIR --save FOLDER
python -m evaluation interference sentiment-en
python -m evaluation harness --tasks arc_easy --adapter sentiment-en
python -m evaluation routing requests.jsonl
python -m evaluation keep DIR BASE_DIR --to results/adapters/sentiment-en.json
python -m evaluation table --check
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

# Threads that spin while they wait burn the time of whoever shares the processor.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import typer

from adapter_store.discovery import find_adapter
from adapter_store.promotions import MOST_SHARE
from adapter_store.run_record import read_run_record
from core import terminal
from core.errors import InputError, SetupError
from core.settings import load_settings
from core.terminal import aside
from engine.interface import Engine, ScoringEngine
from tasks.data_files import FileForm
from tasks.spec import find_task, load_tasks

if TYPE_CHECKING:
    from core.sequential import Answer
    from evaluation.run_plan import RunPlan

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
STOPPED = "Stopped. Give the same command again; `run` goes on where it was."  # after Ctrl-C
Profile = Annotated[str | None, typer.Option(help="auto, starter, gpu, or a YAML file")]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object")]
Candidate = Annotated[Path, typer.Argument(help="folder of the adapter's run")]
InPlace = Annotated[Path, typer.Argument(help="folder of the run of what the chat uses now")]
Others = Annotated[
    list[Path] | None,
    typer.Argument(metavar="--also OTHER_CANDIDATE OTHER_IN_PLACE", show_default=False,
                   help="folders of two runs over other rows, where it may do no harm"),
]  # fmt: skip
# A flag, since no option of typer's takes two values and can be given again.
Also = Annotated[bool, typer.Option("--also", help="two more folders follow; can be given again")]
Output = Annotated[Path | None, typer.Option(help="write the JSON there too")]
# What `gate` ends with. 1 is any error's code too, which leaves standard output empty.
EXIT_CODES: dict[Answer, int] = {"better": 0, "not better": 1, "not enough evidence": 3}


@app.command()
def run(
    task: Annotated[str, typer.Option(help="name of the task")],
    data: Annotated[Path, typer.Option(help="file of JSON lines, CSV, TSV, XLSX or Parquet")],
    output: Annotated[Path, typer.Option(help="folder of the run; gone on with if it is there")],
    adapter: Annotated[
        str | None,
        typer.Option(
            help="an adapter's name, or base for the bare base; otherwise each row is judged with "
            "what the chat would serve it with"
        ),
    ] = None,
    labels: Annotated[
        str,
        typer.Option(
            help="own label list, by comma; `drawn` draws lists from the file's own labels; `row` "
            "takes each row's own list"
        ),
    ] = "",
    column: Annotated[list[str] | None, typer.Option(help="file column=role")] = None,
    fill: Annotated[
        list[str] | None, typer.Option(help="slot=value for all rows, like target=fr")
    ] = None,
    answer: Annotated[
        list[str] | None,
        typer.Option(help="answer in the file=the label it means, like 1=positive"),
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="of the file, like gb18030")] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="of its columns: a character, or tab")
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="of a workbook; its first by default")] = None,
    limit: Annotated[int | None, typer.Option(help="rows drawn at random by the seed")] = None,
    reverse: Annotated[bool, typer.Option(help="the other direction of a translation")] = False,
    train: Annotated[
        list[Path] | None, typer.Option(help="training file to look for the rows in")
    ] = None,
    data_folder: Annotated[
        Path, typer.Option(help="where the paths in the adapter's recipe begin, for the baseline")
    ] = Path(),
    together: Annotated[
        int, typer.Option(min=1, help="rows asked at the same time: sooner done, same answers")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Judge what the chat serves, an adapter, or the base, on the rows of a file."""
    from evaluation import baseline, contamination, figures, report, runner
    from evaluation.rows import EvaluationData
    from evaluation.run_plan import RunPlan

    spec = find_task(load_tasks(), task)
    figures.metric_names(spec)
    name = None if adapter == "base" else adapter
    selected = EvaluationData(
        data,
        _pairs("--column", "file column=role", column),
        labels,
        limit,
        reverse,
        seed,
        fills=_pairs("--fill", "slot=value", fill),
        answers=_pairs("--answer", "answer in the file=label", answer),
        form=FileForm(encoding, delimiter, sheet),
        trained=read_run_record(find_adapter(name)).scope.slots if name else {},
    )
    rows = selected.rows(spec, aside)
    if name is not None:
        contamination.refuse_training_file(name, data)
    training = contamination.TrainingTexts.of(train, selected.columns, spec) if train else None
    plan = RunPlan(spec, selected, rows, name, training)
    with _engine(profile) as engine:
        _listen()
        if adapter is None:
            plan = _as_served(plan, engine)
        runner.run(plan, engine, output, together)
    finished = baseline.add(output, data_folder)
    page = report.write(output)
    print(finished.model_dump_json(by_alias=True) if as_json else report.as_text(finished))
    aside(str(page))
    if finished.failed:
        aside(
            f"{finished.failed} rows failed; they are in no figure. {output}/run.json lists them."
        )


def _as_served(plan: RunPlan, engine: Engine) -> RunPlan:
    """The run of what the chat would serve each row with; it may have learnt none of them."""
    from evaluation.contamination import refuse_training_file

    plan = plan.as_served(engine)
    for served in {*plan.adapters} - {None}:
        refuse_training_file(str(served), plan.data.file)
    aside(f"What the chat serves is judged: {plan.settings(engine).answered_by}")
    return plan


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="folder of a run")],
    second: Annotated[Path, typer.Argument(help="folder of a run over the same rows")],
    seed: Annotated[int, typer.Option(min=0)] = 0,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Say whether the second run is better than the first."""
    from evaluation import report
    from evaluation.compare import compare as compare_runs

    comparison = compare_runs(first, second, seed)
    record = comparison.record(first, second)
    _print_record(record, report.comparison_as_text(record), as_json, output)


@app.command()
def prefer(
    first: Annotated[Path, typer.Argument(help="folder of a run of a task that writes")],
    second: Annotated[Path, typer.Argument(help="folder of a run over the same rows")],
    limit: Annotated[int | None, typer.Option(min=1, help="judge only the first rows")] = None,
    profile: Profile = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Let the base judge which of two runs' answers are better, asked in both orders."""
    from evaluation import preference
    from evaluation import record as records

    task = find_task(load_tasks(), records.read(first).settings.task_name)
    records.read(second)
    with _engine(profile) as engine:
        preferred = preference.judge(first, second, task, engine, limit)
    _print_record(preferred.record(), preference.as_text(preferred), as_json, output)


@app.command()
def gate(
    candidate: Candidate,
    in_place: InPlace,
    others: Others = None,
    also: Also = False,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Say whether an adapter is better, not better, or how many more rows would tell, and why.

    The exit code is 0, 1 or 3.
    """
    from evaluation import gate as gates

    verdict = gates.judge(candidate, in_place, also=_other_runs(others or [], also))
    _print_record(verdict.record(candidate, in_place), str(verdict), as_json, output)
    raise typer.Exit(EXIT_CODES[verdict.answer])


@app.command()
def baseline(
    run: Candidate,
    save: Annotated[str, typer.Option(help="a new folder; - writes a ZIP to standard output")],
    data_folder: Annotated[
        Path, typer.Option(help="where the paths in the adapter's recipe begin")
    ] = Path(),
) -> None:
    """Save the baseline that an adapter was judged beside: a classifier that works by itself."""
    from evaluation import record, saved_baseline

    content = saved_baseline.files(run, data_folder)
    if save == "-":
        name = f"{record.read(run).settings.adapter}-classifier"
        sys.stdout.buffer.write(saved_baseline.zipped(content, name))
        return
    saved_baseline.write(Path(save), content)
    size = sum(map(len, content.values())) / 1e6
    aside(f'{save}: {size:.1f} MB. `python {save}/{saved_baseline.PROGRAM} "a text"` asks it.')


@app.command()
def calibrate(
    runs: Annotated[list[Path], typer.Argument(help="folders of runs of one adapter")],
) -> None:
    """Fit what an adapter's label scores are shifted by and divided by, on judged rows."""
    from evaluation.calibrate import calibrate as fit

    fitted = fit(runs)
    new, (right, right_now), (loss, loss_now) = fitted.calibration, fitted.accuracy, fitted.log_loss
    print(f"temperature {new.temperature:g}, biases {new.biases or 'none'}, on {new.rows:,} rows")
    print(f"accuracy {right:.3f} -> {right_now:.3f}, log loss {loss:.3f} -> {loss_now:.3f}")


@app.command()
def promote(
    candidate: Candidate,
    in_place: InPlace,
    others: Others = None,
    also: Also = False,
    by: Annotated[str, typer.Option(help="who promotes it")] = "",
    why: Annotated[str, typer.Option(help="what for")] = "",
    force: Annotated[str, typer.Option(help="why it is promoted though it is not better")] = "",
    share: Annotated[
        float,
        typer.Option(min=0, max=MOST_SHARE, help="of the conversations, as a trial; 0 is all"),
    ] = 0,
) -> None:
    """Let the chat use a better adapter by default, at once; `rollback` undoes it."""
    from evaluation import gate as gates
    from evaluation import promotion

    verdict = gates.judge(candidate, in_place, also=_other_runs(others or [], also))
    print(verdict)
    promoted = promotion.promote(candidate, in_place, verdict, force, by=by, why=why, share=share)
    where = f" in {share:.0%} of the conversations" if share else ""
    aside(f"The chat uses {promoted.adapter} for {promoted.task}{where} from now on.")


@app.command()
def rollback(
    task: Annotated[str, typer.Argument(help="name of the task")],
    by: Annotated[str, typer.Option(help="who undoes it")] = "",
    why: Annotated[str, typer.Option(help="what for")] = "",
) -> None:
    """Undo the trial or the last promotion of a task; it takes effect at once."""
    from adapter_store.promotions import Promotions

    undone = Promotions().rollback(find_task(load_tasks(), task).name, by, why)
    left = ", ".join(event.adapter for event in Promotions().current(undone.task))
    aside(f"{undone.adapter} is no longer promoted. Still promoted: {left or 'none'}.")


@app.command()
def interference(
    adapter: Annotated[str, typer.Argument(help="an adapter's name")],
    data: Annotated[
        list[str] | None,
        typer.Option(help="task=file, or general=file for plain text, in place of our own rows"),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="rows of each file, drawn by the seed")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    profile: Profile = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Say what an adapter does to other tasks and to general text, and that it leaves no trace."""
    from evaluation import interference as interferences
    from evaluation import report

    tasks = load_tasks()
    own = interferences.own_task(adapter, tasks)
    files = interferences.files(data or [], tasks, own)
    for name in sorted({*tasks} - {*files, own}):
        aside(f"There are no rows for {name}; give them with --data {name}=FILE.")
    probes = interferences.probes(files, tasks, adapter, limit, seed)
    with _scoring_engine(profile) as engine:
        result = interferences.measure(probes, adapter, own, engine, seed)
    record = result.record()
    _print_record(record, report.interference_as_text(record), as_json, output)
    raise typer.Exit(0 if result.detached.identical else 1)


@app.command()
def harness(
    tasks: Annotated[str, typer.Option(help="names of its tasks or groups, by comma")],
    adapter: Annotated[str, typer.Option(help="an adapter's name; base is the bare base")] = "base",
    limit: Annotated[int | None, typer.Option(min=1, help="first rows of each task")] = None,
    include_path: Annotated[Path | None, typer.Option(help="folder with tasks of your own")] = None,
    profile: Profile = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Run tasks of EleutherAI's lm-evaluation-harness on the base and an adapter."""
    if importlib.util.find_spec("lm_eval") is None:
        raise SetupError(
            "The lm-evaluation-harness is not installed. In the clone: "
            'pip install -c constraints.txt -e ".[harness]"'
        )
    from evaluation import harness as harnessed

    if adapter != "base":
        find_adapter(adapter)
    loaded = harnessed.load(
        [name for name in map(str.strip, tasks.split(",")) if name], include_path
    )
    with _scoring_engine(profile) as engine:
        result = harnessed.run(loaded, engine, None if adapter == "base" else adapter, limit)
    _print_record(result.record, result.table, as_json, output)


@app.command()
def routing(
    file: Annotated[Path, typer.Argument(help="JSON lines: text, history, plan, kind, lang")],
    seed: Annotated[int, typer.Option(min=0)] = 0,
    profile: Profile = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Count how often the plan is exactly right on labelled requests."""
    from evaluation import report
    from evaluation import routing as router

    tasks = load_tasks()
    requests = router.read(file, tasks)
    from agent.build import build_planner

    planner = build_planner(load_settings(profile=profile))
    fingerprints = {name: task.fingerprint for name, task in tasks.items()}
    record = router.record(file, fingerprints, router.judge(planner, requests, seed))
    _print_record(record, report.routing_as_text(record), as_json, output)


@app.command()
def keep(
    run: Candidate,
    base: Annotated[
        Path | None, typer.Argument(help="folder of the bare base's run on the same rows")
    ] = None,
    *,
    to: Annotated[Path, typer.Option(help="the record, like results/adapters/sentiment-en.json")],
) -> None:
    """Keep the figures of a shipped adapter beside the bare base's, as one small file."""
    from evaluation import shipped_results

    shipped_results.write(to, shipped_results.shipped_result(run, base))
    aside(f"{to}. `python -m evaluation table` puts it into the README's table.")


@app.command()
def table(
    check: Annotated[
        bool, typer.Option("--check", help="write nothing; fail if it differs")
    ] = False,
) -> None:
    """Write the table of results/adapters into both READMEs and the adapters' cards."""
    from evaluation import table as tables

    different = tables.update(check=check)
    if check and different:
        raise InputError(
            f"{' and '.join(different)} differ from results/adapters. Write the table with "
            "`python -m evaluation table`."
        )
    aside(f"{', '.join(different)}: written." if different else "READMEs and cards are up to date.")


def _pairs(option: str, form: str, given: list[str] | None) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in given or []]
    for name, sign, value in pairs:
        if not (name and sign and value):
            raise InputError(f"{option} is `{form}`, not {name + sign + value!r}.")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _other_runs(folders: list[Path], also: bool) -> list[tuple[Path, Path]]:
    if len(folders) % 2 or bool(folders) != also:
        raise InputError(
            "Name the folders of the candidate's run and of the run of what is in place, --also "
            f"and two folders for each other pair. {len(folders)} follow the first two."
        )
    return list(zip(folders[::2], folders[1::2], strict=True))


@contextmanager
def _engine(profile: str | None) -> Iterator[Engine]:
    """The app's own engine, closed at the end."""
    settings = load_settings(profile=profile)
    from engine.load import load_engine  # torch and transformers: seconds to import

    with closing(load_engine(settings, lambda line: aside(line + " …"))) as engine:
        yield engine


@contextmanager
def _scoring_engine(profile: str | None) -> Iterator[ScoringEngine]:
    """The same where token ids are scored; a server cannot do that."""
    settings = load_settings(profile=profile)
    from engine.load import load_scoring_engine  # as above

    with closing(load_scoring_engine(settings, lambda line: aside(line + " …"))) as engine:
        yield engine


def _print_record(record: object, text: str, as_json: bool, output: Path | None) -> None:
    """Print a finding, as text or as JSON, and write it to a file where one is named."""
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        written = json.dumps(record, indent=1, ensure_ascii=False)
        output.write_text(written + "\n", encoding="utf-8")
    print(json.dumps(record, ensure_ascii=False) if as_json else text)


def _listen() -> None:
    """Stop on both signals: a shell's & makes programs deaf to the first."""
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, signal.default_int_handler)


if __name__ == "__main__":
    terminal.run(app, STOPPED)
