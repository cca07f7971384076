"""The tables of ``fusion_comparison.py``, from however many cells there are.

python benchmarks/fusion_report.py --results checkpoints/fusion_comparison.json --plot pareto.svg

Values of one split are averaged over its seeds; splits of one cohort share patients, so their interval is corrected
for it (Nadeau and Bengio 2003).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from fusion_competitors import NAMES
from fusion_pareto import write_pareto
from results_file import write_section

__all__ = ["Figure", "cells_of", "pairing", "strongest", "write_report"]

NIH = "nih_cxr14_sample"
TITLE = "Synthesizers of hybrid records compared"
VIEWS = ("image", "table", "record")
# Attacks on all records, not chosen on other patients.
MOMENTS = ("encoder moments", "encoder and row moments")
WAYS = ("forward", "reverse")
# Held-out patients per training patient: a quarter is held out.
TEST_SHARE = 1 / 3
ENOUGH_SPLITS = 3
Values = Callable[[dict[str, Any]], tuple[float, float] | None]


@dataclass(frozen=True)
class Figure:
    """A value with its 95 % interval (None below three splits) and the splits behind it."""

    value: float
    low: float | None
    high: float | None
    splits: int

    def __str__(self) -> str:
        """Return the text of a table's cell."""
        if not self.splits:
            return "not estimable"
        return f"{self.value:.2f}" + ("" if self.low is None else f" [{self.low:.2f}, {self.high:.2f}]")


def over_splits(cells: Sequence[dict[str, Any]], values: Values) -> Figure:
    """Return the ratio of sums over splits, with the interval for repeated splits of one cohort.

    Args:
        cells: of one synthesizer, decoder and cohort.
        values: numerator and denominator of a cell; a denominator of 1 makes it a mean; None leaves the cell out.
    """
    found: dict[int, list[tuple[float, float]]] = {}
    for cell in cells:
        pair = values(cell)
        if pair is not None:
            found.setdefault(cell["split"], []).append(pair)
    if not found:
        return Figure(float("nan"), None, None, 0)
    tops, bottoms = np.array([np.mean(pairs, axis=0) for pairs in found.values()]).T
    value, count = float(tops.sum() / bottoms.sum()), len(tops)
    if count < ENOUGH_SPLITS:
        return Figure(value, None, None, count)
    from scipy import stats

    # The ratio's error, to first order, is the mean of what each split deviates by.
    deviations = (tops - value * bottoms) / bottoms.mean()
    reach = stats.t.ppf(0.975, count - 1) * np.sqrt(deviations.var(ddof=1) * (1 / count + TEST_SHARE))
    return Figure(value, value - float(reach), value + float(reach), count)


def gain(ways: Sequence[str], predictors: Sequence[str], column: str = "mean") -> Values:
    """Return matched and real scores above shuffled ones, summed over directions and predictors."""

    def values(cell: dict[str, Any]) -> tuple[float, float] | None:
        found = [
            cell["agreement"].get(f"{way} {predictor}", {}).get(column) for way in ways for predictor in predictors
        ]
        if None in found or not found:
            return None
        matched, shuffled, real = np.sum(found, axis=0)
        return matched - shuffled, real - shuffled

    return values


def pairing(cells: Sequence[dict[str, Any]]) -> Figure:
    """Return the mean of forward and reverse agreement by linear probes."""
    ways = [over_splits(cells, gain([way], ["linear"])) for way in WAYS]

    def values(cell: dict[str, Any]) -> tuple[float, float] | None:
        pairs = [gain([way], ["linear"])(cell) for way in WAYS]
        return None if None in pairs else (float(np.mean([top / bottom for top, bottom in pairs])), 1.0)  # type: ignore

    both = over_splits(cells, values)
    middle = float(np.mean([way.value for way in ways]))
    return Figure(
        middle,
        None if both.low is None else middle + both.low - both.value,
        None if both.high is None else middle + both.high - both.value,
        both.splits,
    )


