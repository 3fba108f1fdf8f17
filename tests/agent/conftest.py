"""A real planner, fitted once for the session."""

from __future__ import annotations

import pytest

from agent.planner import Planner
from agent.service import build_planner
from core.settings import Settings


@pytest.fixture(scope="session")
def planner(starter_settings: Settings) -> Planner:
    """The shipped tasks, router and encoder."""
    return build_planner(starter_settings)
