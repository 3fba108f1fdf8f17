"""Settings from flags, environment, the user's file and a profile; each value knows its source."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    Field,
    PrivateAttr,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, SettingsConfigDict
from pydantic_settings import SettingsError as NotJson

from core import paths
from core.access import ApiKey
from core.errors import SettingsError, UnknownName

PROFILE_DIR = Path(__file__).parent / "profiles"
AUTO_REASONS = {"zero": "ZeroGPU found", "gpu": "CUDA found", "starter": "no CUDA found"}
_Source = tuple[str, dict[str, Any]]  # where the values came from, and the values
KeyName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,40}$")]


class Settings(BaseSettings):
    """Everything a start of Patchbay depends on. Make one with `load_settings`."""

    model_config = SettingsConfigDict(env_prefix="PATCHBAY_", extra="forbid")

    profile: str = "auto"
    base: str = Field("starter", description="'starter', 'smollm2', a hub id, or a folder")
    revision: str = Field("main", description="hub revision of the base")
    quantization: Literal["int8", "nf4", "none"] = "int8"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: Literal["cpu", "cuda"] = "cpu"
    engine: Literal["local", "openai", "zero"] = Field(
        "local",
        description="'openai': a server that speaks OpenAI's protocol runs the base; 'zero': "
        "ZeroGPU lends each request a GPU",
    )
    address: str = Field("", description="where that server is, like http://127.0.0.1:8000/v1")
    address_key: SecretStr | None = Field(None, description="the key it wants, if any")
    stand_in: Literal["none", "starter"] = Field(
        "none", description="what answers while that server is away"
    )
    encoder: str = Field(
        "starter",
        description="what /v1/embeddings asks: 'starter', or a sentence-transformers id or folder",
    )
    tools: Literal["auto", "on", "off"] = Field(
        "auto", description="whether the base is offered a client's tools; auto: if it is not small"
    )
    context_tokens: int = Field(4096, ge=64, description="prompt plus answer, in tokens")
    threads: int | None = Field(None, ge=1, description="CPU threads; all cores when unset")
    max_running: int = Field(8, ge=1, description="answers made at one time")
    max_waiting: int = Field(64, ge=0, description="answers that may wait in the queue behind them")
    time_limit: float = Field(300.0, gt=0, description="seconds one answer may take")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(7860, ge=1, le=65535, description="port to listen on")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="names it is asked by, beside this machine's own on 127.0.0.1; '*' is any"
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="web pages elsewhere that may use the API, like https://example.org"
    )
    api_keys: dict[KeyName, ApiKey] = Field(
        {}, description="name -> key, or {key, adapters}; with any, everything but health needs one"
    )
    max_request_bytes: int = Field(
        32_000_000, ge=1024, description="of one HTTP request, files in it included"
    )
    max_answer_tokens: int = Field(4096, ge=1, le=8192, description="of one answer, all its steps")
    visitor_running: int = Field(16, ge=1, description="answers of one visitor, made or waiting")
    visitor_rate: int = Field(600, ge=1, description="requests a minute of one visitor")
    drain_seconds: float = Field(30.0, ge=0, description="for running answers at the end")
    log_words: bool = Field(False, description="keep visitors' words in the log")
    watch: bool = Field(True, description="keep a line of numbers, no words, for each answer")
    roll_back: bool = Field(
        False, description="undo a promotion when its adapter seems worse than what it replaced"
    )
    keep_in: str = Field(
        "",
        pattern=r"^$|^\w[\w.-]*/\w[\w.-]*$",
        description="OWNER/NAME of a private hub data set that ratings are copied to",
    )
    hf_login: bool = Field(False, description="log in to the page with Hugging Face")
    hf_users: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="who may then come in, users or organisations; without any, everyone"
    )

    owners: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="whose keys or logins open the workshop; on 127.0.0.1 without keys: you"
    )

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @field_validator("api_keys")
    @classmethod
    def _keys_differ(cls, keys: dict[str, ApiKey]) -> dict[str, ApiKey]:
        if len({key.key.get_secret_value() for key in keys.values()}) < len(keys):
            raise ValueError("two names have the same key")
        return keys

    @field_validator("hf_users", "owners", "allowed_hosts", "cors_origins", mode="before")
    @classmethod
    def _names_in_a_line(cls, names: object) -> object:
        if isinstance(names, str):
            return [name for name in (part.strip() for part in names.split(",")) if name]
        return names

    def origin(self, name: str) -> str:
        """Where the value of the field came from: a flag, a variable, a file, or the default."""
        return self._origins.get(name, "default")

    def explain(self) -> str:
        """One line a value: `name = value  (source)`."""
        return "\n".join(
            f"{name} = {getattr(self, name)}  ({self.origin(name)})"
            for name in type(self).model_fields
        )


def load_settings(**flags: Any) -> Settings:
    """Settle every value: flags over environment over `settings.yaml` over profile over defaults.

    Flags that are None count as not given.

    Raises:
        SettingsError: a file, variable or flag is wrong, or `gpu` was asked for without CUDA.
        UnknownName: no profile has the name.
    """
    sources = [
        ("flag", {name: value for name, value in flags.items() if value is not None}),
        ("environment", _environment()),
        _file(paths.user_dir() / "settings.yaml"),
    ]
    wanted = next((str(values["profile"]) for _, values in sources if "profile" in values), "auto")
    name = _resolve_auto(wanted)
    sources.append(_file(_profile_file(name)))
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for source, values in sources:
        for key, value in values.items():
            if key not in merged:
                merged[key], origins[key] = value, source
    merged["profile"] = name
    if wanted == "auto":
        origins["profile"] = f"auto: {AUTO_REASONS[name]}"
    settings = _validated(merged, origins)
    if settings.device == "cuda" and not has_cuda():
        raise SettingsError(
            f"The profile {name!r} needs a CUDA device and this machine shows none. "
            "Use --profile starter (or PATCHBAY_PROFILE=starter), which runs on the CPU, "
            "or install a CUDA build of torch and check nvidia-smi."
        )
    return settings


def profile_names() -> list[str]:
    """Names `--profile` accepts."""
    folders = [PROFILE_DIR, paths.user_dir() / "profiles"]
    return sorted({"auto", *(file.stem for folder in folders for file in folder.glob("*.yaml"))})


def on_zero_gpu() -> bool:
    """Whether this is a Space whose GPU is there only while a request runs."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in {"1", "t", "true"}


