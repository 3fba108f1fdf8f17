"""The trained planner on disk: weights, names and temperature; read once, run for every request."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agent.planning import features
from agent.planning.features import Features
from agent.planning.patterns import AGAIN
from core import paths
from core.errors import SetupError

if TYPE_CHECKING:
    from agent.planning.network import PlanNetwork

log = logging.getLogger(__name__)
FOLDER = Path(__file__).with_name("model")
WEIGHTS, RECORD = "planner.safetensors", "record.json"
WORDS, WORD_SCALE = "words.weight", "words.scale"
Plans = list[tuple[tuple[str, ...], float]]


def write(folder: Path, network: PlanNetwork, record: Mapping[str, Any]) -> None:
    """Put a trained planner into a folder: weights in 16 bits, the table of words in 8."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    words = network.state_dict()[WORDS]
    scale = words.abs().amax(1, keepdim=True).clamp(min=1e-6) / 127
    weights |= {WORDS: (words / scale).round().char(), WORD_SCALE: scale.half()}
    save_file(weights, folder / WEIGHTS)
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (folder / RECORD).write_text(text + "\n", encoding="utf-8")


def own() -> Path:
    """Where the person's own planner lies, trained on their corrections, if there is one."""
    return paths.user_dir() / "planner"


def in_use() -> Path:
    """The person's own planner, or else the shipped one; one of before an update is left aside."""
    if not (own() / RECORD).is_file():
        return FOLDER
    if is_of_another_version(own()):
        log.warning(
            "The planner that you trained, %s, is of another version of Patchbay: the shipped one "
            "is used. `python -m agent.planning.learn` trains it again with all your corrections.",
            own(),
        )
        return FOLDER
    return own()


def is_of_another_version(folder: Path) -> bool:
    """Whether the planner there reads other features than this code computes. One that cannot be
    read is not: `Artefact` says what is wrong with it.
    """
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return bool(record["features"] != features.version())
    except (OSError, ValueError, KeyError, TypeError):
        return False


class Artefact:
    """A trained planner. Reads only; safe to share between threads.

    Attributes:
        names: task names and `again`, as plans are made of.
        tags: what a token can be.
        record: how it was made and judged.
        threshold: probability of a plan below which it is uncertain.

    Raises:
        SetupError: a file is missing, damaged, or of another version.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        from safetensors.torch import load_file

        from agent.planning.network import PlanNetwork

        try:
            self.record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            weights = load_file(folder / WEIGHTS)
            self.threshold = float(self.record["threshold"])
        except Exception as error:  # whatever the libraries raise for a damaged file
            raise SetupError(
                f"The planner in {folder} cannot be read: {error}. {_remedy(folder)}"
            ) from error
        if is_of_another_version(folder):
            raise SetupError(
                f"The planner in {folder} is of version {self.record['features']}, and this code "
                f"reads {features.version()}. {_remedy(folder)}"
            )
        self.names: tuple[str, ...] = tuple(self.record["names"])
        self.tags: tuple[str, ...] = tuple(self.record["tags"])
        self._temperature = float(self.record["temperature"])
        weights = {name: value.float() for name, value in weights.items()}
        weights[WORDS] *= weights.pop(WORD_SCALE)
        self.network = PlanNetwork(len(self.names), len(self.tags))
        self.network.load_state_dict(weights, assign=True)
        self.network.eval()

    def run(
        self, found: Features, before: Sequence[str], beam: int
    ) -> tuple[NDArray[np.float32], Plans]:
        """Tag logits, (tokens, tags), and the likeliest plans with their probabilities."""
        import torch

        from agent.planning.network import collate
        from engine.int8 import one_thread

        numbers = [self.names.index(name) for name in before if name in self.names]
        with torch.inference_mode(), one_thread():
            batch = collate([found], [numbers], len(self.names))
            states, tags = self.network.read(batch)
            plans = self._plans(states, batch.mask, beam, again=bool(numbers))
        return tags[0].numpy(), plans

    def _plans(self, states: Any, mask: Any, beam: int, again: bool) -> Plans:
        """Beam search: a plan names a task once, and `again` stands by itself."""
        import torch

        end = len(self.names)
        hidden = self.network.begin(states, mask)
        open_: list[tuple[tuple[int, ...], float, Any]] = [((), 0.0, hidden)]
        done: list[tuple[tuple[int, ...], float]] = []
        for _ in range(len(self.names)):
            grown: list[tuple[tuple[int, ...], float, Any]] = []
            for plan, score, state in open_:
                last = torch.tensor([plan[-1] if plan else end])
                after, scores = self.network.step(state, last, states, mask)
                logits = scores[0] / self._temperature
                for number in {*plan, *self._barred(plan, again)}:
                    logits[number] = -1e9
                if plan and self.names[plan[-1]] == AGAIN:
                    logits[:end] = -1e9
                if not plan:
                    logits[end] = -1e9
                for number, value in enumerate(logits.log_softmax(0).tolist()):
                    if value > -12:
                        grown.append(((*plan, number), score + value, after))
            grown.sort(key=lambda item: -item[1])
            done += [(plan[:-1], score) for plan, score, _ in grown[: 2 * beam] if plan[-1] == end]
            open_ = [item for item in grown if item[0][-1] != end][:beam]
            if not open_ or (len(done) >= 2 and open_[0][1] < sorted(s for _, s in done)[-2]):
                break
        done.sort(key=lambda item: -item[1])
        return [
            (tuple(self.names[n] for n in plan), float(np.exp(score)))
            for plan, score in done[:beam]
        ]

    def _barred(self, plan: tuple[int, ...], again: bool) -> list[int]:
        number = self.names.index(AGAIN)
        return [] if again and not plan else [number]


def _remedy(folder: Path) -> str:
    if folder == own():
        return "Delete it for the shipped one, or run `python -m agent.planning.learn` again."
    return "Train it again with `python -m agent.planning.train`."
