"""Settings: who wins, where a value came from, and what is said when one is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import SettingsError, UnknownName
from core.settings import has_cuda, load_settings, profile_names


def write(home: Path, name: str, text: str) -> Path:
    file = home / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.skipif(has_cuda(), reason="this machine has CUDA, where auto means gpu")
def test_auto_is_the_starter_without_cuda() -> None:
    settings = load_settings()
    assert (settings.profile, settings.base, settings.host) == ("starter", "starter", "127.0.0.1")
    assert settings.origin("profile") == "auto: no CUDA found"
    assert settings.origin("base").endswith("starter.yaml")
    assert settings.origin("host") == "default"


def test_flag_over_environment_over_file_over_profile(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(home, "settings.yaml", "port: 1001\nthreads: 1\ncontext_tokens: 777\n")
    monkeypatch.setenv("PATCHBAY_PORT", "1002")
    monkeypatch.setenv("PATCHBAY_THREADS", "2")
    settings = load_settings(profile="starter", port=1003, host=None)
    assert (settings.port, settings.origin("port")) == (1003, "flag")
    assert (settings.threads, settings.origin("threads")) == (2, "environment")
    assert (settings.context_tokens, settings.origin("context_tokens")) == (777, str(file))
    assert "port = 1003  (flag)" in settings.explain()


def test_a_profile_of_ones_own(home: Path, tmp_path: Path) -> None:
    write(home, "profiles/mine.yaml", "base: org/model\nquantization: none\n")
    assert "mine" in profile_names()
    assert load_settings(profile="mine").base == "org/model"
    other = write(tmp_path, "other.yaml", "max_running: 3\n")
    assert load_settings(profile=str(other)).max_running == 3


@pytest.mark.skipif(has_cuda(), reason="this machine has CUDA")
def test_gpu_without_cuda_names_the_way_out() -> None:
    with pytest.raises(SettingsError, match="--profile starter"):
        load_settings(profile="gpu")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bse: x\n", "Did you mean base"),
        ("- a\n", "must hold"),
        ("a: [\n", "YAML"),
        ("port: high\n", "port='high' .from .*settings.yaml. is wrong"),
        ("port: 99999\n", "65535"),
    ],
)
def test_a_wrong_file_is_named_with_the_value(home: Path, text: str, message: str) -> None:
    write(home, "settings.yaml", text)
    with pytest.raises(SettingsError, match=message):
        load_settings(profile="starter")


def test_unknown_profiles_get_near_matches(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean starter"):
        load_settings(profile="strater")
    with pytest.raises(SettingsError, match="does not exist"):
        load_settings(profile=str(tmp_path / "none.yaml"))
    with pytest.raises(UnknownName):
        load_settings(profile="../../etc/passwd")
