"""The page: one file that fetches nothing, escapes what it shows, and puts the worst rows first."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from judging import run_plan, write_rows

from engine.fake import FakeEngine
from evaluation import record, report, runner


@pytest.fixture
def page(tmp_path: Path) -> str:
    rows = [
        {"text": "positive, positive", "label": "positive"},
        {"text": "<script>alert('negative')</script> & all", "label": "正面"},
        {"text": "an indifferent film", "label": "neutral"},
    ]
    file = write_rows(tmp_path / "a<b>.jsonl", rows)
    runner.run(run_plan("sentiment", file), FakeEngine(), tmp_path / "run")
    return report.write(tmp_path / "run").read_text(encoding="utf-8")


def test_it_fetches_nothing_and_escapes_everything(page: str) -> None:
    assert not re.findall(r"(?:src|href)=\"(?!#)", page)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "a&lt;b&gt;.jsonl" in page
    assert "@import" not in page
    assert re.findall(r"url\((?!#)", page) == []


def test_plots_take_their_colours_from_the_page(page: str) -> None:
    drawn = re.findall(r"<svg.*?</svg>", page, flags=re.S)
    assert len(drawn) == 3
    assert "prefers-color-scheme: dark" in page
    for svg in drawn:
        ElementTree.fromstring(svg)
        assert "currentColor" in svg
        assert "var(--fill)" in svg
    names = [name for svg in drawn for name in re.findall(r' id="([^"]+)"', svg)]
    assert len(names) == len(set(names))


def test_the_worst_rows_come_first(page: str, tmp_path: Path) -> None:
    run = record.read(tmp_path / "run")
    rows = report.worst(run, record.outcomes(tmp_path / "run"))
    assert [row.line for row in rows] == [2, 3, 1]
    places = [page.index(text) for text in ("&lt;script&gt;", "indifferent", "positive, positive")]
    assert places == sorted(places)
    for heading in ("指标", "图表", "标签", "开销", "最差的行在前"):
        assert heading in page
