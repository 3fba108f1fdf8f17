"""The router: probabilities that mean something, the cache, and where each part of a text is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.planning import clauses, parts, wording
from agent.planning.encoder import Encoder, starter_folder
from agent.planning.router import Router
from core.errors import SetupError
from tasks.spec import load_tasks


class Letters:
    """An encoder that counts letters: fast, and enough for what is tested."""

    name = "letters"

    def encode(self, texts: list[str]) -> np.ndarray:
        vectors = np.array([[text.count(c) + 0.1 for c in "aeinost"] for text in texts], np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Router:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATCHBAY_CACHE", str(tmp_path_factory.mktemp("cache")))
        return Router(load_tasks(), Letters())  # type: ignore[arg-type]


def test_scores_are_probabilities_with_a_nearest_sample(router: Router) -> None:
    tasks = load_tasks()
    (scored,) = router.score(["Please summarize this article"])
    assert scored.top == "summarization"
    assert sum(scored.scores.values()) == pytest.approx(1)
    assert scored.nearest["summarization"] in tasks["summarization"].requests.all()


def test_it_is_calibrated(router: Router) -> None:
    assert router.calibration_error < 0.05


def test_a_damaged_cache_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHBAY_CACHE", str(tmp_path))
    tasks = {name: load_tasks()[name] for name in ("generation", "sentiment")}
    before = Router(tasks, Letters()).score(["what mood is this"])[0]  # type: ignore[arg-type]
    (file,) = (tmp_path / "router").glob("*.npz")
    file.write_bytes(b"not a zip")
    after = Router(tasks, Letters()).score(["what mood is this"])[0]  # type: ignore[arg-type]
    assert after.scores == pytest.approx(before.scores)


def test_the_encoder_makes_unit_vectors_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    assert starter_folder().is_dir()
    vectors = Encoder().encode(["hello", "你好"])
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-5)


def test_a_missing_encoder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="starter"):
        Encoder(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Sports, business or tech?", ("Sports", "business", "tech")),
        ("labels: a, b, c", ("a", "b", "c")),
        ("pos/neg/neutral", ("pos", "neg", "neutral")),
        ("属于财经、娱乐还是科技", ("财经", "娱乐", "科技")),
        ("体育、财经还是科技？", ("体育", "财经", "科技")),
    ],
)
def test_choices_are_found(text: str, names: tuple[str, ...]) -> None:
    choices = wording.find_choices(text)
    assert choices is not None
    assert choices.names == names


def test_languages_and_choices_are_masked() -> None:
    assert wording.mask("put this into Welsh") == "put this into French"
    assert wording.mask("翻译成泰语") == "翻译成法语"
    assert wording.mask("apples, pears or plums?") == "A, B or C?"
    assert wording.mask("pos, neg or neutral?", {"neutral"}) == "pos, neg or neutral?"


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("before translating it, shorten it", ["shorten it", "before translating it"]),
        ("shorten it, then translate it", ["shorten it", "then translate it"]),
        ("翻译之前，先缩短", ["先缩短", "翻译之前"]),
        ("translate it, but first shorten it", ["first shorten it", "translate it"]),
    ],
)
def test_clauses_come_in_the_order_of_doing(text: str, order: list[str]) -> None:
    found = clauses.split(text)
    texts = [found[position].text for position in clauses.in_order(found)]
    assert [text.removeprefix("but ") for text in texts] == order


def test_a_quote_is_content_whatever_it_says() -> None:
    taken = parts.split("Say “translate this” in Welsh", lambda texts: [1.0] * len(texts))
    assert (taken.asking, taken.content) == (("Say “…” in Welsh",), "translate this")