def entry(part: str, name: str, place: int = 0) -> Values:
    """Return one stored number of a cell: 0 is the value, 3 its floor."""

    def values(cell: dict[str, Any]) -> tuple[float, float] | None:
        found = cell[part].get(name, [None] * 4)[place]
        return None if found is None else (found, 1.0)

    return values


def strongest(cells: Sequence[dict[str, Any]]) -> Figure:
    """Return the strongest membership attack by somebody who has the encoder: that with the highest mean."""
    found = (over_splits(cells, entry("privacy", f"membership {attack}")) for attack in (*VIEWS, *MOMENTS))
    return max(found, key=lambda figure: figure.value)


def utility(top: str, bottom: str | None = None) -> Values:
    """Return the gain over chance of an arm divided by that of another, or its difference to the real arm."""

    def values(cell: dict[str, Any]) -> tuple[float, float] | None:
        found = cell["utility"]
        if not found:
            return None
        return (found[top] - 0.5, found[bottom] - 0.5) if bottom else (found[top] - found["real"], 1.0)

    return values


def cells_of(results: dict[str, Any], cohort: str, decoder: str, name: str) -> list[dict[str, Any]]:
    """Return the cells of one synthesizer."""
    return [
        cell
        for cell in results["cells"].values()
        if (cell["cohort"], cell["decoder"], cell["name"]) == (cohort, decoder, name)
    ]


PAIRING: dict[str, Callable[[list], Figure | str]] = {
    "fits": lambda cells: _count(cells),
    "forward": lambda cells: over_splits(cells, gain(["forward"], ["linear"])),
    "reverse": lambda cells: over_splits(cells, gain(["reverse"], ["linear"])),
    "forward, kernel": lambda cells: over_splits(cells, gain(["forward"], ["kernel"])),
    "reverse, kernel": lambda cells: over_splits(cells, gain(["reverse"], ["kernel"])),
    "view": lambda cells: over_splits(cells, gain(WAYS, ["linear"], "View Position")),
    "sex": lambda cells: over_splits(cells, gain(WAYS, ["linear"], "Patient Gender")),
    "findings": lambda cells: over_splits(cells, gain(WAYS, ["linear"], "Finding_Labels")),
    "utility ratio": lambda cells: over_splits(cells, utility("synthetic", "real")),
    "real + synthetic minus real": lambda cells: _signed(over_splits(cells, utility("both"))),
    "the same, a record weighs as a patient": lambda cells: _signed(over_splits(cells, utility("one by one"))),
}
PRIVACY: dict[str, Callable[[list], Figure | str]] = {
    "column shapes": lambda cells: _beside_floor(cells, "table", "column_shape"),
    "pair trends": lambda cells: _beside_floor(cells, "table", "pair_trend"),
    **{
        f"membership, {attack}": partial(over_splits, values=entry("privacy", f"membership {attack}"))
        for attack in (*VIEWS, "record, classifier", *MOMENTS)
    },
    "exact rows": lambda cells: _beside_floor(cells, "privacy", "exact rows"),
    "rows of one patient": lambda cells: _beside_floor(cells, "privacy", "exact rows, rows of one patient alone"),
    "copies": lambda cells: _beside_floor(cells, "privacy", "copies"),
    "fit, core s": lambda cells: f"{np.median([cell['seconds']['fit'] for cell in cells]):.1f}",
    "drawing 5x, core s": lambda cells: f"{np.median([cell['seconds']['sample'] for cell in cells]):.1f}",
}


