"""Plots of the ablations, for the bundle's docs; needs matplotlib (``pip install monai-hybridsynth[docs]``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fusion_cohorts import averaged

COLOURS = {
    "alphaGAN": "#1f5fa8",
    "PCA": "#c9772b",
    "Gaussian": "#1f5fa8",
    "flow": "#2f8f5b",
    "CTGAN tuned": "#a0478f",
    "real records": "#555555",
}
MARKERS = {"alphaGAN": "o", "PCA": "s", "Gaussian": "o", "flow": "s", "CTGAN tuned": "^", "real records": "D"}
PANELS = (
    ("forward linear", "agreement, forward", 1.0),
    ("reverse linear", "agreement, reverse", 1.0),
    ("membership record", "strongest membership attack, AUROC", 0.5),
)


def write_plots(results: dict[str, Any], folder: Path) -> list[Path]:
    """Draw one PNG per ablation of which there are results; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [
        _lines(results, folder / "ablation_latent_size.png", "size", ("alphaGAN", "PCA"), "latents (32 pixels)"),
        _lines(results, folder / "ablation_volume.png", "volume", _SYNTHESIZERS, "synthetic records per real one"),
        _lines(
            results,
            folder / "ablation_cohort_size.png",
            "patients",
            ("real records", *_SYNTHESIZERS),
            "records fitted on",
        ),
        _cohorts(results, folder / "ablation_cohorts.png"),
    ]
    return [path for path in made if path is not None]


_SYNTHESIZERS = ("Gaussian", "flow", "CTGAN tuned")
_FITTED = ("real records", *_SYNTHESIZERS)
_COHORTS = {
    "patients {} 480": "NIH sample",
    "cohort nih1000_64 {}": "NIH, 149 others",
    "cohort hannover_covid {}": "Hannover",
    "cohort ct_ich {}": "head CT",
}


def _seeds(results: dict[str, Any], start: str) -> dict[str, list[float | None]]:
    return averaged([results[f"{start} {seed}"] for seed in range(3) if f"{start} {seed}" in results])


def _figure(count: int) -> tuple[Any, Any]:
    """Return a figure with panels side by side in the plots' one style."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    style = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True}
    mpl.rcParams.update(style | {"grid.alpha": 0.25, "legend.frameon": False, "svg.hashsalt": "plots"})
    return plt.subplots(1, count, figsize=(3.4 * count, 3.0), layout="constrained", squeeze=False)


def _places(results: dict[str, Any], study: str, name: str) -> list[int]:
    """Return the values of the axis that were measured."""
    start = f"{study} {name} "
    return sorted({int(key.removeprefix(start).split()[0]) for key in results if key.startswith(start)})


def _lines(results: dict[str, Any], path: Path, study: str, names: Sequence[str], label: str) -> Path | None:
    """Draw figures against a number, one line per name."""
    if not any(key.startswith(f"{study} ") for key in results):
        return None
    figure, axes = _figure(len(PANELS))
    for axis, (quantity, title, ideal) in zip(axes[0], PANELS, strict=True):
        every = sorted({place for name in names for place in _places(results, study, name)})
        for shift, name in enumerate(names):
            points = {place: _seeds(results, f"{study} {name} {place}") for place in _places(results, study, name)}
            # An axis of equal steps; names beside each other, so that intervals do not hide one another.
            known = [(every.index(place), found[quantity]) for place, found in points.items() if quantity in found]
            known = [(place, found) for place, found in known if None not in found]
            if known:
                _bars(axis, [place + 0.12 * (shift - (len(names) - 1) / 2) for place, _ in known], known, name)
        axis.axhline(ideal, color="#888888", linewidth=0.8, linestyle="--")
        axis.set_xticks(range(len(every)), [str(place) for place in every])
        axis.set(xlabel=label, title=title)
        axis.title.set_size(9)
    return _saved(figure, axes, path)


def _bars(axis: Any, places: list[float], known: list[tuple[int, list[float]]], name: str) -> None:
    """Draw one line with its intervals."""
    values, low, high = np.array([found for _, found in known]).T
    axis.errorbar(
        places,
        values,
        yerr=[np.maximum(values - low, 0), np.maximum(high - values, 0)],
        color=COLOURS[name],
        marker=MARKERS[name],
        markersize=4,
        linewidth=1.2,
        elinewidth=0.9,
        capsize=2,
        label=name,
    )


def _cohorts(results: dict[str, Any], path: Path) -> Path | None:
    """Draw the figures of every cohort, one point per synthesizer."""
    if not any(key.startswith("cohort ") for key in results):
        return None
    figure, axes = _figure(len(PANELS))
    for axis, (quantity, title, ideal) in zip(axes[0], PANELS, strict=True):
        for shift, name in enumerate(_SYNTHESIZERS):
            found = [_seeds(results, start.format(name)).get(quantity) for start in _COHORTS]
            known = [(place, cell) for place, cell in enumerate(found) if cell and None not in cell]
            if known:
                _bars(axis, [place + 0.15 * (shift - 1) for place, _ in known], known, name)
                axis.lines[-1].set_linestyle("none")
        for line in axis.lines:
            line.set_linestyle("none")
        axis.axhline(ideal, color="#888888", linewidth=0.8, linestyle="--")
        axis.set_xticks(range(len(_COHORTS)), list(_COHORTS.values()), rotation=20, ha="right")
        axis.set_xlim(-0.5, len(_COHORTS) - 0.5)
        axis.set_title(title, size=9)
    return _saved(figure, axes, path)


def _saved(figure: Any, axes: Any, path: Path) -> Path:
    """Write a figure with one legend."""
    import matplotlib.pyplot as plt

    found = {label: line for axis in axes[0] for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=len(found))
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
