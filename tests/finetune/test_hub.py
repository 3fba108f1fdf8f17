"""Adapters go to a hub and come back, through the hub's own client and a hub on loopback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml
from conftest import command
from hub import TOKEN, Hub, hub
from huggingface_hub import ModelCard, constants
from safetensors.torch import load_file, save_file
from served import free_port

from adapter_store.discovery import find_adapter
from adapter_store.files import fingerprint_of
from core import paths

NAME, REPOSITORY = "summarization-en", "you/summaries"
BASE = ["--profile", "smollm2"]
Finetune = Callable[..., tuple[int, str, str]]


def point_to(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As HF_ENDPOINT does, which is read when the client is imported."""
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # files go over HTTP
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with hub() as running:
        point_to(running.address, monkeypatch)
        yield running


@pytest.fixture
def finetune(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Finetune:
    """The command line: (exit code, standard output, the last line of standard error)."""

    def run(*words: str) -> tuple[int, str, str]:
        code = command(monkeypatch, *words)
        printed = capsys.readouterr()
        return code, printed.out.strip(), (printed.err.strip().splitlines() or [""])[-1]

    return run


def test_an_adapter_goes_there_and_comes_back(there: Hub, finetune: Finetune) -> None:
    code, address, _ = finetune("push", NAME, "--to", REPOSITORY)
    assert (code, address) == (0, f"{there.address}/{REPOSITORY}")
    kept = there.repositories[REPOSITORY]
    assert kept.private
    card = ModelCard(kept.files["README.md"].decode())
    assert f'ADAPTER = "{REPOSITORY}"' in card.text
    assert card.data.library_name == "peft"

    code, folder, _ = finetune("pull", REPOSITORY, *BASE)
    assert (code, folder) == (0, str(paths.user_dir() / "adapters" / "summaries"))
    assert fingerprint_of(Path(folder)) == fingerprint_of(find_adapter(NAME))
    assert {path.name for path in (paths.user_dir() / "adapters").iterdir()} == {"summaries"}
    assert "origins.json" not in kept.files
    assert {path.name for path in Path(folder).iterdir()} == set(kept.files) - {".gitattributes"}

    assert finetune("pull", REPOSITORY, *BASE)[2].startswith(
        "error: There is an adapter 'summaries' already"
    )
    assert finetune("pull", REPOSITORY, "--name", "mine", *BASE)[0] == 0


def test_the_terms_of_a_base_go_along(there: Hub, finetune: Finetune) -> None:
    assert finetune("push", "sentiment", "--to", "you/mine", "--public")[0] == 0
    kept = there.repositories["you/mine"]
    assert not kept.private
    assert b"Gemma Terms of Use" in kept.files["NOTICE"]
    assert b"Gemma" in kept.files["GEMMA_TERMS.txt"]


def test_one_that_is_there_is_written_into_when_asked(there: Hub, finetune: Finetune) -> None:
    there.make(REPOSITORY).commit({"mine.txt": b"by hand"})
    code, _, said = finetune("push", NAME, "--to", REPOSITORY)
    assert code == 1
    assert said.startswith(f"error: {REPOSITORY} is on the hub already.")
    assert list(there.repositories[REPOSITORY].files) == ["mine.txt"]
    assert finetune("push", NAME, "--to", REPOSITORY, "--update")[0] == 0
    assert there.repositories[REPOSITORY].files["mine.txt"] == b"by hand"


def test_no_folder_of_this_machine_goes_along(
    there: Hub, finetune: Finetune, tmp_path: Path
) -> None:
    folder = paths.user_dir() / "adapters" / "mine"
    shutil.copytree(find_adapter(NAME), folder)
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    recipe["data"][0]["path"] = str(tmp_path / "customers.jsonl")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert finetune("push", "mine", "--to", REPOSITORY)[0] == 0
    kept = there.repositories[REPOSITORY].files
    assert str(tmp_path).encode() not in b"".join(kept.values())
    assert yaml.safe_load(kept["recipe.yaml"])["data"][0]["path"] == "customers.jsonl"
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = str(tmp_path)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    assert "a folder of this machine" in finetune("push", "mine", "--to", "you/other")[2]
    assert "you/other" not in there.repositories


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["push", NAME, "--to", "no-owner"], "'no-owner' is no repository of the hub"),
        (["push", "nothing", "--to", REPOSITORY], "no finished adapter named 'nothing'"),
        (["pull", "you/nothing"], "There is no you/nothing on the hub that you may read"),
        (["pull", "you/x", "--name", "a/b"], "'a/b' is no adapter's name"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    words: list[str], said: str, there: Hub, finetune: Finetune
) -> None:
    code, out, error = finetune(*words)
    assert code
    assert not out
    assert said in error


