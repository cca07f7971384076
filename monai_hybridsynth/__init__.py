"""Synthetic medical records for MONAI: an image and its clinical row, drawn together and judged together."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["__version__"]

__version__ = "0.1.0"

_LAYERS = (
    "data",
    "networks",
    "losses",
    "metrics",
    "transforms",
    "inferers",
    "engines",
    "handlers",
    "features",
    "fusion",
    "workflows",
    "evaluation",
)


def __getattr__(name: str) -> Any:
    """Import a layer when it is first used, so that importing the package stays fast."""
    if name in _LAYERS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; its layers are {', '.join(_LAYERS)}.")
