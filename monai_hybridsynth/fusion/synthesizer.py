"""What every table synthesizer does, the floor that ignores all relations, and the artifact they are kept in."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

import monai_hybridsynth
from monai_hybridsynth.fusion.conditioning import Conditions, FixedColumns
from monai_hybridsynth.fusion.rule_keeping import draw_records
from monai_hybridsynth.fusion.table_layout import TableLayout
from monai_hybridsynth.transforms.column_encoding import LabelColumn
from monai_hybridsynth.transforms.published_statistics import patient_weights, published_range, published_shares

if TYPE_CHECKING:
    from monai_hybridsynth.data.record_schema import RecordSchema

__all__ = [
    "IndependentSynthesizer",
    "RecordSynthesizer",
    "arrays_below",
    "load_synthesizer",
    "read_artifact",
    "require_fitted",
    "write_artifact",
]

FORMAT = 1


@runtime_checkable
class RecordSynthesizer(Protocol):
    """Learns a table of records, then draws new ones with the same columns, order and dtypes.

    Attributes:
        minimum_patients: patients that must share a category before it is learned or published.
    """

    minimum_patients: int

    def fit(self, table: pd.DataFrame, schema: RecordSchema, *, seed: int) -> RecordSynthesizer:
        """Learn the joint distribution of the schema's features and targets and of all ``latent_*`` columns."""

    def sample(self, num_records: int, *, conditions: Conditions | None = None, seed: int) -> pd.DataFrame:
        """Draw records; ``conditions`` fixes columns, for all records or row by row."""

    def save(self, folder: str | Path) -> Path:
        """Write the artifact, which holds no patient."""


