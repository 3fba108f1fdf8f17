"""Assemble a folder that is a Hugging Face Space, check it, and upload it.

    python -m deploy.space                      # into build/space, for the free CPU machine
    python -m deploy.space --hardware t4-small  # with CUDA; zero-a10g is ZeroGPU
    python -m deploy.space --login              # visitors log in with Hugging Face
    python -m deploy.space --name YOU/patchbay  # and upload it, with the token of `hf auth login`

Everything in the folder is a copy or follows from one: the packages are those that app.py imports,
the version of Gradio is the one that requirements.txt pins, the README is `space.md` filled in.
"""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
import yaml
from huggingface_hub import HfApi, RepoCard, SpaceCard, SpaceCardData, SpaceHardware, get_token
from huggingface_hub.errors import HfHubHTTPError

from core.errors import PatchbayError, SettingsError
from core.paths import REPOSITORY
from core.settings import PROFILE_DIR
from engine.encoder import STARTER_ENCODER
from engine.starter import Starter, find_starter
from tasks.spec import load_tasks

FREE_HARDWARE = "cpu-basic"
CPU_TORCH_INDEX = "--extra-index-url https://download.pytorch.org/whl/cpu"
DATA_FILES = ("adapters", "results/adapters", "LICENSE", "NOTICE")
PLACEHOLDER = "YOU/patchbay"  # a Space's name, until it has one
COMPOUND_EXAMPLE = (
    "Two at once",
    "Summarize this and put it in French: The bridge is old. It will be closed for two summers.",
)
TAGS = [
    "chat",
    "lora",
    "peft",
    "routing",
    "text-generation",
    "text-classification",
    "translation",
    "summarization",
    "mcp-server",
]
GIT_ATTRIBUTES = "".join(
    f"*.{end} filter=lfs diff=lfs merge=lfs -text\n" for end in ("safetensors", "png")
)
ZERO_PYTHON = "3.12"  # ZeroGPU has Python 3.10 and this
MAX_DESCRIPTION = 60  # characters of a Space's description, at most


def main(
    folder: Annotated[Path, typer.Option(help="where to; what is there is replaced")] = Path(
        "build/space"
    ),
    hardware: Annotated[
        str, typer.Option(help="the Space's machine, see its settings")
    ] = FREE_HARDWARE,
    name: Annotated[str | None, typer.Option(help="upload as OWNER/NAME")] = None,
    login: Annotated[bool, typer.Option("--login", help="visitors log in to the page")] = False,
) -> None:
    """Assemble, check, and upload or say how."""
    try:
        if hardware not in {*SpaceHardware}:
            raise SettingsError(f"There is no hardware {hardware!r}: {', '.join(SpaceHardware)}.")
        assemble(folder, hardware, login, name or PLACEHOLDER)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        print(f"{folder}: {size / 1e6:.0f} MB for {hardware}")
        if name and get_token():
            print(upload(folder, name, hardware))
        else:
            print(commands(folder, name or PLACEHOLDER))
    except PatchbayError as error:
        raise SystemExit(f"deploy.space: {error}") from error


