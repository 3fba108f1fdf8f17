"""semantic-router as a peer of routing, in a Python of its own: it wants other versions than we do.

The first line on standard input is JSON, `{"encoder": folder, "routes": {name: requests}, "fit":
[[request, name], ...]}`; with any of `fit` it is calibrated on that, and has a threshold of 0.5.
Each further line is a request, as JSON; for each the name of its route is printed, or null.
"""

import json
import sys
from typing import Any

from semantic_router import Route
from semantic_router.encoders import DenseEncoder
from semantic_router.routers import IndexedRouter
from sentence_transformers import SentenceTransformer


class Encoder(DenseEncoder):
    """A model out of a folder, on the CPU."""

    model: Any

    def __call__(self, docs: list[Any]) -> list[list[float]]:
        rows: list[list[float]] = self.model.encode(docs, normalize_embeddings=True).tolist()
        return rows


asked = json.loads(sys.stdin.readline())
model = SentenceTransformer(asked["encoder"], device="cpu")
routes = [Route(name=name, utterances=requests) for name, requests in asked["routes"].items()]
router = IndexedRouter(encoder=Encoder(name="encoder", model=model), routes=routes)
if asked["fit"]:
    router.fit(*map(list, zip(*asked["fit"], strict=True)))
    router.confidence_threshold = 0.5
for line in sys.stdin:
    print(json.dumps(getattr(router(json.loads(line)), "name", None)), flush=True)
