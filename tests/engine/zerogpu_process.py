"""Run by test_zerogpu.py in a process of its own: the real `spaces` on a machine without a GPU.

Everything of it is real but for CUDA: the emulation while the base is loaded, the weights put aside
on the disk, the scheduling over HTTP, the fork, the pickles. In the worker the weights come back
to the CPU in place of a GPU.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import torch

# What a CPU build of torch lacks of what `spaces` replaces.
torch.version.cuda = "13.0"
torch._C._cuda_init = lambda: None
torch.cuda._is_in_bad_fork = bool

import spaces  # noqa: E402, F401
import spaces.zero.torch as zero_torch  # noqa: E402
from spaces.zero.torch import patching  # noqa: E402

from core.errors import PatchbayError  # noqa: E402
from core.settings import Settings  # noqa: E402
from engine.interface import ChooseRequest, Delta, ScoreRequest, Usage, WriteRequest  # noqa: E402
from engine.zerogpu import load_zero  # noqa: E402
from tasks.spec import Decoding  # noqa: E402


def back_on_the_cpu(callback: object = None) -> None:
    """As `pack_to_cuda` reads the file, without the GPU."""
    for pack in patching.tensor_packs:
        data, at = Path(pack.path()).read_bytes(), 0
        for tensor, size, aligned in chain(*pack.batches, pack.big_tensors):
            raw = torch.frombuffer(bytearray(data[at : at + size]), dtype=tensor.dtype)
            for fake in pack.fakes[tensor]:
                fake.data = raw.as_strided(tensor.shape, tensor.stride())
            at += aligned


zero_torch.init = lambda uuid: None
zero_torch.move = back_on_the_cpu


def main(base: Path) -> dict[str, object]:
    own = {"base": str(base), "quantization": "none", "context_tokens": 512}
    engine = load_zero(Settings(**own, device="cuda", engine="zero", max_waiting=0))
    assert patching.tensor_packs, "the weights were not put aside"
    assert all(original is None for original in patching.cuda_aliases.values())
    messages = ({"role": "user", "content": "Hello 你好"},)
    request = WriteRequest(messages, "own", Decoding(max_new_tokens=12), logprobs=1)
    results: dict[str, object] = {}

    def in_a_thread() -> None:  # as Gradio and the API call it
        items = list(engine.write(request))
        results["write"] = "".join(item.text for item in items if isinstance(item, Delta))
        results["usage"] = asdict(items[-1])
        results["choose"] = engine.choose(ChooseRequest(messages, ("yes", "no"), "own")).logprobs
        score = engine.score(ScoreRequest((1, 2), ((3, 4), (5,))))
        results["score"] = [one.logprobs for one in score.continuations]

    thread = threading.Thread(target=in_a_thread)
    thread.start()
    thread.join()

    stop = threading.Event()
    pieces = []
    for item in engine.write(WriteRequest(messages, None, Decoding(max_new_tokens=400)), stop):
        pieces.append(item)
        stop.set()
    assert isinstance(pieces[-1], Usage)
    results["stopped"] = [len(pieces), pieces[-1].stopped]

    Path(os.environ["QUOTA"]).write_text("none left")
    try:
        list(engine.write(request))
    except PatchbayError as error:
        results["quota"] = [type(error).__name__, str(error)]
    results["waiting"] = engine.waiting
    engine.close()
    return results


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
