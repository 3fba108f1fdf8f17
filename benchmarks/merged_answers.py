"""What a merged model answers, in whichever transformers runs this: JSON in, JSON out.

python merged_answers.py FOLDER < '{"prompts": [...], "length": 64}'
"""

import json
import sys
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

asked = json.load(sys.stdin)
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model: Any = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
answers, tokens = [], []
for prompt in asked["prompts"]:
    inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
    made = model.generate(**inputs, max_new_tokens=asked["length"], do_sample=False)
    answers.append(tokenizer.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True))
    tokens.append(inputs.input_ids[0].tolist())
print(json.dumps({"version": transformers.__version__, "answers": answers, "tokens": tokens}))
