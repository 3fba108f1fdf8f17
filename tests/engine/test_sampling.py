"""Sampling: what repetition costs a token."""

from __future__ import annotations

import pytest
import torch

from engine.sampling import ALL_ASKED, ASKED_EVERY, MeanLogprob, Sampler
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


@pytest.mark.parametrize(
    ("length", "allowed", "free"),
    [(1, 4, True), (3, 4, True), (4, 4, False), (1, 2, True), (2, 2, False)],
)
def test_short_repetitions_cost_nothing(length: int, allowed: int, free: bool) -> None:
    tokens = [*PHRASE[:length], 30, *PHRASE[:length]]
    decoding = Decoding(dry_multiplier=5.0, dry_allowed_length=allowed)
    sampler = Sampler(decoding, prompt=[])
    for token in tokens:
        logits = torch.zeros(VOCABULARY)
        logits[token] = 1000.0
        assert sampler.pick(logits) == token
    logits = torch.zeros(VOCABULARY)
    logits[30] = 1e-3
    assert (sampler.pick(logits) == 30) == free


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


def drawn(logits: list[float], times: int = 400, **decoding: float) -> set[int]:
    """Every token that comes first in so many answers."""
    values = torch.tensor(logits)
    return {
        Sampler(Decoding(temperature=1.0, seed=seed, **decoding), prompt=[]).pick(values)
        for seed in range(times)
    }


def test_what_is_unlikely_is_left_out_on_request() -> None:
    logits = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05]).log().tolist()
    assert drawn(logits) == {0, 1, 2, 3, 4}
    assert drawn(logits, top_k=2) == {0, 1}
    assert drawn(logits, min_p=0.3) == {0, 1, 2}
    assert drawn(logits, top_k=4, min_p=0.3) == {0, 1, 2}
    assert drawn(logits, top_p=0.75) == {0, 1, 2}
    assert drawn(logits, top_k=2, top_p=0.5) == {0}, "top_p is of what top_k has left"
    assert drawn(logits * 500, top_k=3, times=50) <= set(range(len(logits * 500)))


def test_the_two_penalties_are_those_of_openai() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0])
    for decoding, expected in [
        (Decoding(), [0, 0, 0, 0]),
        (Decoding(presence_penalty=1.5), [0, 1, 0, 0]),
        (Decoding(frequency_penalty=0.8), [0, 0, 1, 0]),
        (Decoding(presence_penalty=-2), [0, 0, 0, 0]),
    ]:
        sampler = Sampler(decoding, prompt=[1, 1, 1])  # what was read costs nothing
        assert [sampler.pick(logits) for _ in expected] == expected


def test_what_is_off_leaves_the_fingerprint_as_it_was() -> None:
    assert set(Decoding().model_dump()) == {
        "max_new_tokens",
        "temperature",
        "top_p",
        "repetition_penalty",
        "seed",
    }


def test_the_mean_log_likelihood_is_that_of_the_logits() -> None:
    logits = torch.randn(50, VOCABULARY, generator=torch.Generator().manual_seed(1))
    mean = MeanLogprob()
    assert mean.value is None
    every = torch.log_softmax(logits, -1)[:, 7]
    for row in logits[:ALL_ASKED]:
        mean.add(row, 7)
    assert mean.value == pytest.approx(float(every[:ALL_ASKED].mean()), abs=1e-5)
    for row in logits[ALL_ASKED:]:
        mean.add(row, 7)
    asked = torch.cat([every[:ALL_ASKED], every[ALL_ASKED + ASKED_EVERY - 1 :: ASKED_EVERY]])
    assert mean.value == pytest.approx(float(asked.mean()), abs=1e-5)
