"""The documentation that accompanies a synthetic cohort: aggregates only, small counts suppressed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from monai_hybridsynth.data import RecordField
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.prediction_targets import label_sets
from monai_hybridsynth.evaluation.report.metric_table import number_text, span_text
from monai_hybridsynth.evaluation.thresholds import Thresholds
from monai_hybridsynth.evaluation.verdict import Verdict

__all__ = ["CardSection", "CardTable", "card_sections", "column_summary", "share_text"]

LIGHTS = {"good": "green", "caution": "yellow", "bad": "red", "unknown": "not measured", "shown": "diagnostic"}
HOUSE = "To be filled in by the house"
MAXIMUM_LEVELS = 8
QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class CardTable:
    """A table of the card."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class CardSection:
    """A section of the card: terms with texts, then tables. A text that starts with :data:`HOUSE` is a blank."""

    title: str
    items: tuple[tuple[str, str], ...] = ()
    tables: tuple[CardTable, ...] = field(default_factory=tuple)


def share_text(count: float, total: float, smallest: float) -> str:
    """Return a share of patients that names neither fewer than ``smallest`` patients nor so few exceptions.

    Example:
        >>> [share_text(count, 200, 10) for count in (3, 60, 197)]
        ['< 5 %', '30 %', '> 95 %']
    """
    if not total:
        return "–"
    if count < smallest:
        return f"< {math.ceil(100 * smallest / total)} %" if smallest < total else "not stated"
    if total - count < smallest and total != count:
        return f"> {math.floor(100 * (1 - smallest / total))} %"
    return f"{100 * count / total:.0f} %"


def column_summary(field: RecordField, values: pd.Series, groups: np.ndarray, smallest: float) -> str:
    """Return a column in words: shares of patients per level, or rounded percentiles; nothing that few patients share.

    Args:
        field: of the schema.
        values: parsed values, ``(rows,)``.
        groups: patient of each row; every patient counts once.
        smallest: fewest patients that a stated level has.
    """
    known = values.notna().to_numpy()
    total = len(np.unique(groups))
    some = len(np.unique(groups[known]))
    missing = f"; known for {share_text(some, total, smallest)} of patients" if some < total else ""
    if not some:
        return "never known"
    if field.is_numeric:
        return _percentiles(values[known].astype("float64"), groups[known], smallest) + missing
    if field.kind == "multilabel":
        sets = label_sets(values, field)
        pairs = [(patient, level) for patient, labels in zip(groups, sets, strict=True) for level in labels or ()]
    else:
        pairs = list(zip(groups[known], values[known].astype(str), strict=True))
    counts: dict[str, int] = {}
    for _, level in set(pairs):
        counts[level] = counts.get(level, 0) + 1
    ranked = sorted(counts, key=lambda level: (-counts[level], level))
    shown = [level for level in ranked if counts[level] >= smallest][:MAXIMUM_LEVELS]
    rest = len(ranked) - len(shown)
    # A single hidden level could be had by subtraction, unless the shares above are themselves blurred.
    texts = [f"{level}: {share_text(counts[level], some, smallest)}" for level in shown]
    if rest:
        texts.append(f"{rest} rarer value{'s' if rest > 1 else ''} not stated")
    return ", ".join(texts) + missing


def _percentiles(values: pd.Series, groups: np.ndarray, smallest: float) -> str:
    """Return rounded percentiles of the patients' medians, each the mean of several patients around it."""
    medians = values.groupby(groups).median()
    texts = []
    for quantile in QUANTILES:
        if min(quantile, 1 - quantile) * len(medians) < smallest / 2:
            continue
        value = _around(np.sort(medians.to_numpy(dtype=float)), quantile, smallest)
        texts.append(
            f"{100 * quantile:.0f} %: " + (f"{float(f'{value:.2g}'):g}" if math.isfinite(value) else "below detection")
        )
    return "percentiles " + ", ".join(texts) if texts else "too few patients to state"


