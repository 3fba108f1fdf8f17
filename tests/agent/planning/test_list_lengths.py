"""How long a list is to be, as people say it."""

from __future__ import annotations

import pytest

from agent.planning import list_lengths


@pytest.mark.parametrize(
    ("request_", "length"),
    [
        ("Name 3 rivers that reach the North Sea.", 3),
        ("What are the four largest lakes in Canada?", 4),
        ("Could you give me a list of the top ten birds in 2023?", 10),
        ("Name 2 of the 12 months", None),  # which number counts?
        ("come up with five unusual names for a cat", 5),
        ("Suggest two people I could ask", 2),
        ("列出五种常见的蔬菜", 5),
        ("请推荐3本关于航海的书。", 3),
        ("说出冬天骑车的两个坏处", 2),
        ("How can two friends share a flat?", None),
        ("Give me a plan for 3 days", None),
        ("Write three paragraphs about bees.", None),
        ("Write a story with three bears.", None),
        ("Give me at least three reasons.", None),
        ("Give me 200 words that rhyme", None),
        ("Name three cities and four rivers.", None),
        ("写一个接受两个参数的函数", None),
        ("说出这本书的第二句话", None),
        ("告诉我两个城市之间的距离", None),
        ("再给我三条建议", None),
        ("给我写一份两个月的计划", None),
        ("Name three rivers and say where each ends.", None),
        ("Identify 3 problems of cities and propose solutions to those", None),
        ("列出三种水果，并说明原因", None),
        ("Suggest three walks with the times they take", None),
        ("Name two games for children and adults", 2),
        ("Why is the sky blue?", None),
    ],
)
def test_a_length_is_read_where_the_request_says_one(request_: str, length: int | None) -> None:
    assert list_lengths.find(request_) == length
