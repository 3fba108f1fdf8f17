"""EleutherAI's lm-evaluation-harness over our engine: its tasks and figures, our forward passes.

Prompts are raw text without a chat template, as the harness's own models read them by default.
Needs the extra `harness`.
"""

from __future__ import annotations

import difflib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import lm_eval
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import normalize_gen_kwargs, postprocess_generated_text
from lm_eval.tasks import TaskManager
from lm_eval.utils import (
    get_rolling_token_windows,
    handle_non_serializable,
    make_disjoint_window,
    make_table,
)
from pydantic import ValidationError
from tqdm import tqdm

from core.errors import InputError, TooLong
from engine.interface import CompletionRequest, Delta, ScoreRequest, ScoringEngine, Usage
from evaluation.intervals import RESAMPLES
from evaluation.runner import require_whole
from tasks.spec import Decoding

DEFAULT_ANSWER_TOKENS = 256  # tokens of an answer where a task does not say
# What a task may ask of answers here, and what says nothing where none is drawn at random.
GENERATION_KEYS = {
    "until",
    "max_gen_toks",
    "do_sample",
    "temperature",
    "top_p",
    "repetition_penalty",
}
SAMPLING_KEYS = {"top_k", "min_p", "typical_p"}
RECORDED_KEYS = ("results", "groups", "versions", "n-shot", "n-samples", "higher_is_better")


@dataclass(frozen=True)
class HarnessResult:
    """The record, JSON-able, and the harness's own table of it."""

    record: dict[str, Any]
    table: str


