"""The loss: reading a common beginning once changes nothing; only answers are learnt."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from finetune import model
from finetune.examples import Example, ExampleEncoder
from finetune.fused import fusable
from finetune.model import AnswerLoss, collate
from finetune.recipe import Recipe
from tasks.rows import Row

LABELS = ["positive", "negative", "neutral"]


@pytest.fixture
def examples(sentiment: ExampleEncoder) -> list[Example]:
    texts = [("good", "positive"), ("a rather bad film", "negative"), ("it runs", "neutral")]
    return [sentiment.example(Row(t, a), LABELS, 1 + i) for i, (t, a) in enumerate(texts)]


@pytest.fixture
def exact(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"dtype": "float32"})


@pytest.fixture
def net(exact: Recipe) -> torch.nn.Module:
    return filled(exact)


def filled(recipe: Recipe) -> torch.nn.Module:
    """The base with an adapter that does something."""
    net = model.load(recipe).model
    torch.manual_seed(1)
    for parameter in net.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    return net.eval()


def gradients(net: torch.nn.Module) -> list[torch.Tensor]:
    return [p.grad.clone() for p in net.parameters() if p.grad is not None]


def test_sharing_the_beginning_is_the_same_computation(
    net: torch.nn.Module, examples: list[Example]
) -> None:
    results = []
    for share in (True, False):
        batch = collate(examples, 0, 8, share)
        assert bool(batch.shared.numel()) is share
        net.zero_grad()
        loss = AnswerLoss(net)(batch)
        loss.backward()
        results.append((loss.item(), gradients(net)))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    for one, other in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 1e-2)])
def test_fused_layers_give_the_loss_and_gradients_of_peft(
    recipe: Recipe, examples: list[Example], dtype: str, tolerance: float
) -> None:
    net = filled(recipe.model_copy(update={"dtype": dtype}))
    batch = collate(examples, 0)
    results = []
    for fused in (False, True):
        loss_of = AnswerLoss(net, fuse=fused)
        net.zero_grad()
        loss = loss_of(batch)
        loss.backward()
        results.append((loss.item(), gradients(net)))
    assert results[0][0] == pytest.approx(results[1][0], rel=tolerance)
    assert len(results[0][1]) == len(results[1][1]) > 0
    for one, other in zip(results[0][1], results[1][1], strict=True):
        assert one.dtype == other.dtype
        assert (one - other).norm() <= 3 * tolerance * one.norm()


def test_both_kinds_of_attention_give_the_same(
    net: torch.nn.Module, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, losses = collate(examples, 0), []
    for short in (10_000, 0):
        monkeypatch.setattr(model, "EAGER_TOKENS", short)
        losses.append(AnswerLoss(net)(batch).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_merging_follows_the_factors(
    exact: Recipe, net: torch.nn.Module, examples: list[Example]
) -> None:
    loss_of, batch = AnswerLoss(net), collate(examples, 0)
    before = loss_of(batch).item()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.requires_grad:
                parameter.zero_()
    untrained = AnswerLoss(model.load(exact).model, fuse=False)(batch).item()
    assert loss_of(batch).item() == pytest.approx(untrained, rel=1e-5)
    assert before != pytest.approx(untrained, rel=1e-3)


@pytest.mark.parametrize(
    ("change", "pays"),
    [({}, True), ({"dropout": 0.1}, False), ({"dora": True}, False), ({"rslora": True}, True)],
)
def test_only_plain_lora_is_fused(recipe: Recipe, change: dict[str, object], pays: bool) -> None:
    lora = recipe.lora.model_copy(update=change)
    loaded = model.load(recipe.model_copy(update={"lora": lora})).model
    assert fusable(loaded) is pays


def test_the_loss_is_the_weighted_likelihood_of_whole_answers(
    net: torch.nn.Module, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = sum(example.weight * len(example.answer) for example in examples)
    expected_loss = torch.zeros(())
    for example in examples:
        ids = torch.tensor([example.prompt + example.answer])
        logits = net(ids).logits[0, len(example.prompt) - 1 : -1]
        losses = F.cross_entropy(logits, torch.tensor(example.answer), reduction="sum")
        expected_loss = expected_loss + example.weight / weight * losses
    expected_loss.backward()
    expected = gradients(net)
    net.zero_grad()
    monkeypatch.setattr(model, "HEAD_ROWS", 3)  # in several pieces, the last one not whole
    loss = AnswerLoss(net)(collate(examples, 0))
    loss.backward()
    assert loss.item() == pytest.approx(expected_loss.item(), rel=1e-4)
    for one, other in zip(gradients(net), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


def test_lengths_are_rounded_and_what_counts_is_placed_right(examples: list[Example]) -> None:
    batch = collate(examples, 9, 16)
    assert batch.ids.shape[1] % 16 == 0
    answers = [token for example in examples for token in example.answer]
    assert batch.targets.tolist() == answers
    assert float(batch.weights.sum()) == pytest.approx(1)


def test_layers_below_from_layer_are_left_alone(recipe: Recipe) -> None:
    upper = recipe.model_copy(update={"lora": recipe.lora.model_copy(update={"from_layer": 1})})
    trained = [n for n, p in model.load(upper).model.named_parameters() if p.requires_grad]
    assert trained
    assert all(".layers.1." in name for name in trained)