def write_report(results: dict[str, Any], out: Path | None, plot: Path | None) -> None:
    """Write the section and the plot."""
    lines = [*_EXPLAINED, ""]
    for decoder in ("alphaGAN", "PCA"):
        for title, columns in (("pairing and utility", PAIRING), ("fidelity, privacy and time", PRIVACY)):
            lines += _table(f"NIH, {decoder} decoder: {title}", results, NIH, decoder, columns)
    failed = results.get("failed", {})
    if failed:
        lines += [
            "Not in the tables, since the fit failed:",
            "",
            *(f"- {key}: {why}" for key, why in failed.items()),
            "",
        ]
    lines += _random_floors(results)
    for cohort in ("hannover_covid", "ct_ich"):
        lines += _elsewhere(results, cohort)
    lines += _one_cell(results)
    lines += _tuning(results)
    write_section(out, TITLE, lines)
    if plot is not None:
        points = {
            (name, decoder): (strongest(cells), pairing(cells), float(np.median([c["seconds"]["fit"] for c in cells])))
            for name in NAMES
            for decoder in ("alphaGAN", "PCA")
            if (cells := cells_of(results, NIH, decoder, name))
        }
        write_pareto(points, plot)


def _table(title: str, results: dict[str, Any], cohort: str, decoder: str, columns: dict[str, Any]) -> list[str]:
    """Return a table with a row per synthesizer."""
    rows = []
    for name in NAMES:
        cells = cells_of(results, cohort, decoder, name)
        if cells:
            rows.append(f"| {name} | " + " | ".join(str(column(cells)) for column in columns.values()) + " |")
    head = f"| | {' | '.join(columns)} |"
    return [f"**{title}**", "", head, "|---" * (len(columns) + 1) + "|", *rows, ""] if rows else []


def _elsewhere(results: dict[str, Any], cohort: str) -> list[str]:
    """Return the privacy of a cohort whose source the encoder never saw; of one split, intervals over its patients."""

    def attack(view: str) -> Callable[[list], str]:
        def text(cells: list[dict[str, Any]]) -> str:
            found = over_splits(cells, entry("privacy", f"membership {view}"))
            if found.low is not None and found.high is not None:
                return str(replace(found, low=max(found.low, 0.0), high=min(found.high, 1.0)))
            return _averaged([cell["privacy"][f"membership {view}"] for cell in cells])

        return text

    columns = {
        "fits": _count,
        **{f"membership, {view}": attack(view) for view in VIEWS},
        **{f"membership, {attack}": PRIVACY[f"membership, {attack}"] for attack in MOMENTS},
        **{name: PRIVACY[name] for name in ("exact rows", "rows of one patient", "copies", "column shapes")},
    }
    title = f"{cohort}, alphaGAN decoder: privacy where the encoder saw no image of the source"
    return _table(title, results, cohort, "alphaGAN", columns)


def _random_floors(results: dict[str, Any]) -> list[str]:
    """Return the floors of the table's figures without stratified splits."""
    found = results.get("random holdouts", {})
    rows = [
        f"| {cohort} | {len(draws)} | {' | '.join(f'{value:.3f}' for value in np.mean(draws, axis=0))} |"
        for cohort, draws in found.items()
    ]
    head = ["| | draws | column shapes | pair trends | exact rows |", "|---" * 5 + "|"]
    return ["**Held-out patients drawn at random, not stratified**", "", *head, *rows, ""] if rows else []


def _one_cell(results: dict[str, Any]) -> list[str]:
    """Return the bootstrap intervals inside split 0, seed 0."""
    rows = []
    for name in NAMES:
        cell = results["cells"].get(f"{NIH} | alphaGAN | 0 | 0 | {name}")
        if cell:
            parts = [cell["agreement"][f"{way} {kind}"]["interval"] for kind in ("linear", "kernel") for way in WAYS]
            parts += [cell["utility"]["ratio"], cell["utility"]["gain"]]
            rows.append(f"| {name} | " + " | ".join(_averaged([part]) for part in parts) + " |")
    head = "| | forward | reverse | forward, kernel | reverse, kernel | utility ratio | real + synthetic minus real |"
    title = "**NIH, alphaGAN decoder, split 0 and seed 0 alone: bootstrap over patients**"
    return [title, "", head, "|---" * 7 + "|", *rows, ""] if rows else []


