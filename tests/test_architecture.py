"""The arrows of the house: who may import whom, and what a start must not wait for."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from core.paths import REPOSITORY

MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "tasks": {"core"},
    "adapter_store": {"core", "tasks"},
    "documents": {"core", "tasks"},
    "engine": {"core", "tasks", "adapter_store"},
    "agent": {"core", "tasks", "adapter_store", "documents", "engine"},
    "workshop": {"core", "tasks", "adapter_store", "agent"},
    "ui": {"core", "tasks", "documents", "agent", "workshop"},
    "api": {"core", "tasks", "adapter_store", "documents", "agent", "engine", "workshop"},
    "app": {"core", "engine", "agent", "workshop", "api", "ui"},
    "finetune": {"core", "tasks", "adapter_store", "engine"},
    "evaluation": {"core", "tasks", "adapter_store", "engine", "agent"},
    "deploy": {"core", "tasks", "adapter_store", "engine", "agent", "api"},
    "benchmarks": {
        "core",
        "tasks",
        "adapter_store",
        "documents",
        "engine",
        "agent",
        "workshop",
        "finetune",
        "evaluation",
    },
}
# Importing any of these takes seconds; the page and the API must be there before.
HEAVY = {"torch", "transformers", "peft", "accelerate", "bitsandbytes"}
# Imported when a planner is read, or trained: never on the way to a page.
_LATER = ("network", "examples", "train", "learn", "word_vectors")
LATER = {f"agent.planning.{name}" for name in _LATER}
QUICK_TO_IMPORT = (
    "core", "tasks", "adapter_store", "documents", "agent", "workshop", "ui", "api", "app",
)  # fmt: skip
Graph = Mapping[str, set[str]]  # module -> what it imports: our modules, and others' by first name


def modules(root: Path, parts: Iterable[str]) -> dict[str, ast.Module]:
    """Dotted name -> syntax tree of every module of some parts."""
    files = [file for part in parts for file in (root / part).rglob("*.py")]
    files += [root / f"{part}.py" for part in parts if (root / f"{part}.py").is_file()]
    trees = {}
    for file in files:
        names = file.relative_to(root).with_suffix("").parts
        name = ".".join(names[:-1] if names[-1] == "__init__" else names)
        trees[name] = ast.parse(file.read_text(encoding="utf-8"))
    return trees


def at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node that runs when the module is imported: nothing inside a function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from at_import(node)


def imports(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Dotted names that may be modules, with the packages that are imported on the way."""
    for node in nodes:
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            named = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in named:
            parts = name.split(".")
            yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def graph(trees: Mapping[str, ast.Module]) -> Graph:
    """What each module imports when it is imported itself."""
    return {
        name: {named for named in imports(at_import(tree)) if named in trees or "." not in named}
        for name, tree in trees.items()
    }


def chain(start: str, targets: set[str], importing: Graph) -> list[str]:
    """The shortest way by imports from a module to one of the targets; empty without one."""
    ways, seen = [[start]], {start}
    for way in ways:  # grows while it is walked
        for name in sorted(importing.get(way[-1], set()) - seen):
            if name in targets:
                return [*way, name]
            seen.add(name)
            ways.append([*way, name])
    return []


TREES = modules(REPOSITORY, MAY_IMPORT)
IMPORTING = graph(TREES)


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_arrows_point_one_way(part: str) -> None:
    """Imports inside functions count too."""
    own = {name: tree for name, tree in TREES.items() if name.split(".")[0] == part}
    assert own
    for name, tree in own.items():
        ours = {named.split(".")[0] for named in imports(ast.walk(tree))} & set(MAY_IMPORT)
        strangers = ours - MAY_IMPORT[part] - {part}
        assert not strangers, f"{name} imports {strangers}"


def test_every_part_has_its_arrows() -> None:
    packages = {file.parent.name for file in REPOSITORY.glob("*/*.py")} - {"tests"}
    assert packages | {"app"} == set(MAY_IMPORT)


@pytest.mark.parametrize("part", QUICK_TO_IMPORT)
def test_nothing_that_takes_seconds_is_imported_on_the_way_to_a_page(part: str) -> None:
    for name in TREES:
        if name.split(".")[0] == part and name not in LATER:
            way = chain(name, HEAVY, IMPORTING)
            assert not way, " -> ".join(way)


def test_a_way_over_other_modules_is_seen(tmp_path: Path) -> None:
    for name, text in {
        "page/__init__.py": "",
        "page/late.py": "def load():\n    import torch",
        "page/typed.py": "if TYPE_CHECKING:\n    import torch",
        "page/direct.py": "from page import late, typed\ntry:\n    import page.deep.inner\n"
        "except ImportError:\n    pass",
        "page/deep/__init__.py": "from page.deep.other import Thing",
        "page/deep/inner.py": "",
        "page/deep/other.py": "class Thing:\n    from torch import nn",
    }.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    importing = graph(modules(tmp_path, ["page"]))
    assert chain("page.direct", HEAVY, importing) == [
        "page.direct", "page.deep", "page.deep.other", "torch",
    ]  # fmt: skip
    assert chain("page.late", HEAVY, importing) == []
    assert chain("page.typed", HEAVY, importing) == []
