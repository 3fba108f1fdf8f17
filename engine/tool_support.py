"""Whether a base is offered tools: by the setting, its size, and its chat template."""

from __future__ import annotations

from typing import Literal

from core.errors import SettingsError
from engine.tool_calls import CallForm

LEAST_PARAMETERS = 1e9  # in its layers, of a base that is offered tools unasked
SWITCHED_OFF = "This server offers no tools to its base (tools=off)."
TOO_SMALL = (
    "A model as small as this one cannot be trusted to call tools, so none are offered to it."
)
NOT_IN_TEMPLATE = (
    "The chat template of this base has no tools, or has them in a form that is not known here."
)


def tools_refused(
    setting: Literal["auto", "on", "off"], parameters: int, form: CallForm | None
) -> str | None:
    """Why a base is offered no tools, a sentence; None where it is.

    Args:
        parameters: numbers in its layers.
        form: how its chat template has it call a tool.

    Raises:
        SettingsError: they are wished, and its template has none.
    """
    if setting == "off":
        return SWITCHED_OFF
    if setting == "auto" and parameters < LEAST_PARAMETERS:
        return TOO_SMALL
    if form is None and setting == "on":
        raise SettingsError(f"tools=on: {NOT_IN_TEMPLATE} Leave the setting out.")
    return None if form else NOT_IN_TEMPLATE