def _around(ordered: np.ndarray, quantile: float, smallest: float) -> float:
    """Return the mean of at least ``smallest`` patients around a quantile: a quantile alone is one patient's value."""
    width = min(math.ceil(smallest), len(ordered))
    first = round(quantile * (len(ordered) - 1) - (width - 1) / 2)
    first = min(max(first, 0), len(ordered) - width)
    part = ordered[first : first + width]
    return float(part.mean()) if np.isfinite(part).all() else -math.inf


def card_sections(
    train: JudgedCohort,
    holdout: JudgedCohort,
    synthetic: JudgedCohort,
    verdicts: Sequence[Verdict],
    *,
    thresholds: Thresholds,
    versions: Mapping[str, str],
    seed: int,
    judge: str,
) -> list[CardSection]:
    """Return the card of one synthetic cohort.

    It names no patient, no record, no file and no folder of the private cohort, and shows no image of it.
    """
    smallest = thresholds["release", "smallest_count"]
    manifest = synthetic.manifest or {}
    return [
        _identification(synthetic, manifest),
        _use(verdicts),
        _population(train, synthetic, smallest),
        _generation(manifest),
        _evaluation(train, holdout, verdicts, versions=versions, seed=seed, judge=judge),
        _privacy(verdicts),
        _limitations(train, verdicts, smallest),
        CardSection("Contact and licence", (("Contact", HOUSE), ("Licence", HOUSE), ("Ethics and legal basis", HOUSE))),
    ]


def _identification(synthetic: JudgedCohort, manifest: Mapping[str, Any]) -> CardSection:
    schema = synthetic.cohort.schema
    return CardSection(
        "Identification",
        (
            ("Name", synthetic.name),
            ("Version and date", HOUSE),
            ("Publisher", HOUSE),
            (
                "What it is",
                "Synthetic medical records, one image with its clinical row each, drawn from a model of real patients.",
            ),
            ("Records", str(len(synthetic))),
            ("Clinical columns", str(len(schema.feature_names))),
            ("Image channels", str(schema.image.channels)),
            ("Marked as synthetic", "yes, in manifest.json" if manifest.get("synthetic") else "no manifest says so"),
        ),
    )


def _use(verdicts: Sequence[Verdict]) -> CardSection:
    red = [verdict.family for verdict in verdicts if verdict.light == "bad"]
    warning = f"; red for {', '.join(red)}, see the evaluation below" if red else ""
    return CardSection(
        "Use",
        (
            (
                "Intended",
                "Developing and testing software, teaching, and pretraining or supplementing models that are "
                f"validated on real patients{warning}.",
            ),
            (
                "Not intended",
                "Diagnosis or any decision about a patient; clinical or epidemiological conclusions; estimates of "
                "prevalence or effect; validation of a medical device; attempts to identify patients.",
            ),
            ("Approved by the house for", HOUSE),
        ),
    )


def _population(train: JudgedCohort, synthetic: JudgedCohort, smallest: float) -> CardSection:
    schema = train.cohort.schema
    rows = []
    for name in schema.feature_names:
        entry = schema[name]
        real = column_summary(entry, train.table[name], train.groups, smallest)
        made = column_summary(entry, synthetic.table[name], synthetic.groups, smallest)
        role = "target" if name in schema.target_names else ""
        rows.append((name, ", ".join(filter(None, [entry.kind, entry.unit, role])), real, made))
    items = (
        ("Source", HOUSE),
        ("Period, place and inclusion", HOUSE),
        ("Patients", f"{train.num_groups} in training, with {len(train)} images"),
        (
            "Suppression",
            f"Shares of patients; one whose images differ counts with each value. No value of fewer than {smallest:g} "
            f"patients is stated, nor a share that would name so few exceptions; percentiles are rounded means of "
            f"{smallest:g} patients, extremes are not stated.",
        ),
    )
    head = ("Column", "Kind", "Source patients", "Synthetic records")
    return CardSection("Source population", items, (CardTable("Clinical columns in aggregate", head, tuple(rows)),))


