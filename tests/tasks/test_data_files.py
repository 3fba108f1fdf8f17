"""Data files in the encodings, separators and shapes that people have."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import openpyxl.chart
import pyarrow
import pytest
from pyarrow import parquet

from core.errors import InputError
from tasks.data_files import FileForm, read_file
from tasks.records import TITLE_ROWS, Record, Records
from tasks.rows import Layout, Row, Table, read
from tasks.spec import load_tasks

TASKS = load_tasks()
COMPLAINTS = ["我的卡被重复扣款了", "应用打不开", "包裹什么时候到", "发票金额不对", "地图显示空白"]
CHINESE = "内容,标签\n" + "".join(f"{text}{i},故障\n" for i, text in enumerate(COMPLAINTS * 3))
TRADITIONAL = "text,label\n" + "".join(
    f"{text},負面\n"
    for text in ("這家餐廳的服務很差", "東西太貴了", "等了兩個小時才上菜", "環境吵雜")
)
FRENCH = "text;label\n" + "".join(
    f"{text};bon\n"
    for text in ("Le café était très agréable", "C’était raté à midi", "Où dînez-vous ?")
)


def read_bytes(folder: Path, name: str, content: bytes, **form: str) -> Records:
    file = folder / name
    file.write_bytes(content)
    return read_file(file, FileForm(**form), ["text", "label", "内容"])


def good(records: Records) -> list[Record]:
    return [record for _, record in records.found if isinstance(record, dict)]


@pytest.mark.parametrize(
    ("text", "encoding", "noted"),
    [
        (CHINESE, "gbk", "gb18030"),
        (CHINESE, "utf-8", None),
        (CHINESE, "utf-8-sig", None),
        (CHINESE, "utf-16", None),
        (CHINESE, "utf-16-le", "utf-16-le"),
        (CHINESE, "utf-16-be", "utf-16-be"),
        (CHINESE, "utf-32", None),
        (TRADITIONAL, "big5", "big5"),
        (FRENCH, "cp1252", "cp1252"),
    ],
)
def test_encodings(tmp_path: Path, text: str, encoding: str, noted: str | None) -> None:
    records = read_bytes(tmp_path, "a.csv", text.encode(encoding))
    expected = read_bytes(tmp_path, "b.csv", text.encode())
    assert good(records) == good(expected)
    assert len(good(records)) == text.count("\n") - 1
    assert [f"read as {noted}" in note.english for note in records.notes] == (
        [True] if noted else []
    )


def test_bytes_that_fit_several_encodings_ask_for_one(tmp_path: Path) -> None:
    content = "text,label\n很好,正面\n太差,负面\n".encode("gbk")
    with pytest.raises(InputError, match=r"gb18030: '很好,正面'.*encoding: gb18030"):
        read_bytes(tmp_path, "a.csv", content)
    records = read_bytes(tmp_path, "a.csv", content, encoding="gbk")
    assert [record["label"] for record in good(records)] == ["正面", "负面"]
    with pytest.raises(InputError, match=r"line 2 has the byte 0xba"):
        read_bytes(tmp_path, "a.csv", content, encoding="utf-8")
    with pytest.raises(InputError, match="no encoding 'gkb'"):
        read_bytes(tmp_path, "a.csv", content, encoding="gkb")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text;label\nso, so;x\n"),
        ("a.csv", "text\tlabel\nso, so\tx\n"),
        ("a.csv", "text|label\nso, so|x\n"),
        ("a.tsv", "text,label\n\"so, so\",x\n"),
        ("A.CSV", "text,label\n\"so, so\",x\n"),
        ("a.tab", "text\tlabel\nso, so\tx\n"),
        ("a.csv", "sep=;\ntext;label\nso, so;x\n"),
        ("a.csv", "\n\n text , label \n\"so, so\",x,,\n,,\n\n"),
        ("a.csv", "text, label\n\"so, so\", \"x\"\n"),
        ("a.csv", "text,label\r\"so, so\",x\r"),
        ("a.csv", "\ufefftext,label\r\n\"so, so\",x\r\n"),
        ("a.json", '[{"text": "so, so",\n "label": "x"}]'),
        ("a.jsonl", '[{"text": "so, so", "label": "x"}]\n'),
        ("a.JSONL", '\n{"text": "so, so", "label": "x"}\n\n'),
        ("a.ndjson", '{"text": "so, so", "label": "x"}\r\n'),
        ("a.json", '{"data": [{"text": "so, so", "label": "x"}]}'),
    ],
)  # fmt: skip
def test_separators_and_json(tmp_path: Path, name: str, content: str) -> None:
    assert good(read_bytes(tmp_path, name, content.encode())) == [{"text": "so, so", "label": "x"}]


ROWS = [{"text": "so, so", "label": "x"}, {"text": "b", "label": "y"}]


@pytest.mark.parametrize(
    "content",
    [
        "\n".join(json.dumps(row, indent=2) for row in ROWS),
        json.dumps({"7": ROWS[0], "9": ROWS[1]}, indent=1),
        json.dumps({"text": {"0": "so, so", "1": "b"}, "label": {"0": "x", "1": "y"}}),
        json.dumps({"text": ["so, so", "b"], "label": ["x", "y"]}),
        json.dumps(
            {"columns": ["text", "label"], "index": [0, 1], "data": [["so, so", "x"], ["b", "y"]]}
        ),
    ],
    ids=["one behind another", "by a key", "columns of keys", "columns", "split"],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_json_in_the_shapes_of_data_frames(tmp_path: Path, name: str, content: str) -> None:
    assert good(read_bytes(tmp_path, name, content.encode())) == ROWS


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user"}, {"role": "assistant"}], "labels": ["a", "b"]},
        {"text": "a", "label": ["x", "y"]},
        {"data": {"text": "a"}, "labels": {"name": "x"}},
        {"columns": ["text"], "data": [3]},
    ],
)
def test_a_single_record_is_no_table(tmp_path: Path, row: Record) -> None:
    for content in (json.dumps(row), json.dumps(row, indent=1)):
        assert good(read_bytes(tmp_path, "a.json", content.encode())) == [row]


def test_what_stands_above_the_header_is_said_and_not_read(tmp_path: Path) -> None:
    content = b"Reviews\nmade on, Monday\n\nText;LABEL\nso, so;x\n"
    records = read_bytes(tmp_path, "a.csv", content)
    assert records.found == [(5, {"Text": "so, so", "LABEL": "x"})]
    assert records.notes[0].english.endswith("is not read: Reviews / made on, Monday")
    rows = [["Reviews", None], [None, None], ["text", "label"], ["a", "x"]]
    records = read_file(workbook(tmp_path / "a.xlsx", rows), columns=["text", "label"])
    assert records.found == [(4, {"text": "a", "label": "x"})]
    assert records.notes[0].english.endswith("is not read: Reviews")
    assert good(read_bytes(tmp_path, "a.csv", b"a,b\n1,2\n")) == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize(("above", "found"), [(TITLE_ROWS, True), (TITLE_ROWS + 1, False)])
def test_a_header_is_looked_for_equally_far_down_in_any_file(
    tmp_path: Path, above: int, found: bool
) -> None:
    rows = [[f"title {i}", None] for i in range(above)] + [["text", "label"], ["a", "x"]]
    lines = "".join(f"{a},{b or ''}\n" for a, b in rows).encode()
    book = openpyxl.Workbook()
    book.active.append(["These are reviews"])
    sheet = book.create_sheet("rows")
    for row in rows:
        sheet.append(row)
    book.save(tmp_path / "b.xlsx")
    for records in (
        read_bytes(tmp_path, "a.csv", lines),
        read_file(workbook(tmp_path / "a.xlsx", rows), columns=["text", "label"]),
        read_file(tmp_path / "b.xlsx", columns=["text", "label"]),
    ):
        assert (good(records) == [{"text": "a", "label": "x"}]) is found


def test_the_sheet_that_names_the_columns_is_read(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["These are reviews"])
    book.create_chartsheet("drawn").add_chart(openpyxl.chart.BarChart())
    rows = book.create_sheet("rows")
    rows.append(["text", "label"])
    rows.append(["a", "x"])
    book.save(tmp_path / "a.xlsx")
    records = read_file(tmp_path / "a.xlsx", columns=["text", "label"])
    assert records.found == [(2, {"text": "a", "label": "x"})]
    assert "the sheet 'rows' was read, not 'Sheet', 'drawn'" in records.notes[0].english
    with pytest.raises(InputError, match="holds a chart"):
        read_file(tmp_path / "a.xlsx", FileForm(sheet="drawn"))


def test_objects_of_an_array_have_their_line_or_their_number(tmp_path: Path) -> None:
    objects = ['{"text": "a"}', "3", '{"text": "b"}']
    for between, lines in ((",\n\n", [1, 3, 5]), (", ", [1, 2, 3])):
        records = read_bytes(tmp_path, "a.json", f"[{between.join(objects)}]".encode())
        assert [line for line, _ in records.found] == lines
        assert f"line {lines[1]}: a int, not an object" in refused(records)[0]


def test_a_separator_may_be_named(tmp_path: Path) -> None:
    content = b"a~b\n1~2\n"
    assert good(read_bytes(tmp_path, "a.csv", content, delimiter="~")) == [{"a": "1", "b": "2"}]
    tabbed = read_bytes(tmp_path, "a.csv", b"text\tb,c\n1\t2\n", delimiter="tab")
    assert good(tabbed) == [{"text": "1", "b,c": "2"}]
    with pytest.raises(InputError, match="name one character"):
        read_bytes(tmp_path, "a.csv", content, delimiter="ab")


def workbook(file: Path, rows: list[list[Any]], others: int = 0) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for i in range(others):
        book.create_sheet(f"more {i}").append(["text"])
    book.save(file)
    return file


def test_a_workbook(tmp_path: Path) -> None:
    rows = [
        [None, None],
        ["text ", "label", None],
        ["so, so\nagain", 1.0],
        [None, None],
        ["b", True],
    ]
    records = read_file(workbook(tmp_path / "a.XLSX", rows, others=1))
    assert records.found == [
        (3, {"text": "so, so\nagain", "label": 1}),
        (5, {"text": "b", "label": True}),
    ]
    assert "the sheet 'Sheet' was read, not 'more 0'" in records.notes[0].english
    mistaken = (tmp_path / "a.XLSX").rename(tmp_path / "a.csv")
    assert read_file(mistaken, FileForm(sheet="Sheet")).notes == []
    with pytest.raises(InputError, match="no sheet 'x'; it has Sheet, more 0"):
        read_file(mistaken, FileForm(sheet="x"))
    with pytest.raises(InputError, match=r"cannot be read as an \.xlsx workbook"):
        read_bytes(tmp_path, "b.xlsx", b"text,label\n")
    with pytest.raises(InputError, match="is empty"):
        read_file(workbook(tmp_path / "c.xlsx", []))


def test_what_is_broken_as_a_whole_is_said(tmp_path: Path) -> None:
    for name, content, said in (
        ("a.csv", b"", "is empty"),
        ("a.csv", b'"text"x,label\na,b\n', r"the header \(line 1\) .*behind a closing quote"),
        ("a.csv", b'"text,label\na,b\n', r"the header \(line 1\) .*not closed"),
        ("a.json", b'[{"text": "a"},\n {"text": b}]', "not JSON in line 2, character 11"),
        ("a.parquet", b"text,label\n", "cannot be read as Parquet"),
        ("a.xls", b"", r"Save it as \.xlsx"),
        ("a.csv", b"\xd0\xcf\x11\xe0\xa1\xb1", "an old Excel"),
    ):
        with pytest.raises(InputError, match=said):
            read_bytes(tmp_path, name, content)


def refused(records: Records) -> list[str]:
    return [str(record) for _, record in records.found if not isinstance(record, dict)]


def test_an_unclosed_quote_is_named_and_what_it_took_is_counted(tmp_path: Path) -> None:
    lines = ["text,label", "a,x", '"b\nb",x', '"opens here,x', "c,x", '"d",y', "e,y"]
    records = read_bytes(tmp_path, "a.csv", "\n".join(lines).encode())
    assert [record["text"] for record in good(records)] == ["a", "b\nb", "e"]
    said = refused(records)
    assert said[0].startswith("line 5: a quote opens here and takes along all up to line 7")
    assert said[1].startswith("line 6: lost to the quote that opens in line 5")
    assert len(said) == 3


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_quote_that_opens_within_a_record(tmp_path: Path, end: str) -> None:
    lines = ["text,label", '"a ""quoted"" word', 'and more","opens here', "c,x", "d,x"]
    said = refused(read_bytes(tmp_path, "a.csv", end.join(lines).encode()))
    assert said[0].startswith("line 2: lost to the quote that opens in line 3")
    assert said[1].startswith("line 3: a quote opens here and takes along all up to line 5")


def test_a_quote_that_another_happens_to_close(tmp_path: Path) -> None:
    rows = ["text,label", '"opens,x', *(f"row {i},x" for i in range(9)), 'a 5", pipe', "last,x"]
    records = read_bytes(tmp_path, "a.csv", "\n".join(rows).encode())
    assert [record["text"] for record in good(records)] == ["last"]
    assert "only the one in line 12 closes it" in refused(records)[0]
    assert len(refused(records)) == 11


def test_a_text_of_any_length_is_read(tmp_path: Path) -> None:
    content = "text,label\n" + "long " * 100_000 + ",x\n"
    (record,) = good(read_bytes(tmp_path, "a.csv", content.encode()))
    assert len(record["text"]) == 500_000


def rows_of(folder: Path, task: str, *records: Any, columns: dict[str, str] | None = None) -> Table:
    file = folder / "rows.jsonl"
    lines = map(json.dumps, records)
    file.write_text("\n".join(lines), encoding="utf-8")
    return read(file, Layout(columns=columns or {}), TASKS[task])


def test_a_column_named_twice(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,label,label\na,x,y\n")
    with pytest.raises(InputError, match="several columns 'label'"):
        read(file, Layout(), TASKS["sentiment"])
    file.write_text("text,label,note,note\na,x,1,2\n")
    assert len(read(file, Layout(), TASKS["sentiment"]).rows) == 1
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "a", "label": "x", "label": "y"}\n')
    (refusal,) = read(file, Layout(), TASKS["sentiment"]).refused
    assert "column 'label': named twice" in str(refusal)


@pytest.mark.parametrize("task", ["generation", "sentiment", "summarization", "classification"])
@pytest.mark.parametrize(
    "record",
    [
        {"messages": [{"role": "user", "content": "in"}, {"role": "assistant", "content": "out"}]},
        {"messages": [
            {"role": "user", "content": [{"type": "text", "text": "in"}]},
            {"role": "assistant", "content": "out"},
        ]},
        {"conversations": [{"from": "human", "value": "in"}, {"from": "gpt", "value": "out"}]},
        {"instruction": "in", "input": "", "output": "out"},
        {"prompt": "in", "completion": " out"},
    ],
)  # fmt: skip
def test_forms_of_other_tools(tmp_path: Path, task: str, record: dict[str, Any]) -> None:
    assert rows_of(tmp_path, task, record).rows == [Row("in", "out", {}, 1)]


def test_alpaca_has_an_instruction_and_an_input(tmp_path: Path) -> None:
    record = {"instruction": "Is it good?", "input": "I loved it.", "output": "positive"}
    assert rows_of(tmp_path, "generation", record).rows[0].text == "Is it good?\n\nI loved it."
    assert rows_of(tmp_path, "sentiment", record).rows[0].text == "I loved it."
    told = rows_of(tmp_path, "generation", {**record, "system": "Be brief."}).rows[0]
    assert told.history == ({"role": "system", "content": "Be brief."},)
    empty = rows_of(tmp_path, "sentiment", record, {**record, "instruction": "", "input": ""})
    assert "line 2, column 'input': empty" in str(empty.refused[0])


def test_what_a_task_does_not_read_of_a_conversation_is_said(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "in"}, {"role": "assistant", "content": "out"}]
    system = {"messages": [{"role": "system", "content": "Sort."}, *turns]}
    table = rows_of(tmp_path, "sentiment", system, {"messages": [*turns, *turns]})
    assert [row.history for row in table.rows] == [()]
    assert "it has earlier turns, and sentiment reads none" in str(table.refused[0])
    assert [note.english for note in table.notes] == [
        "1 rows: their system message gives way to the prompt of sentiment"
    ]
    assert len(rows_of(tmp_path, "generation", {"messages": [*turns, *turns]}).rows[0].history) == 2


def test_numbers_and_nothing(tmp_path: Path) -> None:
    table = rows_of(
        tmp_path, "sentiment",
        {"text": "a", "label": 1.0}, {"text": "a", "label": 0}, {"text": "a", "label": False},
        {"text": "a", "label": float("nan")}, {"text": "\ud83d", "label": "x"},
    )  # fmt: skip
    assert [row.answer for row in table.rows] == ["1", "0", "false"]
    assert "missing" in str(table.refused[0])
    assert "half a character" in str(table.refused[1])


def test_words_for_nothing_stay_labels(tmp_path: Path) -> None:
    file = tmp_path / "nulls.csv"
    file.write_text("text,label\na,NA\nb,None\nc,null\nd,no\ne,1.0\n")
    answers = [row.answer for row in read(file, Layout(), TASKS["sentiment"]).rows]
    assert answers == ["NA", "None", "null", "no", "1.0"]


def test_what_parquet_holds_is_what_json_can_say(tmp_path: Path) -> None:
    when, file = datetime(2026, 1, 2, 3, 4), tmp_path / "typed.parquet"
    row = {"when": when, "price": Decimal("1.50"), "raw": "词".encode(), "blob": b"\xff"}
    parquet.write_table(pyarrow.Table.from_pylist([{**row, "nested": [{"at": when}]}]), file)
    told = {"when": "2026-01-02T03:04:00", "price": "1.50", "raw": "词", "blob": "ff"}
    nested = {"nested": [{"at": "2026-01-02T03:04:00"}]}
    assert read_file(file).found == [(1, {**told, **nested})]


def test_a_parquet_file_of_a_data_set_names_its_labels(tmp_path: Path) -> None:
    kind = {"names": ["bad", "good"], "_type": "ClassLabel"}
    told = {"info": {"features": {"text": {"_type": "Value"}, "label": kind}}}
    table = pyarrow.table({"text": ["a", "b", "c"], "label": [1, 0, -1]})
    noted = table.replace_schema_metadata({"huggingface": json.dumps(told)})
    parquet.write_table(noted, tmp_path / "a.parquet")
    labels = [record["label"] for record in good(read_file(tmp_path / "a.parquet"))]
    assert labels == ["good", "bad", -1]


def test_columns_within_columns(tmp_path: Path) -> None:
    record = {
        "data": {"text": "in"},
        "annotations": [{"result": [{"value": {"choices": ["positive"]}}]}],
    }
    with pytest.raises(
        InputError, match=r"data\.text, annotations\.0\.result\.0\.value\.choices\."
    ):
        rows_of(tmp_path, "sentiment", record)
    columns = {"data.text": "text", "annotations.0.result.0.value.choices": "answer"}
    without = {"data": {"text": "in"}, "annotations": []}
    table = rows_of(tmp_path, "sentiment", record, without, columns=columns)
    assert table.rows == [Row("in", "positive", {}, 1)]
    assert "line 2, column 'annotations.0.result.0.value.choices': missing" in str(table.refused[0])
    pairs = {"translation": {"en": "in", "fr": "out"}}
    columns = {"translation.en": "text", "translation.fr": "answer"}
    assert rows_of(tmp_path, "translation", pairs, columns=columns).rows[0].answer == "out"


def test_a_list_of_one_label_is_that_label(tmp_path: Path) -> None:
    table = rows_of(
        tmp_path, "sentiment",
        {"text": "a", "label": ["x"]}, {"text": "b", "label": ["x", "y"]},
    )  # fmt: skip
    assert [row.answer for row in table.rows] == ["x"]
    assert "a list of 2, not one text" in str(table.refused[0])


def test_capitals_in_the_name_of_a_column_do_not_matter(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, "sentiment", {"Text": "a", "LABEL": "x"}).rows
    assert (row.text, row.answer) == ("a", "x")
    with pytest.raises(InputError, match="no column 'label'; it has text, Label, LABEL"):
        rows_of(tmp_path, "sentiment", {"text": "a", "Label": "x", "LABEL": "y"})


def test_a_message_names_a_few_of_many_columns(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"c10, c11, … \(40 in all\)\. Name them"):
        rows_of(tmp_path, "sentiment", {f"c{i}": "x" for i in range(40)})