def test_no_token_a_wrong_one_no_network(
    there: Hub, finetune: Finetune, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    push = ["push", NAME, "--to", REPOSITORY]
    assert "does not let this token write" in finetune(*push)[2]
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    assert "There is no token: set HF_TOKEN" in finetune(*push)[2]
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    there.down = True
    assert "The hub failed" in finetune("pull", REPOSITORY)[2]
    point_to(f"http://127.0.0.1:{free_port()}", monkeypatch)
    for words in (push, ["pull", REPOSITORY]):
        assert "The hub was not reached" in finetune(*words)[2]
    assert not list((paths.user_dir() / "adapters").glob("*"))


@pytest.fixture
def on_the_hub(there: Hub) -> dict[str, bytes]:
    """The files of an adapter there, to be spoilt."""
    files = {
        path.name: path.read_bytes()
        for path in find_adapter(NAME).iterdir()
        if path.name in {"adapter_config.json", "adapter_model.safetensors", "run.json"}
    }
    there.make(REPOSITORY)
    return files


def test_a_pickle_is_never_fetched(
    there: Hub, on_the_hub: dict[str, bytes], finetune: Finetune
) -> None:
    weights = on_the_hub.pop("adapter_model.safetensors")
    pickle = {"adapter_model.bin": b"cos\nsystem\n(S'true'\ntR."}
    there.repositories[REPOSITORY].commit(on_the_hub | pickle)
    code, _, said = finetune("pull", REPOSITORY, *BASE)
    assert code == 1
    assert "only adapter_model.bin: pickles, which can run code" in said
    there.repositories[REPOSITORY].commit(
        on_the_hub | pickle | {"adapter_model.safetensors": weights, "../evil.py": b"x"}
    )
    code, folder, _ = finetune("pull", REPOSITORY, *BASE)
    assert code == 0
    assert {path.name for path in Path(folder).iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "run.json"
    }  # fmt: skip


def test_what_the_chat_would_refuse_is_not_kept(
    there: Hub, on_the_hub: dict[str, bytes], finetune: Finetune, tmp_path: Path
) -> None:
    repository = there.repositories[REPOSITORY]

    def refused(said: str, *options: str, **files: bytes) -> None:
        repository.commit(on_the_hub | {name.replace("__", "."): files[name] for name in files})
        code, _, error = finetune("pull", REPOSITORY, *options)
        assert code == 1
        assert said in error
        assert not list((paths.user_dir() / "adapters").iterdir())

    refused("was trained on 'HuggingFaceTB/SmolLM2-135M-Instruct'", "--profile", "starter")
    refused("is damaged", *BASE, adapter_model__safetensors=b"not so")
    config = json.loads(on_the_hub["adapter_config.json"])
    dora = json.dumps(config | {"use_dora": True}).encode()
    refused("uses use_dora, which this engine cannot serve", *BASE, adapter_config__json=dora)
    file = tmp_path / "weights.safetensors"
    file.write_bytes(on_the_hub["adapter_model.safetensors"])
    save_file({key: value * torch.inf for key, value in load_file(file).items()}, file)
    refused("numbers that are not finite", *BASE, adapter_model__safetensors=file.read_bytes())
