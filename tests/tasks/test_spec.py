"""Task files: what is read, what is refused, and what a prompt becomes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from core.errors import InputError, TaskError, UnknownName
from tasks.spec import conversation_task, find_task, load_tasks

REQUESTS = {"en": ["Find the keywords in this text"], "zh": ["找出这段话的关键词"]}
TASK = {
    "name": "keywords",
    "version": 1,
    "kind": "write",
    "title": {"en": "Keywords", "zh": "关键词"},
    "description": {"en": "Finds keywords.", "zh": "找关键词。"},
    "prompt": {"system": "List {count} keywords."},
    "slots": {
        "count": {
            "type": "choice",
            "default": "few",
            "choices": {"few": {"say": "three", "words": ["a few"]}},
        }
    },
    "requests": None,
}


def write(folder: Path, **changes: object) -> Path:
    values = {key: value for key, value in (TASK | changes).items() if value is not None}
    where = folder / "keywords"
    where.mkdir(parents=True, exist_ok=True)
    (where / "task.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    (where / "requests.yaml").write_text(yaml.safe_dump(REQUESTS), encoding="utf-8")
    return folder


def test_the_shipped_tasks_are_whole() -> None:
    tasks = load_tasks()
    assert set(tasks) >= {
        "generation",
        "sentiment",
        "translation",
        "summarization",
        "classification",
    }
    for task in tasks.values():
        assert task.examples.get("en")  # tests/ui/test_first_screen.py has each answered
        assert len(task.requests.all()) == len(set(task.requests.all())), task.name


def test_a_prompt_is_filled_and_braces_in_the_text_stay(tmp_path: Path) -> None:
    task = load_tasks([write(tmp_path)])["keywords"]
    messages = task.messages("a {count} {text} {{x}}", {"count": "three"})
    assert messages == [
        {"role": "system", "content": "List three keywords."},
        {"role": "user", "content": "a {count} {text} {{x}}"},
    ]


def test_a_persons_system_message_replaces_the_tasks() -> None:
    chat = load_tasks()["generation"]
    history = [{"role": "system", "content": "Be a pirate."}, {"role": "user", "content": "hi"}]
    messages = chat.messages("who?", {}, history)  # type: ignore[arg-type]
    assert [m["content"] for m in messages] == ["Be a pirate.", "hi", "who?"]


def test_the_fingerprint_follows_what_changes_answers(tmp_path: Path) -> None:
    first = load_tasks([write(tmp_path / "a")])["keywords"]
    title = load_tasks([write(tmp_path / "b", title={"en": "Words", "zh": "词"})])["keywords"]
    prompt = load_tasks([write(tmp_path / "c", prompt={"system": "Keywords:"})])["keywords"]
    assert first.fingerprint == title.fingerprint != prompt.fingerprint


def test_the_persons_own_task_wins(tmp_path: Path, home: Path) -> None:
    write(home / "tasks", version=7)
    assert load_tasks()["keywords"].version == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "choose"}, "needs `labels`"),
        ({"labels": {"a": {"en": "a", "zh": "a"}}}, "belong to `choose`"),
        ({"prompt": {"system": "{nope}"}}, "uses {nope}"),
        ({"prompt": {"user": "no content"}}, "must hold {text}"),
        ({"wrong": 1}, "wrong: Extra inputs"),
        ({"name": "Key Words"}, "the folder 'keywords'"),
        ({"version": 0}, "version"),
        ({"commands": ["two words"]}, "one word"),
        ({"commands": ["chat"]}, "belongs to both"),
    ],
)
def test_a_wrong_task_is_refused_by_file_and_key(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    from core.paths import task_dirs

    with pytest.raises(TaskError, match=message):
        load_tasks([task_dirs()[0], write(tmp_path, **changes)])


def test_missing_requests_and_broken_yaml(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "keywords" / "requests.yaml").unlink()
    with pytest.raises(TaskError, match=r"requests\.yaml cannot be read"):
        load_tasks([folder])
    (folder / "keywords" / "task.yaml").write_text("a: [")
    with pytest.raises(TaskError, match=r"task\.yaml cannot be read"):
        load_tasks([folder])


def test_tasks_are_found_by_name_and_command() -> None:
    tasks = load_tasks()
    assert find_task(tasks, "chat").name == "generation"
    with pytest.raises(UnknownName, match="Did you mean sentiment"):
        find_task(tasks, "sentimnt")


def test_slots_become_what_the_prompt_says() -> None:
    tasks = load_tasks()
    translation, summarization = tasks["translation"], tasks["summarization"]
    said = translation.fills({"source": "en", "target": "fr"})
    assert said == {"source": "English", "target": "French"}
    assert (
        summarization.fills({})["length"] == summarization.slots["length"].choices["sentence"].say
    )
    assert tasks["sentiment"].fills({}, ["good", "bad"]) == {"labels": "good, bad"}
    with pytest.raises(InputError, match="'xx' is no ISO 639-1"):
        translation.fills({"target": "xx"})
    with pytest.raises(InputError, match=r"length is one of sentence, .*, not 'epic'"):
        summarization.fills({"length": "epic"})


def test_slots_are_looked_up_by_type_whatever_they_are_called() -> None:
    tasks = load_tasks()
    shipped = tasks["translation"]
    languages = {"into": shipped.slots["target"], "from": shipped.slots["source"]}
    renamed = shipped.model_copy(update={"slots": languages})
    assert (shipped.target_slot, shipped.source_slot, shipped.labels_slot) == (
        "target",
        "source",
        None,
    )
    assert (renamed.target_slot, renamed.source_slot) == ("into", "from")
    assert renamed.target_language({"into": "fr", "from": "en"}) == "fr"
    assert renamed.source_language({"into": "fr", "from": "en"}) == "en"
    assert renamed.source_language({"into": "fr"}) is None

    classification, summarization = tasks["classification"], tasks["summarization"]
    own = classification.model_copy(update={"slots": {"kinds": classification.slots["labels"]}})
    assert (own.labels_slot, own.target_slot) == ("kinds", None)
    assert own.own_labels({"kinds": ["spam", "ham"]}) == ["spam", "ham"]
    assert own.own_labels({"labels": ["spam", "ham"]}) == own.own_labels({}) == []
    assert own.fills({}, ["spam", "ham"]) == {"labels": "spam, ham", "kinds": "spam, ham"}
    assert summarization.target_slot is summarization.labels_slot is None
    assert summarization.target_language({"target": "fr"}) is None


def test_the_task_that_converses_is_one() -> None:
    tasks = load_tasks()
    assert conversation_task(tasks).name == "generation"
    with pytest.raises(TaskError, match="conversation: true"):
        conversation_task({"sentiment": tasks["sentiment"]})
