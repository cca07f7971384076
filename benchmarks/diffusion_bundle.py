"""The diffusion bundle as a benchmark uses it: its own config with other values, images drawn as it draws a cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from monai.bundle import ConfigParser

BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "cxr_conditional_ddpm"


def bundle_config(cohort: Path, **overrides: Any) -> ConfigParser:
    """Return `inference.json` of the bundle for a cohort, its weights loaded into ``network``."""
    parser = ConfigParser()
    parser.read_config(str(BUNDLE / "configs" / "inference.json"))
    parser.read_meta(str(BUNDLE / "configs" / "metadata.json"))
    parser.update({"bundle_root": str(BUNDLE), "dataset_dir": str(cohort), "on_unlearned": "replace", **overrides})
    parser.get_parsed_content("load")
    return parser


def drawn(parser: ConfigParser) -> tuple[pd.DataFrame, torch.Tensor]:
    """Return the rows as the network was told them, and their images ``(N, C, S, S)`` in [-1, 1], rounded to 8 bits."""
    synthesis = parser.get_parsed_content("evaluator")
    blocks = range(-(-len(synthesis.dataset) // synthesis.block_size))
    tables, pixels = zip(*(synthesis.draw_block(number)[:2] for number in blocks), strict=True)
    images = torch.cat([torch.from_numpy(part) for part in pixels])
    return pd.concat(tables, ignore_index=True), images.float() / 127.5 - 1