def assemble(
    folder: Path,
    hardware: str = FREE_HARDWARE,
    login: bool = False,
    name: str = PLACEHOLDER,
) -> None:
    """Make the folder anew.

    Args:
        login: visitors log in with Hugging Face.
        name: OWNER/NAME, for the addresses that its README shows.

    Raises:
        SettingsError: the folder is something else, or what it would hold is not a valid Space.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / ".gitattributes").is_file():
        raise SettingsError(f"{folder} holds something else. Name an empty or a new --folder.")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for part in (*sorted(packages("app.py")), "app.py", *DATA_FILES):
        source, skip = REPOSITORY / part, shutil.ignore_patterns("__pycache__", ".*")
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=skip)
        else:
            shutil.copy(source, folder / part)
    pins = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8")
    index = f"{CPU_TORCH_INDEX}\n" if hardware.startswith("cpu") else ""
    (folder / "requirements.txt").write_text(index + pins, encoding="utf-8")
    (folder / ".gitattributes").write_text(GIT_ATTRIBUTES, encoding="utf-8")
    shutil.copy(REPOSITORY / "docs" / "page.png", folder)
    readme = card(pins, hardware, login, name)
    (folder / "README.md").write_text(readme, encoding="utf-8")
    check(folder)


def packages(file: str) -> set[str]:
    """Our own packages that a file of the repository imports, directly or through each other."""
    imported: set[str] = set()
    unread = [REPOSITORY / file]
    while unread:
        for name in _imports(unread.pop()):
            if name not in imported and (REPOSITORY / name / "__init__.py").is_file():
                imported.add(name)
                unread += (REPOSITORY / name).rglob("*.py")
    return imported


def card(pins: str, hardware: str, login: bool, name: str = PLACEHOLDER) -> str:
    """The Space's README: its front matter, and `space.md` filled in.

    Raises:
        SettingsError: requirements.txt pins no Gradio.
    """
    pinned = re.search(r"^gradio==(\S+)", pins, re.MULTILINE)
    if not pinned:
        raise SettingsError("requirements.txt has no line gradio==VERSION, which a Space needs.")
    served = served_models(hardware)
    front = SpaceCardData(
        title="Patchbay",
        emoji="🎛️",
        colorFrom="indigo",
        colorTo="blue",
        sdk="gradio",
        sdk_version=pinned[1],
        python_version=ZERO_PYTHON if hardware == SpaceHardware.ZERO_A10G else "3.11",
        app_file="app.py",
        suggested_hardware=hardware,
        license="apache-2.0",
        short_description="Your own models for your own work, routed in sight",
        models=[served.base, served.encoder],
        tags=TAGS,
        preload_from_hub=[served.preloaded],
        hf_oauth=login or None,
    )
    tasks = load_tasks([REPOSITORY / "tasks"]).values()
    page = SpaceCard.from_template(
        front,
        template_path=str(REPOSITORY / "deploy" / "space.md"),
        introduction=(REPOSITORY / "README.md").read_text(encoding="utf-8").split("\n\n")[1],
        examples=[
            *((task.title.en, task.examples["en"][0]) for task in tasks if "en" in task.examples),
            COMPOUND_EXAMPLE,
        ],
        address=f"https://{re.sub(r'[^a-z0-9]+', '-', name.lower())}.hf.space",
        name=name,
        login=login,
        served=served,
    )
    return f"{page.content.rstrip()}\n"


@dataclass(frozen=True)
class ServedModels:
    """What a Space answers with.

    Attributes:
        base, encoder: hub names.
        preloaded: what of it the hub puts beside the Space when it builds it, so that a restart
            need not fetch it.
        starter: the base, where it is one of ours.
    """

    base: str
    encoder: str
    preloaded: str
    starter: Starter | None

    @property
    def licence(self) -> str:
        """The base's, as Markdown."""
        if self.starter is None:
            return "see its card"
        terms = self.starter.terms
        return f"[{self.starter.licence}]({terms})" if terms else self.starter.licence


def served_models(hardware: str) -> ServedModels:
    """What the profile that `auto` takes on that machine names."""
    profile = "starter" if hardware.startswith("cpu") else "gpu"
    profile = "zero" if hardware == SpaceHardware.ZERO_A10G else profile
    named = yaml.safe_load((PROFILE_DIR / f"{profile}.yaml").read_text(encoding="utf-8"))
    starter = find_starter(named["base"])
    base = starter.name if starter else named["base"]
    return ServedModels(
        base=base,
        encoder=STARTER_ENCODER if named["encoder"] == "starter" else named["encoder"],
        preloaded=" ".join(starter.hub) if starter and starter.hub else base,
        starter=starter,
    )


def check(folder: Path) -> None:
    """What the hub would complain of, without the hub.

    Raises:
        SettingsError: a named file is not there, a package is missing, or a text is too long.
    """
    settings = RepoCard.load(folder / "README.md").data.to_dict()
    if not (folder / settings["app_file"]).is_file():
        raise SettingsError(f"{folder} has no {settings['app_file']}, which its README starts.")
    if len(settings["short_description"]) > MAX_DESCRIPTION:
        raise SettingsError(f"short_description is longer than {MAX_DESCRIPTION} characters.")
    own = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")}
    for file in folder.rglob("*.py"):
        if missing := {name for name in _imports(file) & own if not (folder / name).is_dir()}:
            raise SettingsError(f"{file} imports {sorted(missing)}, which the Space lacks.")


def upload(folder: Path, name: str, hardware: str = FREE_HARDWARE) -> str:
    """Make the Space where there is none, and put the folder there.

    Returns:
        its address.

    Raises:
        SettingsError: the hub refused, or was not reached.
    """
    api = HfApi()
    try:
        space = api.create_repo(name, repo_type="space", space_sdk="gradio", exist_ok=True)
        api.upload_folder(folder_path=folder, repo_id=name, repo_type="space", delete_patterns="*")
        if hardware != FREE_HARDWARE:
            api.request_space_hardware(name, SpaceHardware(hardware))
    except (HfHubHTTPError, OSError) as error:
        raise SettingsError(
            f"The hub did not take {name}: {str(error).splitlines()[0]} Log in with `hf auth "
            "login` and a token that may write, and check the name."
        ) from error
    return str(space)


def commands(folder: Path, name: str) -> str:
    """How to upload it by hand."""
    return "\n".join(
        [
            "Without a token and a name nothing was uploaded. To do it:",
            "  hf auth login",
            f"  hf repos create {name} --type space --sdk gradio",
            f"  hf upload {name} {folder} . --type space",
        ]
    )


def _imports(file: Path) -> set[str]:
    """First names of what a Python file imports."""
    return set(_names(ast.parse(file.read_text(encoding="utf-8"))))


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


if __name__ == "__main__":
    typer.run(main)