def _generation(manifest: Mapping[str, Any]) -> CardSection:
    if not manifest:
        return CardSection("Generation", (("Manifest", "none: who made the cohort, and how, is not known"),))
    items = []
    for key, words in (("generator", "Image generator"), ("bundle", "Bundle"), ("artifact", "Table synthesizer")):
        part = manifest.get(key)
        if isinstance(part, Mapping):
            items.append((words, ", ".join(f"{name} {value}" for name, value in part.items())))
        elif part:
            items.append((words, str(part)))
    items += [
        (words, str(manifest[key])) for key, words in (("seed", "Seed"), ("num_records", "Records")) if key in manifest
    ]
    balanced = manifest.get("balanced")
    if balanced:
        shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in balanced["shares"].items())
        text = f"{balanced['column']}: {shares}; its frequency, and what goes with it, differ from the source by design"
        items.append(("Balanced column", text))
    private = manifest.get("differential_privacy")
    if private:
        text, scope = "none stated", ""
        if private["epsilon"]:
            text = f"epsilon {private['epsilon']:g}, delta {private['delta']:g}"
            scope = "; of model and records, not of what this card and the report say of patients"
        public = "; ".join(private["assumed_public"])
        items.append(("Differential privacy", f"{text}; unit: {private['unit']}; assumed public: {public}{scope}"))
    packages = manifest.get("packages") or {}
    if packages:
        items.append(("Packages", ", ".join(f"{name} {version}" for name, version in packages.items())))
    exclusions = manifest.get("exclusions") or []
    items.append(("Exclusions", ", ".join(map(_exclusion, exclusions)) if exclusions else "none stated"))
    return CardSection("Generation", tuple(items))


def _exclusion(entry: Any) -> str:
    """Return ``column (role)``, or the manifest's own words."""
    if isinstance(entry, Mapping) and "column" in entry:
        return f"{entry['column']} ({entry['role']})" if entry.get("role") else str(entry["column"])
    return str(entry)


def _evaluation(
    train: JudgedCohort,
    holdout: JudgedCohort,
    verdicts: Sequence[Verdict],
    *,
    versions: Mapping[str, str],
    seed: int,
    judge: str,
) -> CardSection:
    lights = tuple((v.family, LIGHTS[v.light], v.headline) for v in verdicts)
    figures = tuple(
        (
            verdict.family,
            check.title,
            number_text(check.record.value),
            span_text(check.record) or "not estimable",
            number_text(check.record.floor),
            LIGHTS[check.outcome],
        )
        for verdict in verdicts
        for check in verdict.leading(8)
    )
    items = (
        (
            "Method",
            f"Compared with the {train.num_groups} training patients and with {holdout.num_groups} patients that no "
            f"generator saw; images judged by {judge}; 95 % intervals over patients; seed {seed}.",
        ),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
    )
    return CardSection(
        "Evaluation",
        items,
        (
            CardTable("Verdicts", ("Family", "Light", "In words"), lights),
            CardTable("Figures", ("Family", "Figure", "Value", "95 % interval", "Floor", "Light"), figures),
        ),
    )


def _privacy(verdicts: Sequence[Verdict]) -> CardSection:
    privacy = next(verdict for verdict in verdicts if verdict.family == "privacy")
    remarks = tuple(("Note", text) for text in privacy.remarks)
    return CardSection(
        "Privacy",
        (
            ("Verdict", f"{LIGHTS[privacy.light]}: {privacy.headline}"),
            ("Rule", privacy.rule),
            *remarks,
            (
                "What it is not",
                "A measurement of known attacks on this release, not a guarantee and not a legal opinion.",
            ),
            ("Released under", HOUSE),
        ),
    )


def _limitations(train: JudgedCohort, verdicts: Sequence[Verdict], smallest: float) -> CardSection:
    items = [
        (
            "Size",
            f"{train.num_groups} patients of one source: what is rarer than one in {train.num_groups} can be absent.",
        ),
        ("Time", "Records stand alone; repeated examinations of one patient are not modelled."),
        ("Small groups", f"What fewer than {smallest:g} patients share may be missing or distorted."),
    ]
    items += [(v.family.capitalize(), text) for v in verdicts if v.family != "privacy" for text in v.remarks]
    items += [(v.family.capitalize(), v.headline) for v in verdicts if v.light in ("caution", "bad") and not v.remarks]
    items.append(("Known to the house", HOUSE))
    return CardSection("Limitations", tuple(items))
