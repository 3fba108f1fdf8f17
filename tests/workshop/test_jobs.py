"""Jobs: commands one after another, stopped, killed, gone on with; one job at a time."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from polling import eventually
from typer.testing import CliRunner

from core.errors import InputError, UnknownName
from core.statement import statement
from workshop.__main__ import app
from workshop.jobs import Command, Job, JobFolder, Jobs, now

# A command of its own: writes what it is given, and takes its time.
SCRIPT = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
name, seconds, code = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
print("begun", name, *sys.argv[4:], flush=True)
try:
    time.sleep(seconds)
except KeyboardInterrupt:
    open(name + ".checkpoint", "w").close()
    print("saved", flush=True)
    sys.exit(130)
if code < 0:
    os.kill(os.getpid(), -code)
open(name, "a").write("x")
print("error: it went wrong" if code else "done", file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """Jobs in a folder of their own, whose commands can be `step`."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "step.py").write_text(SCRIPT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    return Jobs(tmp_path / "jobs")


def command(folder: Path, name: str, seconds: float = 0, code: int = 0, **more: object) -> Command:
    place = str(folder / name)
    return Command(
        arguments=("step", place, str(seconds), str(code)),
        checkpoint=f"{place}.checkpoint", go_on="--resume", **more,
    )  # fmt: skip


def put(jobs: Jobs, *commands: Command, hold: int = 0) -> JobFolder:
    name = jobs.new_id()
    return jobs.add(
        Job(
            id=name, kind="train", task="sentiment", adapter="mine", in_place="", rows=("a",),
            by="me", at=now(), commands=commands, hold=hold,
        )
    )  # fmt: skip


def ended(found: JobFolder) -> str:
    assert eventually(lambda: found.state.status not in {"queued", "running"}, seconds=60)
    return found.state.status


def test_commands_run_one_after_another(jobs: Jobs, tmp_path: Path) -> None:
    found = put(jobs, command(tmp_path, "one", output="said.txt"), command(tmp_path, "two"))
    assert found.state.status == "stopped"
    jobs.start(found.folder.name)
    assert ended(found) == "finished"
    assert found.state.done == 2
    assert (found.folder / "said.txt").read_text().startswith("begun")
    assert f"begun {tmp_path / 'two'}" in found.log()
    with pytest.raises(InputError, match="is finished"):
        jobs.start(found.folder.name)
    with pytest.raises(UnknownName):
        jobs.get("20260101-000000-abcdef")


def test_it_waits_for_a_person_where_it_holds(jobs: Jobs, tmp_path: Path) -> None:
    found = put(jobs, command(tmp_path, "look"), command(tmp_path, "do"), hold=1)
    jobs.start(found.folder.name)
    assert ended(found) == "ready"
    assert not (tmp_path / "do").exists()
    jobs.start(found.folder.name, release=True)
    assert ended(found) == "finished"
    assert (tmp_path / "look").read_text() == "x", "it is not looked at again"


def test_a_failure_is_said_in_the_command_s_words(jobs: Jobs, tmp_path: Path) -> None:
    found = put(jobs, command(tmp_path, "one", code=1), command(tmp_path, "two"))
    jobs.start(found.folder.name)
    assert ended(found) == "failed"
    assert found.state.problem == "it went wrong"
    assert found.state.statement is None
    fine = put(jobs, command(tmp_path, "three", code=3, passes=(0, 3)))
    jobs.start(fine.folder.name)
    assert ended(fine) == "finished"


def test_a_command_that_is_killed_is_said_to_be(jobs: Jobs, tmp_path: Path) -> None:
    found = put(jobs, command(tmp_path, "one"), command(tmp_path, "two", code=-9))
    jobs.start(found.folder.name)
    assert ended(found) == "failed"
    assert "ended by signal 9" in found.state.problem
    assert found.state.statement == statement("job.signal", found.state.problem, signal=9)
    jobs.start(found.folder.name)
    assert ended(found) == "failed"
    assert (tmp_path / "one").read_text() == "x", "it goes on behind what is done"


