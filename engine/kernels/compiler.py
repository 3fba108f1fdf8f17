"""How the functions of this folder are compiled: for this processor, once.

Numba keeps machine code on disk and makes it anew when the file of a function changes. What a
function calls stands in other files here, so each is stamped with all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from llvmlite import binding
from numba import config, njit  # type: ignore[attr-defined]
from numba.core import caching

Function = TypeVar("Function", bound=Callable[..., Any])


@cache
def features() -> set[str]:
    """What the processor has, or what numba is told to compile for."""
    told: str | None = getattr(config, "CPU_FEATURES")  # noqa: B009  numba makes it at run time
    if told is not None:
        return {name[1:] for name in told.split(",") if name.startswith("+")}
    return {name for name, has in binding.get_host_cpu_features().items() if has}


@cache
def processor() -> str:
    """LLVM's name of it, or of what numba is told to compile for."""
    told: str | None = getattr(config, "CPU_NAME")  # noqa: B009  numba makes it at run time
    return told or str(binding.get_host_cpu_name())


# Sums may be taken in another order only where they stand alone in a loop: LLVM keeps a second form
# of other loops, for arrays that lie near each other, and rounds differently there.
FASTMATH_FLAGS = {"nnan", "ninf", "nsz", "contract"}


@cache
def _stamp() -> str:
    """Of all files of this folder."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


class _Stamped:
    def get_source_stamp(self) -> str:
        """What the machine code on disk must have been made of."""
        return _stamp()


class InCacheFolder(_Stamped, caching.UserProvidedCacheLocator):
    """Where NUMBA_CACHE_DIR says."""


class BesideSource(_Stamped, caching.InTreeCacheLocator):
    """In `__pycache__`."""


class InHome(_Stamped, caching.UserWideCacheLocator):
    """Where that cannot be written."""


LOCATORS = ",".join(f"{__name__}.{one.__name__}" for one in (InCacheFolder, BesideSource, InHome))


def compiled(function: Function) -> Function:
    """Compiled once for this processor; the machine code is kept on disk beside the source."""
    compiler = njit(cache=True, nogil=True, fastmath=FASTMATH_FLAGS, error_model="numpy")
    settings: Any = config
    before, settings.CACHE_LOCATOR_CLASSES = settings.CACHE_LOCATOR_CLASSES, LOCATORS
    try:
        return cast(Function, compiler(function))
    finally:
        settings.CACHE_LOCATOR_CLASSES = before


def inlined(function: Function) -> Function:
    """Compiled as a part of what calls it, whose machine code is kept."""
    compiler = njit(nogil=True, fastmath=FASTMATH_FLAGS, error_model="numpy")
    return cast(Function, compiler(function))


def any_order(function: Function) -> Function:
    """As `inlined`, with a sum in any order."""
    compiler = njit(nogil=True, fastmath=True, error_model="numpy")
    return cast(Function, compiler(function))