class EngineLM(TemplateLM):  # type: ignore[misc]  # the library has no types
    """The base with an adapter, or bare, as the harness asks a model.

    How text is divided into context and continuation is the harness's own.
    """

    def __init__(self, engine: ScoringEngine, adapter: str | None) -> None:
        super().__init__()
        self._engine = engine
        self._adapter = adapter

    @property
    def eot_token_id(self) -> int:
        """What stands before a text without a beginning."""
        return self._engine.start_token

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **kwargs: object
    ) -> list[int]:
        """Text as token ids, with what the tokenizer puts before a text if not told otherwise."""
        return self._engine.tokens(string, begin=add_special_tokens is not False)

    def loglikelihood_rolling(self, requests: Sequence[Any], **kwargs: object) -> list[float]:
        """The log-likelihood of whole texts, long ones in windows."""
        return [self._rolled(request.args[0]) for request in tqdm(requests, unit="text")]

    def generate_until(self, requests: Sequence[Any], **kwargs: object) -> list[str]:
        """Answers up to what ends them."""
        return [self._written(*request.args) for request in tqdm(requests, unit="answer")]

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], **kwargs: object
    ) -> list[tuple[float, bool]]:
        """Log-likelihood of each continuation, and whether it is the likeliest text."""
        scores: list[tuple[float, bool]] = []
        with tqdm(total=len(requests), unit="continuation") as bar:
            fitted = (self._fitted(context, ids) for _, context, ids in requests)
            # The answers to one question follow one another: their context is read once.
            for context, pairs in groupby(fitted, key=lambda pair: pair[0]):
                scored = self._scored(context, tuple(ids for _, ids in pairs))
                scores += scored
                bar.update(len(scored))
        return scores

    def _fitted(
        self, context: list[int], ids: list[int]
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The end of the context that fits beside the continuation, as the harness cuts it."""
        # The last token is scored and not read.
        room = self._engine.context_tokens + 1 - len(ids)
        if room < 1:
            raise TooLong(
                f"An answer of the task is {len(ids):,} tokens long; this base reads "
                f"{self._engine.context_tokens:,}. Raise context_tokens, or name another task."
            )
        return tuple(context[-room:]), tuple(ids)

    def _scored(
        self, context: tuple[int, ...], continuations: tuple[tuple[int, ...], ...]
    ) -> list[tuple[float, bool]]:
        scores = self._engine.score(ScoreRequest(context, continuations, self._adapter))
        require_whole(scores.usage.stopped)
        return [(sum(one.logprobs), all(one.greedy)) for one in scores.continuations]

    def _rolled(self, text: str) -> float:
        windows = get_rolling_token_windows(
            token_list=self._engine.tokens(text),
            prefix_token=self.prefix_token_id,
            max_seq_len=self._engine.context_tokens,
            context_len=1,
        )
        pairs = map(make_disjoint_window, windows)
        return sum(self._scored(tuple(before), (tuple(ids),))[0][0] for before, ids in pairs)

    def _written(self, context: str, asked: dict[str, Any]) -> str:
        wanted = normalize_gen_kwargs(asked, DEFAULT_ANSWER_TOKENS)
        ends, most = list(wanted["until"]), wanted["max_gen_toks"]
        room = self._engine.context_tokens - most
        if room < 1:
            raise InputError(
                f"The task wants answers of up to {most:,} tokens; this base reads "
                f"{self._engine.context_tokens:,} with the question. Raise context_tokens, or name "
                "another task."
            )
        prompt = tuple(self.tok_encode(context)[-room:])
        request = CompletionRequest(prompt, self._adapter, _decoding(wanted))
        stop, text = threading.Event(), ""
        for piece in self._engine.write(request, stop):
            if isinstance(piece, Delta):
                text += piece.text
                if any(end and end in text for end in ends):
                    stop.set()
            elif isinstance(piece, Usage) and not stop.is_set():
                require_whole(piece.stopped)
        return str(postprocess_generated_text(text, ends, None))


def _decoding(wanted: dict[str, Any]) -> Decoding:
    """How the task wants answers drawn.

    Raises:
        InputError: it asks for what the engine cannot do.
    """
    sampled = wanted["do_sample"]
    strange = sorted(set(wanted) - GENERATION_KEYS - (set() if sampled else SAMPLING_KEYS))
    if strange:
        raise InputError(
            f"The task asks for {strange[0]}={wanted[strange[0]]!r} in its answers, which this "
            f"engine cannot do. It knows {', '.join(sorted(GENERATION_KEYS))}; change the task's "
            "file."
        )
    used = ("temperature", "top_p", "repetition_penalty") if sampled else ("repetition_penalty",)
    given = {name: wanted[name] for name in used if name in wanted}
    try:
        return Decoding(max_new_tokens=wanted["max_gen_toks"], **given)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"The task asks for {first['loc'][0]}={first['input']!r} in its answers: "
            f"{first['msg']}."
        ) from error


def load(names: Sequence[str], include: Path | None) -> list[Any]:
    """The harness's tasks and groups of tasks of these names, with their data.

    Args:
        names: as the harness has them; `*` stands for any letters.
        include: folder with task files of the person's own.

    Raises:
        InputError: there is no such task, or its data cannot be had.
    """
    if include is not None and not include.is_dir():
        raise InputError(f"{include} is no folder; --include-path holds the harness's YAML files.")
    task_manager = TaskManager(include_path=str(include) if include else None)
    unknown = [name for name in names if not task_manager.match_tasks([name])]
    if unknown or not names:
        near = difflib.get_close_matches(unknown[0] if unknown else "", task_manager.all_tasks, n=3)
        raise InputError(
            f"The harness has no task named {unknown[0] if unknown else ''!r}. "
            + (f"Did you mean {' or '.join(near)}? " if near else "")
            + "`python -m lm_eval ls tasks` lists them; --include-path adds your own."
        )
    try:
        loaded = task_manager.load(task_manager.match_tasks(list(names)))
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise InputError(
            f"The data of {', '.join(names)} could not be loaded: {reason}. Check the network and "
            "HF_ENDPOINT, or name tasks of your own files with --include-path."
        ) from error
    return [*loaded.get("groups", {}).values(), *loaded["tasks"].values()]


def run(
    tasks: Sequence[Any], engine: ScoringEngine, adapter: str | None, limit: int | None
) -> HarnessResult:
    """Judge the base with the adapter, or bare.

    Args:
        tasks: what `load` gave.
        limit: so many rows of each task, the first ones.

    Raises:
        UnknownName, AdapterError: the adapter is not there or does not fit the base.
    """
    fingerprints = engine.fingerprints()
    if adapter is not None:
        fingerprints["adapter"] = engine.adapters.fingerprint(adapter)
    results = lm_eval.simple_evaluate(
        model=EngineLM(engine, adapter),
        tasks=list(tasks),
        limit=limit,
        log_samples=False,
        bootstrap_iters=RESAMPLES,
    )
    recorded = {name: results[name] for name in RECORDED_KEYS if name in results}
    plain = json.loads(json.dumps(recorded, default=handle_non_serializable, ensure_ascii=False))
    record = {
        "schema": 1,
        "adapter": adapter,
        "fingerprints": fingerprints,
        "limit": limit,
        "prompts": "raw text",
        "harness": version("lm_eval"),
        **plain,
    }
    return HarnessResult(record, str(make_table(results)))
