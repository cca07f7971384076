"""The Pareto plot of pairing against privacy and time; needs matplotlib (``pip install monai-hybridsynth[docs]``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from fusion_competitors import CONTROLS, OURS

__all__ = ["write_pareto"]

OURS_COLOUR, OTHERS_COLOUR, CONTROL_COLOUR = "#1f5fa8", "#c9772b", "#777777"
SECONDS = (1, 10, 100)


def write_pareto(points: Mapping[tuple[str, str], tuple[Any, Any, float]], path: Path) -> None:
    """Draw every synthesizer once per decoder.

    Args:
        points: by name and decoder: the strongest membership attack's AUROC, pairing (both with limits) and the seconds
            of a fit.
        path: ``.svg`` or ``.png``.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    style: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
    mpl.rcParams.update(style | {"svg.fonttype": "none", "svg.hashsalt": "pareto"})
    figure, axis = plt.subplots(figsize=(8.2, 5.4), layout="constrained")
    axis.axvline(0.5, color="#999999", linewidth=0.8, linestyle="--")
    axis.axhline(1.0, color="#999999", linewidth=0.8, linestyle="--")
    axis.axhline(0.0, color="#dddddd", linewidth=0.8)
    numbers = {name: place + 1 for place, name in enumerate(dict.fromkeys(name for name, _ in points))}
    for (name, decoder), (attack, link, seconds) in points.items():
        _draw(axis, numbers[name], _colour(name), decoder, attack, link, seconds)
    axis.set_xlabel("strongest membership attack, AUROC (0.5: training patients cannot be told from others)")
    axis.set_ylabel("pairing of image and row (1: as in real patients)")
    axis.set_title("Better is left and at 1; bars: 95 % over splits", size=9, loc="left")
    names = [
        mpl.lines.Line2D([], [], color=_colour(name), marker="o", linestyle="none", label=f"{number}  {name}")
        for name, number in numbers.items()
    ]
    shapes = [
        mpl.lines.Line2D([], [], color="#444444", marker="o", linestyle="none", label="alphaGAN decoder"),
        mpl.lines.Line2D([], [], color="#444444", marker="s", mfc="white", linestyle="none", label="PCA decoder"),
    ]
    sizes = [
        mpl.lines.Line2D(
            [], [], color="#bbbbbb", marker="o", ms=np.sqrt(_area(s)), linestyle="none", label=f"fitted in {s} s"
        )
        for s in SECONDS
    ]
    figure.legend(handles=[*names, *shapes, *sizes], loc="outside right upper", labelspacing=0.8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def _draw(axis: Any, number: int, colour: str, decoder: str, attack: Any, link: Any, seconds: float) -> None:
    """Draw one point with its bars and its number."""
    filled = decoder == "alphaGAN"
    axis.errorbar(
        attack.value, link.value, xerr=_bars(attack), yerr=_bars(link), color=colour, linewidth=0.8, alpha=0.5, zorder=1
    )
    axis.scatter(
        attack.value,
        link.value,
        s=_area(seconds),
        marker="o" if filled else "s",
        facecolor=colour if filled else "white",
        edgecolor=colour,
        zorder=2,
    )
    text = "white" if filled else colour
    axis.text(attack.value, link.value, str(number), color=text, ha="center", va="center", size=7, zorder=3)


def _bars(figure: Any) -> list[list[float]] | None:
    if figure.low is None:
        return None
    return [[figure.value - figure.low], [figure.high - figure.value]]


def _area(seconds: float) -> float:
    """Return the area of a point, growing with the logarithm of the time."""
    return 60 + 70 * float(np.log10(1 + seconds))


def _colour(name: str) -> str:
    return CONTROL_COLOUR if name in CONTROLS else OURS_COLOUR if name in OURS else OTHERS_COLOUR
