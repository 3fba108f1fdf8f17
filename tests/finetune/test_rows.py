"""Files as people have them: what is read, what is refused, and what the refusal says."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest

from core.errors import InputError
from finetune.recipe import DataSource
from tasks.rows import Table, read
from tasks.spec import load_tasks

TASKS = load_tasks()


def read_bytes(folder: Path, name: str, content: bytes, task: str = "sentiment") -> Table:
    file = folder / name
    file.write_bytes(content)
    return read(file, DataSource(path=str(file)), TASKS[task])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b'{"text": "so, so", "label": "negative"}\n\n{"text": "b", "label": "x"}\n'),
        ("a.csv", b'\xef\xbb\xbftext,label\n"so, so",negative\nb,x\n'),
        ("a.tsv", b"text\tlabel\r\nso, so\tnegative\r\nb\tx\r\n"),
    ],
)
def test_formats(tmp_path: Path, name: str, content: bytes) -> None:
    table = read_bytes(tmp_path, name, content)
    assert [(row.text, row.answer) for row in table.rows] == [("so, so", "negative"), ("b", "x")]
    assert not table.refused


def test_only_some_answers_are_learnt(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,label\na,1\nb,0\nc,5\nd,\n")
    source = DataSource(
        path=str(file), answers={"1": "positive", "0": "negative"}, only=["positive", "negative"]
    )
    table = read(file, source, TASKS["sentiment"])
    assert [(row.text, row.answer) for row in table.rows] == [("a", "positive"), ("b", "negative")]
    assert [refusal.line for refusal in table.refused] == [5]


def test_parquet_and_numbered_labels(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pandas.DataFrame({"review": ["good", "bad"], "y": [1, 0]}).to_parquet(file)
    source = DataSource(
        path=str(file),
        columns={"review": "text", "y": "answer"},
        answers={"1": "positive", "0": "negative"},
    )
    table = read(file, source, TASKS["sentiment"])
    assert [row.answer for row in table.rows] == ["positive", "negative"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"text": "a", "label": \n', "not JSON at character"),
        (b'["a"]\n', "a list, not an object"),
        (b'{"text": "caf\xe9", "label": "x"}\n', "is not UTF-8 (0xe9)"),
        (b'{"text": "", "label": "x"}\n', "column 'text': empty"),
        (b'{"text": 1.5, "label": "x"}\n', "column 'text': a float, not text"),
        (b'{"text": "a", "label": null}\n', "column 'label': missing"),
        ('{"text": "caf\ufffd", "label": "x"}\n'.encode(), "broken encoding"),
    ],
)
def test_a_bad_line_is_refused_with_its_place(tmp_path: Path, line: bytes, said: str) -> None:
    good = b'{"text": "a", "label": "x"}\n'
    table = read_bytes(tmp_path, "a.jsonl", good + line + good)
    assert [row.line for row in table.rows] == [1, 3]
    (refusal,) = table.refused
    assert str(refusal).startswith("line 2")
    assert said in str(refusal)
    assert refusal.fix


def test_a_csv_line_with_too_many_columns(tmp_path: Path) -> None:
    table = read_bytes(tmp_path, "a.csv", b"text,label\nso, so,x\ngood,x\nshort\n")
    assert [row.text for row in table.rows] == ["good"]
    assert [r.line for r in table.refused] == [2, 4]
    assert "3 columns where the header has 2" in str(table.refused[0])
    assert "1 columns" in str(table.refused[1])


def test_a_csv_line_in_another_encoding(tmp_path: Path) -> None:
    table = read_bytes(tmp_path, "a.csv", b"text,label\ncaf\xe9,x\ngood,x\nfine,x\n")
    assert [row.text for row in table.rows] == ["good", "fine"]
    assert "line 2: byte 4 is not UTF-8" in str(table.refused[0])


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no column 'text'; it has review, label"):
        read_bytes(tmp_path, "a.csv", b"review,label\na,b\n")


def test_a_missing_file_and_a_strange_format(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "no.csv", DataSource(path="no.csv"), TASKS["sentiment"])
    with pytest.raises(InputError, match="format must be one of"):
        read(tmp_path / "no.doc", DataSource(path="no.doc"), TASKS["sentiment"])
    with pytest.raises(InputError, match=r"Save it as \.xlsx"):
        read(tmp_path / "no.xls", DataSource(path="no.xls"), TASKS["sentiment"])


def test_translation_rows_carry_their_languages(tmp_path: Path) -> None:
    content = b'{"source": "a", "target": "b", "source_lang": "en", "target_lang": "fr"}\n'
    table = read_bytes(tmp_path, "a.jsonl", content, "translation")
    assert table.rows[0].slots == {"source": "en", "target": "fr"}


def test_context_is_read_before_the_text(tmp_path: Path) -> None:
    lines = (
        b'{"context": "It rained.", "instruction": "Why?", "response": "Clouds."}\n'
        b'{"context": "", "instruction": "Hi", "response": "Hello."}\n'
        b'{"instruction": "Hi again", "response": "Hello."}\n'
    )
    table = read_bytes(tmp_path, "chat.jsonl", lines, "generation")
    assert [row.text for row in table.rows] == ["It rained.\n\nWhy?", "Hi", "Hi again"]
    assert not table.refused


def conversation(tmp_path: Path, content: str, columns: dict[str, str]) -> Table:
    file = tmp_path / "chat.jsonl"
    file.write_text(content, encoding="utf-8")
    return read(file, DataSource(path=str(file), columns=columns), TASKS["generation"])


def test_messages_are_history_text_and_answer(tmp_path: Path) -> None:
    line = """{"messages": [{"role": "system", "content": "Be brief."},
      {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."},
      {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]}"""
    (row,) = conversation(tmp_path, line.replace("\n", " "), {"messages": "messages"}).rows
    assert (row.text, row.answer) == ("Why?", "Because.")
    assert [(turn["role"], turn["content"]) for turn in row.history] == [
        ("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello."),
    ]  # fmt: skip


def test_a_transcript_before_the_text_is_history(tmp_path: Path) -> None:
    line = '{"context": "用户: 你好\\n助手: 你好！\\n有事吗？", "q": "讲个笑话", "a": "从前……"}'
    columns = {"context": "history", "q": "text", "a": "answer"}
    (row,) = conversation(tmp_path, line, columns).rows
    assert [(turn["role"], turn["content"]) for turn in row.history] == [
        ("user", "你好"), ("assistant", "你好！\n有事吗？"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ("[]", "must end with"),
        ('[{"role": "assistant", "content": "a"}]', "must end with"),
        ('[{"role": "robot", "content": "a"}]', "no role among"),
        ('[{"role": "user", "content": 3}]', "no text as content"),
        ('"hello"', "does not begin with"),
        ("7", "not a list of messages"),
    ],
)
def test_what_is_no_conversation_is_refused(tmp_path: Path, messages: str, reason: str) -> None:
    good = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'
    content = f'{good}\n{{"messages": {messages}}}\n'
    table = conversation(tmp_path, content, {"messages": "messages"})
    assert len(table.rows) == 1
    (refusal,) = table.refused
    assert refusal.line == 2
    assert reason in str(refusal)


def test_a_row_may_bring_its_label_list(tmp_path: Path) -> None:
    file = tmp_path / "lists.jsonl"
    file.write_text(
        '{"text": "a", "label": "x", "labels": ["x", "y ", "x"]}\n'
        '{"text": "b", "label": "x", "labels": ["x"]}\n'
        '{"text": "c", "label": "x", "labels": "x, y"}\n'
    )
    columns = {"text": "text", "label": "answer", "labels": "labels"}
    table = read(file, DataSource(path=str(file), columns=columns), TASKS["classification"])
    assert [row.labels for row in table.rows] == [("x", "y")]
    assert [refusal.line for refusal in table.refused] == [2, 3]
