"""Settings: who wins, where a value came from, and what is said when one is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import SettingsError, UnknownName
from core.paths import REPOSITORY
from core.settings import Settings, has_cuda, load_settings, profile_names


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


def test_auto_is_zero_on_zero_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setattr("core.settings.has_cuda", lambda: True)  # as `spaces` makes it look
    settings = load_settings()
    assert (settings.profile, settings.engine, settings.quantization) == ("zero", "zero", "none")
    assert settings.origin("profile") == "auto: ZeroGPU found"


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


def test_keys_come_as_json_or_yaml_and_are_never_shown(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "0123456789abcdefgh"
    monkeypatch.setenv("PATCHBAY_API_KEYS", f'{{"alice": "{secret}"}}')
    settings = load_settings(profile="starter")
    assert settings.api_keys["alice"].key.get_secret_value() == secret
    assert secret not in settings.explain() + repr(settings)
    monkeypatch.delenv("PATCHBAY_API_KEYS")
    write(home, "settings.yaml", f"api_keys: {{bob: {{key: {secret}, adapters: [a, b]}}}}")
    assert load_settings(profile="starter").api_keys["bob"].adapters == ("a", "b")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("alice=0123456789abcdefgh", "not JSON"),
        ('{"alice": "0123456"}', "at least 16"),
        ('{"a b": "0123456789abcdefgh"}', "pattern"),
        ('{"a": "0123456789abcdefgh", "b": "0123456789abcdefgh"}', "the same key"),
        ('{"a": {"key": "0123456789abcdefgh", "adapter": "x"}}', "not permitted"),
    ],
)
def test_a_wrong_key_is_said_to_be_without_being_said(
    value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATCHBAY_API_KEYS", value)
    with pytest.raises(SettingsError, match=said) as raised:
        load_settings(profile="starter")
    assert "0123456" not in str(raised.value)


def test_names_come_as_a_line_or_a_list(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHBAY_HF_USERS", "alice, my-org,")
    assert load_settings(profile="starter").hf_users == ("alice", "my-org")
    monkeypatch.delenv("PATCHBAY_HF_USERS")
    write(home, "settings.yaml", "hf_users: [bob]\nkeep_in: me/ratings\n")
    assert load_settings(profile="starter").hf_users == ("bob",)
    monkeypatch.setenv("PATCHBAY_KEEP_IN", "../secret")
    with pytest.raises(SettingsError, match=r"keep_in='\.\./secret'"):
        load_settings(profile="starter")


def test_every_setting_is_in_the_table() -> None:
    table = (REPOSITORY / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    assert [name.strip(" `") for name, _ in rows] == list(Settings.model_fields)
    for name, default in rows:
        field = Settings.model_fields[name.strip(" `")].default
        if isinstance(field, int | float) and not isinstance(field, bool):
            assert float(default.replace(",", "")) == field, name
