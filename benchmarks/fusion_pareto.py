"""The Pareto plot of pairing against privacy and time; needs matplotlib (``pip install monai-hybridsynth[docs]``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fusion_competitors import CONTROLS, OURS

__all__ = ["write_pareto"]

OURS_COLOUR, OTHERS_COLOUR, CONTROL_COLOUR = "#1f5fa8", "#c9772b", "#777777"
# Where the synthesizers that pair lie; those outside are told in words.
PAIRING, ATTACK, SECONDS = (0.6, 1.35), (0.45, 1.0), (0.1, 200.0)


def write_pareto(points: Mapping[tuple[str, str], tuple[Any, Any, float]], path: Path) -> None:
    """Draw every synthesizer once per decoder, against the attack and against the time of a fit.

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
    figure, axes = plt.subplots(1, 2, figsize=(10.2, 4.8), sharey=True, layout="constrained")
    numbers = {name: place + 1 for place, name in enumerate(dict.fromkeys(name for name, _ in points))}
    outside = []
    for (name, decoder), (attack, link, seconds) in points.items():
        if not (PAIRING[0] < link.value < PAIRING[1] and ATTACK[0] < attack.value < ATTACK[1]):
            outside.append(f"{name}, {decoder}: attack {attack.value:.2f}, pairing {link.value:.2f}")
            continue
        look = numbers[name], _colour(name), decoder == "alphaGAN"
        _draw(axes[0], look, (attack.value, link.value), _bars(attack), _bars(link))
        _draw(axes[1], look, (max(seconds, SECONDS[0]), link.value), None, _bars(link))
    axes[0].axvline(0.5, color="#999999", linewidth=0.8, linestyle="--")
    axes[0].set(xlim=ATTACK, ylim=PAIRING, ylabel="pairing of image and row (1: as in real patients)")
    axes[0].set_xlabel("strongest membership attack, AUROC (0.5: guessing)")
    axes[1].set(xscale="log", xlim=(SECONDS[0] / 1.4, SECONDS[1]), xlabel="processor seconds of a fit")
    for axis in axes:
        axis.axhline(1.0, color="#999999", linewidth=0.8, linestyle="--")
    axes[0].set_title("Better is left and at 1; attackers may have the encoder; bars: 95 %", size=9, loc="left")
    names = [
        mpl.lines.Line2D([], [], color=_colour(name), marker="o", linestyle="none", label=f"{number}  {name}")
        for name, number in numbers.items()
    ]
    shapes = [
        mpl.lines.Line2D([], [], color="#444444", marker="o", linestyle="none", label="alphaGAN decoder"),
        mpl.lines.Line2D([], [], color="#444444", marker="s", mfc="white", linestyle="none", label="PCA decoder"),
    ]
    figure.legend(handles=[*names, *shapes], loc="outside right upper", labelspacing=0.7)
    figure.supxlabel("Not in the range: " + "; ".join(outside) if outside else "", size=7, wrap=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def _draw(axis: Any, look: tuple[int, str, bool], place: tuple[float, float], across: Any, up: Any) -> None:
    """Draw one point with its bars and its number."""
    number, colour, filled = look
    axis.errorbar(*place, xerr=across, yerr=up, color=colour, linewidth=0.8, alpha=0.35, zorder=1)
    marker, face = ("o", colour) if filled else ("s", "white")
    axis.scatter(*place, s=95, marker=marker, facecolor=face, edgecolor=colour, alpha=0.9, zorder=2)
    axis.text(*place, str(number), color="white" if filled else colour, ha="center", va="center", size=7, zorder=3)


def _bars(figure: Any) -> list[list[float]] | None:
    if figure.low is None:
        return None
    return [[figure.value - figure.low], [figure.high - figure.value]]


def _colour(name: str) -> str:
    return CONTROL_COLOUR if name in CONTROLS else OURS_COLOUR if name in OURS else OTHERS_COLOUR