def has_cuda() -> bool:
    """Whether torch sees a CUDA device. Imports torch, which takes a second or two."""
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def _resolve_auto(name: str) -> str:
    if name != "auto":
        return name
    if on_zero_gpu():
        return "zero"
    return "gpu" if has_cuda() else "starter"


def _profile_file(name: str) -> Path:
    given = Path(name).expanduser()
    if given.suffix in {".yaml", ".yml"}:
        if not given.is_file():
            raise SettingsError(f"The profile file {name} does not exist.")
        return given
    for folder in (paths.user_dir() / "profiles", PROFILE_DIR):
        file = folder / f"{name}.yaml"
        if name in profile_names() and file.is_file():
            return file
    raise UnknownName("profile", name, profile_names())


def _environment() -> dict[str, Any]:
    try:
        return EnvSettingsSource(Settings)()
    except NotJson as error:
        raise SettingsError(
            'PATCHBAY_API_KEYS is not JSON. Write PATCHBAY_API_KEYS=\'{"alice": "KEY"}\'.'
        ) from error


def _file(path: Path) -> _Source:
    if not path.is_file():
        return str(path), {}
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{path} must hold `name: value` lines, not a {type(values).__name__}.")
    unknown = sorted(set(values) - set(Settings.model_fields))
    if unknown:
        raise SettingsError(f"{path}: {UnknownName('setting', unknown[0], Settings.model_fields)}")
    return str(path), values


def _validated(values: dict[str, Any], origins: dict[str, str]) -> Settings:
    try:
        settings = Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "?"
        value = "(hidden)" if name in {"api_keys", "address_key"} else repr(values.get(name))
        raise SettingsError(
            f"The setting {name}={value} (from {origins.get(name, 'default')}) "
            f"is wrong: {first['msg']}."
        ) from error
    settings._origins = origins
    return settings