def test_one_that_fails_without_a_word_is_known_by_its_code(jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "modules" / "mute.py").write_text("raise SystemExit(7)")
    found = put(jobs, Command(arguments=("mute",)))
    jobs.start(found.folder.name)
    assert ended(found) == "failed"
    assert found.state.problem == "It ended with code 7."
    assert found.state.statement is not None


def test_what_a_killed_worker_half_wrote_is_cleared(jobs: Jobs, tmp_path: Path) -> None:
    found = put(jobs, command(tmp_path, "one"))
    (found.folder / "state.999999.writing").write_text('{"status": "runn')
    jobs.start(found.folder.name)
    assert ended(found) == "finished"
    assert not [*found.folder.glob("*.writing")]


def test_stopped_it_saves_and_goes_on_from_there(jobs: Jobs, tmp_path: Path) -> None:
    found = put(jobs, command(tmp_path, "one"), command(tmp_path, "two", seconds=30))
    jobs.start(found.folder.name)
    assert eventually(lambda: f"begun {tmp_path / 'two'}" in found.log(), seconds=60)
    with pytest.raises(InputError, match="runs already"):
        jobs.start(found.folder.name)
    jobs.stop(found.folder.name)
    assert ended(found) == "stopped"
    assert found.state.done == 1
    assert "saved" in found.log()
    jobs.start(found.folder.name)
    assert eventually(lambda: "--resume" in found.log().rpartition("begun")[2], seconds=60)
    jobs.stop(found.folder.name)
    assert ended(found) == "stopped"


def test_one_at_a_time_and_one_that_waits_can_be_stopped(jobs: Jobs, tmp_path: Path) -> None:
    first = put(jobs, command(tmp_path, "one", seconds=4))
    second = put(jobs, command(tmp_path, "two"))
    third = put(jobs, command(tmp_path, "three"))
    for one in (first, second, third):
        jobs.start(one.folder.name)
        assert eventually(lambda one=one: one.state.pid > 0, seconds=60)
    assert first.state.status == "running"
    assert {second.state.status, third.state.status} == {"queued"}
    jobs.stop(third.folder.name)
    assert ended(third) == "stopped"
    assert ended(first) == "finished"
    assert ended(second) == "finished"
    assert not (tmp_path / "three").exists()


@pytest.mark.parametrize("after", [0.0, 0.4, 1.1])
def test_killed_it_is_interrupted_and_nothing_is_done_twice(
    jobs: Jobs, tmp_path: Path, after: float
) -> None:
    made = tmp_path / "one"
    found = put(jobs, command(tmp_path, "one", made=str(made)), command(tmp_path, "two", seconds=2))
    jobs.start(found.folder.name)
    assert eventually(lambda: found.kept_state.pid > 0, seconds=60)
    time.sleep(after)
    os.kill(found.kept_state.pid, signal.SIGKILL)
    assert eventually(lambda: not found.has_worker(), seconds=60)
    if found.kept_state.status != "finished":
        assert found.state.status == "interrupted"
        jobs.start(found.folder.name)
    assert ended(found) == "finished"
    assert made.read_text() == "x"


def test_a_damaged_folder_says_what_to_do(jobs: Jobs, tmp_path: Path) -> None:
    found = put(jobs, command(tmp_path, "one"))
    (found.folder / "job.json").write_text("{")
    with pytest.raises(InputError, match=r"is damaged .* Delete the folder"):
        _ = found.job


@pytest.mark.parametrize("number", ["--epochs=51", "--learning-rate=1", "--learning-rate=0"])
def test_a_number_that_does_not_fit_is_named(home: Path, number: str) -> None:
    found = CliRunner().invoke(app, ["train", "sentiment", number])
    assert isinstance(found.exception, InputError)
    value = float(number.partition("=")[2])
    assert str(value) in str(found.exception)
    assert "should be" in str(found.exception)
