"""Sampling: what repetition costs a token."""

from __future__ import annotations

import pytest
import torch

from engine.sampling import DRY_ALLOWED_LENGTH, Sampler
from tasks.spec import Decoding

VOCABULARY = 40
PHRASE = [3, 1, 4, 15, 9, 26, 5, 35]


def continued(tokens: list[int], decoding: Decoding, steps: int) -> list[int]:
    """What follows the tokens from a model that wants to say the phrase over and over."""
    sampler = Sampler(decoding, prompt=[])
    answer: list[int] = []
    for _ in range(len(tokens) + steps):
        logits = torch.zeros(VOCABULARY)
        if len(answer) < len(tokens):
            wanted = tokens[len(answer)]
            logits[wanted] = 1000.0
        else:
            wanted = PHRASE[len(answer) % len(PHRASE)]
            logits[wanted] = 8.0
        answer.append(sampler.pick(logits))
    return answer[len(tokens) :]


def test_a_loop_is_left() -> None:
    plain = continued(PHRASE, Decoding(), 40)
    assert plain == PHRASE * 5
    dry = continued(PHRASE, Decoding(dry_multiplier=0.8), 40)
    assert dry != plain
    repeated = [dry[i : i + len(PHRASE)] == PHRASE for i in range(len(dry))]
    assert sum(repeated) <= 1


@pytest.mark.parametrize("length", range(1, DRY_ALLOWED_LENGTH))
def test_short_repetitions_cost_nothing(length: int) -> None:
    tokens = [*PHRASE[:length], 30, *PHRASE[:length]]
    sampler = Sampler(Decoding(dry_multiplier=5.0), prompt=[])
    for token in tokens:
        logits = torch.zeros(VOCABULARY)
        logits[token] = 1000.0
        assert sampler.pick(logits) == token
    logits = torch.zeros(VOCABULARY)
    logits[30] = 1e-3
    assert sampler.pick(logits) == 30


def test_the_prompt_may_be_repeated_word_for_word() -> None:
    sampler = Sampler(Decoding(dry_multiplier=5.0), prompt=PHRASE * 3)
    answer = []
    for token in PHRASE:
        logits = torch.zeros(VOCABULARY)
        logits[token] = 1.0
        answer.append(sampler.pick(logits))
    assert answer == PHRASE


def test_a_decoding_without_it_has_the_fingerprint_it_had_before() -> None:
    assert "dry_multiplier" not in Decoding().model_dump()
    assert Decoding(dry_multiplier=0.8).model_dump()["dry_multiplier"] == 0.8
    assert Decoding(**Decoding(dry_multiplier=0.8).model_dump()).dry_multiplier == 0.8
