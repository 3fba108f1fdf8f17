"""The engine's modules import one another in one direction."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter

from core.paths import REPOSITORY


def imported(source: str) -> set[str]:
    """Modules of the engine that a module imports, also those that it imports late."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "engine":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("engine."):
            names.add(str(node.module).partition(".")[2])
    return names


def test_no_module_imports_itself_through_others() -> None:
    files = (REPOSITORY / "engine").glob("*.py")
    graph = {file.stem: imported(file.read_text(encoding="utf-8")) for file in files}
    assert graph["load"] >= {"zerogpu", "remote"}, "late imports count"
    TopologicalSorter(graph).prepare()  # raises CycleError
