"""Other people's clients, as they are: what each sends by itself is answered.

They want the extra `clients`, in an environment of its own; without one its test is skipped.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
from openai import OpenAI
from pydantic import BaseModel
from served import Site, served

from agent.agent import Agent
from agent.planning.planner import Planner
from engine.load_base import load_base
from tasks.spec import load_tasks

ASKED: list[Any] = [{"role": "user", "content": "Translate into French: Good night."}]
ANSWER = "[translation-en-fr] Good night."


def needs(package: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(missing, reason=f"needs {package}: the extra `clients`")


class Review(BaseModel):
    """What is to be filled in."""

    mood: bool
    stars: int


@pytest.fixture(scope="module")
def real(
    planner: Planner, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A tiny model that really computes."""
    engine = tiny.engine(load_base(tiny.settings(tiny_folder)), tmp_path_factory.mktemp("none"))
    with served(Agent(engine, load_tasks(), planner)) as site:
        yield site
    engine.close()


def test_openai_parses_an_answer_into_a_class(real: Site) -> None:
    client = OpenAI(base_url=f"{real.address}/v1", api_key="none", max_retries=0)
    base = real.agent.engine.fingerprints()["base"]
    made = client.chat.completions.parse(
        model=base, messages=ASKED, response_format=Review, max_tokens=400, temperature=0.5, seed=1
    )
    assert isinstance(made.choices[0].message.parsed, Review)


@needs("litellm")
@pytest.mark.filterwarnings("ignore")
def test_litellm_completes_and_streams(site: Site) -> None:
    import litellm

    asked: dict[str, Any] = {
        "model": "openai/auto",
        "messages": ASKED,
        "api_base": f"{site.address}/v1",
        "api_key": "none",
    }
    assert litellm.completion(**asked, tools=[]).choices[0].message.content == ANSWER
    pieces = [
        chunk.choices[0].delta.content or "" for chunk in litellm.completion(**asked, stream=True)
    ]
    assert "".join(pieces) == ANSWER
    made = litellm.embedding(
        model="openai/sentence-transformers/all-MiniLM-L6-v2",
        input=["a text"],
        api_base=asked["api_base"],
        api_key="none",
    )
    assert len(made.data[0]["embedding"]) == 384


@needs("langchain_openai")
@pytest.mark.filterwarnings("ignore")
def test_langchain_invokes_streams_and_structures(site: Site, real: Site) -> None:
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

    chat = ChatOpenAI(model="auto", base_url=f"{site.address}/v1", api_key="none")
    assert chat.invoke(ASKED[0]["content"]).content == ANSWER
    assert "".join(str(chunk.content) for chunk in chat.stream(ASKED[0]["content"])) == ANSWER
    base = real.agent.engine.fingerprints()["base"]
    own = ChatOpenAI(model=base, base_url=f"{real.address}/v1", api_key="none", max_tokens=400)
    structured = own.with_structured_output(Review, method="json_schema")
    assert isinstance(structured.invoke("How was it?"), Review)
    encoder = OpenAIEmbeddings(
        model="sentence-transformers/all-MiniLM-L6-v2",
        base_url=f"{site.address}/v1",
        api_key="none",
        check_embedding_ctx_length=False,  # it would send the ids of OpenAI's own tokens
    )
    assert len(encoder.embed_query("a text")) == 384


@needs("lm_eval")
@pytest.mark.filterwarnings("ignore")
def test_lm_eval_gets_the_figures_of_our_own_harness(
    real: Site, tiny_folder: Path, tmp_path: Path
) -> None:
    """`local-completions` over HTTP, and our own harness in the process: the same numbers."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    from evaluation.harness import EngineLM

    rows = [
        {"question": f"Which is {word}?", "choices": ["a cat", "a red dog"], "right": i % 2}
        for i, word in enumerate(["small", "big", "loud", "calm"])
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    shared = {
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {"test": str(tmp_path / "rows.jsonl")},
            "cache_dir": str(tmp_path / "cache"),
        },
        "test_split": "test",
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "metadata": {"version": 1.0},
    }
    choice = {
        "task": "own_choice",
        "output_type": "multiple_choice",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "right",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    }
    answer = {
        "task": "own_answer",
        "output_type": "generate_until",
        "doc_to_target": "{{choices[right]}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 6},
        "metric_list": [{"metric": "exact_match"}],
    }
    for task in (choice, answer):
        (tmp_path / f"{task['task']}.yaml").write_text(json.dumps(shared | task))
    engine: Any = real.agent.engine
    served_model = {
        "model": engine.fingerprints()["base"],
        "base_url": f"{real.address}/v1/completions",
        "tokenizer": str(tiny_folder),
        "tokenizer_backend": "huggingface",
        "max_length": 512,
        "num_concurrent": 1,
    }
    own = {
        "tasks": ["own_choice", "own_answer"],
        "task_manager": TaskManager(include_path=str(tmp_path)),
    }
    over_http = lm_eval.simple_evaluate(model="local-completions", model_args=served_model, **own)
    inside = lm_eval.simple_evaluate(model=EngineLM(engine, None), **own)

    def seen(results: Any) -> Any:
        return {
            name: [
                (one["doc_id"], one["filtered_resps"])
                for one in sorted(rows, key=lambda r: r["doc_id"])
            ]
            for name, rows in results["samples"].items()
        }

    assert over_http["results"] == inside["results"]
    for (_, theirs), (_, ours) in zip(
        seen(over_http)["own_choice"], seen(inside)["own_choice"], strict=True
    ):
        assert [greedy for _, greedy in theirs] == [greedy for _, greedy in ours]
        assert [value for value, _ in theirs] == pytest.approx(
            [value for value, _ in ours], abs=1e-4
        )
    assert seen(over_http)["own_answer"] == seen(inside)["own_answer"]