def _tuning(results: dict[str, Any]) -> list[str]:
    """Return what was tried for each competitor."""
    rows = []
    for name, found in results["tuning"].items():
        for tried in found["tried"]:
            mark = "yes" if tried["arguments"] == found["chosen"] else ""
            what = ", ".join(f"{key} {value}" for key, value in tried["arguments"].items()) or "the package's defaults"
            rows.append(f"| {name} | {what} | {tried['score']:.2f} | {tried['seconds']:.0f} | {mark} |")
    head = "| | configuration | score | core s | chosen |"
    return ["**What was tried for each competitor**", "", head, "|---" * 5 + "|", *rows, ""] if rows else []


def _count(cells: list[dict[str, Any]]) -> str:
    splits, seeds = (len({cell[part] for cell in cells}) for part in ("split", "seed"))
    return f"{len(cells)} ({splits} x {seeds})" if len(cells) == splits * seeds else f"{len(cells)}"


def _beside_floor(cells: list[dict[str, Any]], part: str, name: str) -> str:
    value, floor = (over_splits(cells, entry(part, name, place)).value for place in (0, 3))
    return f"{value:.3f} ({floor:.3f})"


def _signed(figure: Figure) -> str:
    span = "" if figure.low is None else f" [{figure.low:+.3f}, {figure.high:+.3f}]"
    return f"{figure.value:+.3f}{span}" if figure.splits else "not estimable"


def _averaged(parts: list[list]) -> str:
    """Return the mean of values and limits; the limits stay those of one split's patients."""
    known = [part[:3] for part in parts if None not in part[:3]]
    if not known:
        return "not estimable"
    value, low, high = np.mean(known, axis=0)
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


_EXPLAINED = [
    "All use the same latents, patients, judges and attacks, one core each, and five synthetic records per training "
    "row. Predictors see components of the real training images' pixels. `fits` counts splits x seeds; a fit "
    "is one split by patient and one seed. A split's value is the mean over its seeds; intervals are 95 % over splits, "
    "widened because splits share patients (Nadeau and Bengio 2003: variance times 1/splits + 1/3; Student's t). "
    "Without an interval there are fewer than three splits.",
    "Pairing is (matched - shuffled) / (real - shuffled), gains summed over columns, labels and splits before "
    "dividing: 0 is no link, 1 that of real patients, above 1 an exaggerated one or copies. View, sex and findings "
    "take both directions together. The utility ratio divides AUROC gains over .5 (image to the three targets, each "
    "counted once). Real + synthetic: all records together weigh as much as the patients do, as in `evaluate`; beside "
    "it what they bring where each record weighs as a patient, five to one. Membership is the AUROC of the attack that "
    "was strongest on other patients, those of somebody who has the generator's encoder among them; `classifier` is a "
    "linear one of all attacks, learned on other patients. These, exact rows and copies are measured on 1,000 of the "
    "records. `encoder moments` (of images' codes) and `encoder and row moments` are single attacks on all records. In "
    "brackets behind a share: the same of held-out patients. NIH images are of the source on which the encoder was "
    "trained, hence the two other cohorts. Ours learn latents along public axes where the encoder has them, as the "
    "bundle does; competitors as they come, and once more with scores along these axes (`public axes`).",
    "`resampled patients` draws training records again and must be caught; `independent columns` is the floor. "
    "Splits are stratified by the targets, and so are the draws of synthetic records, as many as are held out, behind "
    "column shapes and pair trends: plain draws would fall short of the held-out patients as patients drawn at random "
    "do (below). "
    "Competitors see the same flat columns and either raw latents or 16 scores of them; each was tuned on an inner "
    "split of the training patients of split 0, for equal processor time, by: mean of forward and reverse agreement on "
    "the latents (each at most 1) + column shapes - exact rows beyond those of held-out patients; of scores within "
    "0.03 the fastest. CTGAN `paper` has its defaults; ours and CTGAN `tuned` are as shipped: they had more time of "
    "development on inner splits of this cohort than the others had of tuning.",
]


def main() -> None:
    """Write the report of whatever is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    write_report(json.loads(options.results.read_text()), options.out, options.plot)


if __name__ == "__main__":
    main()
