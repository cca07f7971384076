"""Synthetic medical records for MONAI: an image and its clinical row, drawn together and judged together."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
