"""Draw results/speed-starter.json: python -m benchmarks.plot"""

from __future__ import annotations

import json
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from core.paths import REPOSITORY

OURS, PEERS = "#2f6fdb", "#b8bec8"
Bar = tuple[str, float, str]


def main() -> None:
    """Write results/speed.png."""
    file = REPOSITORY / "results" / "speed-starter.json"
    results = json.loads(file.read_text(encoding="utf-8"))
    mine, plain = results["patchbay"], results["transformers"]
    peers = {name: value for name, value in results.items() if name.startswith("llama.cpp")}
    figure = Figure(figsize=(13, 3.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    rates = [
        ("transformers + PEFT", plain["decode_adapter"], PEERS),
        ("transformers", plain["decode"], PEERS),
        *((f"{name}, LoRA", peer["decode_adapter"], PEERS) for name, peer in peers.items()),
        *((name, peer["decode"], PEERS) for name, peer in peers.items()),
        ("Patchbay, adapter", mine["decode_adapter"], OURS),
        ("Patchbay, base", mine["decode"], OURS),
    ]
    _bars(left, "One answer, tokens/s", rates, "{:.0f}")
    first = [
        *((name, peer["first_token"]["512"], PEERS) for name, peer in peers.items()),
        ("transformers", plain["first_token"]["512"], PEERS),
        ("Patchbay", mine["first_token"]["512"], OURS),
        ("Patchbay, turn 5 anew", mine["turn_5_anew"], OURS),
        ("Patchbay, turn 5", mine["turn_5"], OURS),
    ]
    _bars(middle, "First token of 512, seconds", first, "{:.2f}")
    eight = [
        *((f"{name}, four LoRA", peer["eight_mixed"], PEERS) for name, peer in peers.items()),
        *((f"{name}, no LoRA", peer["eight"], PEERS) for name, peer in peers.items()),
        ("Patchbay, one after another", mine["eight_in_turn"], OURS),
        ("Patchbay, one adapter", mine["eight_same"], OURS),
        ("Patchbay, four adapters", mine["eight_mixed"], OURS),
    ]
    _bars(right, "Eight answers, tokens/s", eight, "{:.0f}")
    figure.savefig(REPOSITORY / "results" / "speed.png", dpi=120)


def _bars(axes: Axes, title: str, bars: list[Bar], form: str) -> None:
    names: Any = [name for name, _, _ in bars]
    drawn = axes.barh(names, [value for _, value, _ in bars], color=[color for *_, color in bars])
    axes.bar_label(drawn, [form.format(value) for _, value, _ in bars], padding=3)
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.set_xticks([])
    axes.margins(x=0.15)


if __name__ == "__main__":
    main()