class IndependentSynthesizer:
    """Draws every column on its own from a histogram, so it keeps marginals and destroys every relation.

    Use it as the floor in every comparison: a model that does not beat it has learned nothing between columns. Columns
    that ``conditions`` fixes take the requested values and, the others being independent, change nothing else.

    Args:
        minimum_patients: patients that must share a category, and that each end of a range stands for.
        max_bins: most bins of a number's histogram; with few patients there are fewer.
    """

    def __init__(self, *, minimum_patients: int = 5, max_bins: int = 20) -> None:
        self.minimum_patients = minimum_patients
        self.max_bins = max_bins

    def fit(self, table: pd.DataFrame, schema: RecordSchema, *, seed: int = 0) -> IndependentSynthesizer:
        """Learn one histogram per column, every patient counting once; ``seed`` is unused."""
        self.layout_, flat, latents, patients = TableLayout.fit(table, schema, minimum_patients=self.minimum_patients)
        weights = patient_weights(patients)
        self.histograms_: dict[str, dict[str, Any]] = {}
        for column in self.layout_.encoder.flat_columns:
            if column.categories is None:
                values = flat[column.name].to_numpy(dtype=float)
                self.histograms_[column.name] = self._histogram(values, column.lower, column.upper, patients, weights)
        for number, name in enumerate(self.layout_.latent_names):
            lower, upper = published_range(latents[:, number], patients, minimum_patients=self.minimum_patients)
            self.histograms_[name] = self._histogram(latents[:, number], lower, upper, patients, weights)
        return self

    def sample(self, num_records: int, *, conditions: Conditions | None = None, seed: int) -> pd.DataFrame:
        """Draw every column on its own; the same seed gives the same records."""
        require_fitted(self, "histograms_", call="sample")
        return draw_records(self._draw_records, self.layout_, num_records, conditions=conditions, seed=seed)

    def _draw_records(self, fixed: FixedColumns | None, num_records: int, rng: np.random.Generator) -> pd.DataFrame:
        """Draw every column on its own; what is fixed changes nothing else."""
        flat: dict[str, np.ndarray] = {}
        for column in self.layout_.encoder.flat_columns:
            if column.categories is None:
                flat[column.name] = _from_histogram(self.histograms_[column.name], num_records, rng)
            else:
                shares = np.array(column.shares) / sum(column.shares)
                drawn = rng.choice(len(shares), size=num_records, p=shares)
                flat[column.name] = np.array(column.categories, dtype=object)[drawn]
        for name in self.layout_.encoder.names:
            _keep_exclusive_shares(self.layout_.encoder.column(name), flat, rng)
        names = self.layout_.latent_names
        latents = np.zeros((num_records, len(names)))
        for number, name in enumerate(names):
            latents[:, number] = _from_histogram(self.histograms_[name], num_records, rng)
        return self.layout_.join(pd.DataFrame(flat, index=range(num_records)), latents)

    def save(self, folder: str | Path) -> Path:
        """Write the histograms; there are no weights, and the weights file is empty."""
        require_fitted(self, "histograms_", call="save")
        arguments = {"minimum_patients": self.minimum_patients, "max_bins": self.max_bins}
        content = {"arguments": arguments, "layout": self.layout_.to_dict(), "histograms": self.histograms_}
        return write_artifact(folder, type(self).__name__, content, {})

    @classmethod
    def load(cls, folder: str | Path) -> IndependentSynthesizer:
        """Read an artifact that ``save`` wrote."""
        content, _ = read_artifact(folder, cls.__name__)
        synthesizer = cls(**content["arguments"])
        synthesizer.layout_ = TableLayout.from_dict(content["layout"])
        synthesizer.histograms_ = content["histograms"]
        return synthesizer

    def _histogram(
        self, values: np.ndarray, lower: float, upper: float, patients: np.ndarray, weights: np.ndarray
    ) -> dict[str, Any]:
        """Return a range and smoothed, rounded shares of equal bins, wide enough for several patients each."""
        bins = int(np.clip(len(np.unique(patients)) // (2 * self.minimum_patients), 1, self.max_bins))
        if lower == upper:
            return {"lower": lower, "upper": upper, "shares": [1.0]}
        counts, _ = np.histogram(np.clip(values, lower, upper), bins=bins, range=(lower, upper), weights=weights)
        return {"lower": lower, "upper": upper, "shares": list(published_shares(counts + 0.5))}


def load_synthesizer(folder: str | Path) -> RecordSynthesizer:
    """Load a fitted synthesizer of this package, whichever class wrote the artifact; nothing is unpickled.

    Raises:
        ValueError: if the folder holds no artifact or one of a class that this package does not have.
    """
    content, _ = read_artifact(folder)
    fusion = importlib.import_module("monai_hybridsynth.fusion")
    known = [name for name in fusion.__all__ if name.endswith("Synthesizer") and hasattr(getattr(fusion, name), "load")]
    if content["synthesizer"] not in known:
        raise ValueError(f"{folder} holds a {content['synthesizer']!r}; this version loads {known}.")
    return getattr(fusion, content["synthesizer"]).load(folder)


def write_artifact(
    folder: str | Path, synthesizer: str, content: dict[str, Any], arrays: dict[str, np.ndarray]
) -> Path:
    """Write ``synthesizer.json`` and ``weights.safetensors``.

    Args:
        folder: made when absent.
        synthesizer: name of the class.
        content: JSON values; not-a-number and infinity are refused.
        arrays: by name.
    """
    from safetensors.numpy import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    versions = {"monai_hybridsynth": monai_hybridsynth.__version__}
    text = json.dumps(
        {"format": FORMAT, "synthesizer": synthesizer, "versions": versions, **content}, indent=1, allow_nan=False
    )
    save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, folder / "weights.safetensors")
    (folder / "synthesizer.json").write_text(text + "\n", encoding="utf-8")
    return folder


def read_artifact(folder: str | Path, synthesizer: str | None = None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the content and the arrays of an artifact.

    Raises:
        ValueError: if it is no artifact, of another format, or of another class than ``synthesizer``.
    """
    from safetensors.numpy import load_file

    folder = Path(folder)
    absent = [name for name in ("synthesizer.json", "weights.safetensors") if not (folder / name).is_file()]
    if absent:
        raise ValueError(
            f"{folder} is no fitted synthesizer: {absent} is not there; pass the folder that save() wrote."
        )
    content = json.loads((folder / "synthesizer.json").read_text(encoding="utf-8"))
    if content.get("format") != FORMAT:
        raise ValueError(f"{folder} has format {content.get('format')!r}; this version reads format {FORMAT}.")
    if synthesizer is not None and content["synthesizer"] != synthesizer:
        raise ValueError(f"{folder} holds a {content['synthesizer']!r}, not a {synthesizer!r}; use load_synthesizer().")
    return content, load_file(folder / "weights.safetensors")


def arrays_below(arrays: dict[str, np.ndarray], part: str) -> dict[str, np.ndarray]:
    """Return the arrays of one part of an artifact, named ``<part>.<name>`` there, by name."""
    return {name.partition(".")[2]: value for name, value in arrays.items() if name.startswith(f"{part}.")}


def require_fitted(synthesizer: RecordSynthesizer, learned: str, *, call: str) -> None:
    """Raise a RuntimeError, naming the call, unless the synthesizer has the attribute that ``fit`` sets."""
    if not hasattr(synthesizer, learned):
        raise RuntimeError(f"this synthesizer is not fitted; call fit(table, schema, seed=...) before {call}().")


def _keep_exclusive_shares(encoding: object, flat: dict[str, np.ndarray], rng: np.random.Generator) -> None:
    """Draw labels again so that an exclusive label (such as "No Finding") and the others keep their shares.

    The exclusive label wins when labels are joined; drawn on its own it would erase most of the others. So
    the others are drawn among the rows without it, with shares raised accordingly.
    """
    if not isinstance(encoding, LabelColumn) or encoding.fallback not in encoding.exclusive:
        return
    alone = flat.get(f"{encoding.name}={encoding.fallback}")
    if alone is None:
        return
    free = np.flatnonzero(alone == "no")
    others = [part for part in encoding.flats if part.name in flat and part.categories == ("no", "yes")]
    others = [part for part in others if part.name != f"{encoding.name}={encoding.fallback}"]
    for part in others:
        flat[part.name][:] = "no"
    if not len(free) or not others:
        return
    wanted = np.clip(np.array([part.shares[1] for part in others]) * len(alone) / len(free), 1e-6, 1.0)
    shares = wanted
    for _ in range(50):  # shares of independent draws whose rows without any label are drawn again
        shares = wanted * (1 - np.prod(1 - shares))
    hits = np.zeros((len(free), len(others)), dtype=bool)
    for _ in range(20):
        empty = np.flatnonzero(~hits.any(axis=1))
        hits[empty] = rng.random((len(empty), len(others))) < shares
    empty = np.flatnonzero(~hits.any(axis=1))
    hits[empty, rng.choice(len(others), size=len(empty), p=wanted / wanted.sum())] = True
    for number, part in enumerate(others):
        flat[part.name][free[hits[:, number]]] = "yes"


def _from_histogram(histogram: dict[str, Any], num_records: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a bin by its share, then a value evenly inside it."""
    shares = np.array(histogram["shares"]) / sum(histogram["shares"])
    place = rng.choice(len(shares), size=num_records, p=shares) + rng.random(num_records)
    return histogram["lower"] + (histogram["upper"] - histogram["lower"]) * place / len(shares)
