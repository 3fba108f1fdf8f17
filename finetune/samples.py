"""What the model answers to some validation rows while it is trained, for a person to look at."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from finetune.examples import Example
from finetune.model import TrainableModel

MOST_TOKENS = 48  # of an answer


@torch.no_grad()
def answers(trainable: TrainableModel, examples: Sequence[Example]) -> dict[str, str]:
    """`sample/N` -> the greedy answer to the N-th example, from 1, and the right one behind it."""
    model, tokenizer = trainable.model, trainable.tokenizer
    was_training = model.training
    model.eval()
    found = {}
    for number, example in enumerate(examples, 1):
        prompt = torch.tensor([example.prompt], device=model.device)
        ids = model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=MOST_TOKENS,
            do_sample=False,
            eos_token_id=example.answer[-1],
            pad_token_id=example.answer[-1],
        )
        said = tokenizer.decode(ids[0, len(example.prompt) :], skip_special_tokens=True)
        right = tokenizer.decode(example.answer, skip_special_tokens=True)
        found[f"sample/{number}"] = f"{said.strip()} ← {right.strip()}"
    model.train(was_training)
    return found
