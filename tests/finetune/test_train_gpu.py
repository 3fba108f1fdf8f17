"""Training on a GPU: the quick ways compute what the plain ones do, and an adapter comes out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from finetune import model, train
from finetune.examples import Example, ExampleEncoder
from finetune.model import AnswerLoss, collate
from finetune.recipe import Recipe, load_recipe
from tasks.rows import Row

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
LABELS = ["positive", "negative", "neutral"]


@pytest.fixture
def examples(sentiment: ExampleEncoder) -> list[Example]:
    texts = [("good", "positive"), ("a rather bad film", "negative"), ("it runs", "neutral")]
    return [sentiment.example(Row(t, a), LABELS) for t, a in texts]


def test_loss_and_gradients_are_those_of_plain_transformers(
    recipe: Recipe, examples: list[Example]
) -> None:
    net = model.load(recipe).model  # fused norms, in bfloat16
    torch.manual_seed(1)
    for parameter in net.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    batch = collate(examples, 0, share=False).to(torch.device("cuda"))
    logits = net(batch.ids).logits.float().flatten(0, 1)[batch.at]
    plain = (F.cross_entropy(logits, batch.targets, reduction="none") * batch.weights).sum()
    plain.backward()
    trained = [p for p in net.parameters() if p.requires_grad]
    before = torch.cat([p.grad.flatten().float() for p in trained])
    net.zero_grad()
    quick = AnswerLoss(net)(batch)  # fused layers, a compiled head
    quick.backward()
    after = torch.cat([p.grad.flatten().float() for p in trained])
    assert float(quick) == pytest.approx(float(plain), rel=0.02)
    assert float(F.cosine_similarity(before, after, dim=0)) > 0.99


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_a_training_learns_and_leaves_an_adapter(recipe_file: Path, quantization: str) -> None:
    words = [f"quantization={quantization}", "steps=30", "evaluations=3"]
    folder = train.run(load_recipe(str(recipe_file), words))
    told = json.loads((folder / "run.json").read_text())
    losses = [loss for _, loss in told["evaluations"]]
    assert losses[-1] < losses[0]
    assert (folder / "adapter_model.safetensors").is_file()


def test_batches_made_ahead_are_the_same_batches(recipe: Recipe, sentiment: ExampleEncoder) -> None:
    made = [collate([sentiment.example(Row(t, "positive"), LABELS)], 0) for t in ("a", "b", "c")]
    ahead = list(train.prefetched(iter(made), torch.device("cuda")))
    assert [b.ids.tolist() for b in ahead] == [b.ids.tolist() for b in made]
