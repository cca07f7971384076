"""From a hospital's folder to a prepared cohort: schema, checks of every row and image, split by patient."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from monai_hybridsynth.data import CohortError, ImageSettings, RecordProblem, RecordSchema, write_phantom_cohort
from monai_hybridsynth.data.cohort_folder import CheckedRecords, check_records, read_schema, write_records
from monai_hybridsynth.data.image_check import ImageCheck, check_images
from monai_hybridsynth.data.image_files import image_format
from monai_hybridsynth.data.patient_split import (
    SPLIT_SIDES,
    given_split,
    note_split,
    split_patients,
    target_classes,
)
from monai_hybridsynth.data.record_schema import set_targets
from monai_hybridsynth.data.record_schema.column_evidence import name_words
from monai_hybridsynth.data.record_tables import RecordTable, read_record_table

from .preparation_summary import PreparedCohort, SummaryNote, describe_columns, describe_sides

__all__ = ["prepare_cohort", "prepare_phantom"]

_WRITTEN = {*SPLIT_SIDES, "schema.json"}


@dataclass
class _Findings:
    """What comes together while a cohort is looked at."""

    problems: list[RecordProblem] = field(default_factory=list)
    notes: list[SummaryNote] = field(default_factory=list)

    def note(self, subject: str, action: str, count: int | None, reason: str) -> None:
        self.notes.append(SummaryNote(subject, action, count, reason))


def prepare_cohort(
    source: str | Path,
    out: str | Path,
    *,
    targets: Sequence[str] = (),
    holdout: float = 0.25,
    seed: int = 0,
    on_invalid: str = "error",
    modality: str | None = None,
    schema: RecordSchema | str | Path | None = None,
    copy: bool = False,
    progress: bool = False,
) -> PreparedCohort:
    """Check a cohort folder, split it by patient and write ``train``, ``holdout`` and ``schema.json``.

    Nothing is written into ``source``. Only the image, the patient and the modelled columns are written; identifiers,
    free text and whatever else is set aside stand in ``schema.json`` by name and reason alone.

    Args:
        source: the cohort folder.
        out: a new folder, or one prepared earlier, which is replaced once everything is checked.
        targets: columns to be predicted, or derivations, see :func:`monai_hybridsynth.data.record_schema.set_targets`.
        holdout: share of the patients that is held out; unused where the table brings a column ``split``.
        seed: seed of the split.
        on_invalid: ``error``, or ``missing`` to read invalid values as missing, counted in the summary.
        modality: ``cxr`` or ``head_ct``; guessed when None.
        schema: a schema, or the path of an edited one; otherwise the cohort's own, otherwise inferred.
        copy: copy the images instead of linking to them.
        progress: whether to show a progress bar on stderr.

    Raises:
        CohortError: with every problem of the cohort, not only the first.
    """
    source, out = Path(source), Path(out).absolute()
    _check_places(source, out)
    if on_invalid not in ("error", "missing"):
        raise ValueError(f"on_invalid is {on_invalid!r}; use 'error' or 'missing'.")
    raw = read_record_table(source)
    found = _Findings()
    for note in raw.notes:
        found.note("table", "noted", None, note)
    schema = _settle_schema(source, raw, schema, modality=modality, found=found)
    if on_invalid == "missing":
        schema = schema.with_fields(*(replace(entry, on_invalid="missing") for entry in schema if entry.is_modelled))
    schema = _settle_targets(schema, raw, targets, found)
    checked = check_records(source, raw, schema)
    found.problems += checked.problems
    images = _check_images(checked, schema, raw, progress=progress)
    found.problems += images.problems
    sides = _settle_sides(checked, schema, raw, found, holdout=holdout, seed=seed)
    if found.problems or sides is None:
        raise CohortError(sorted(found.problems, key=lambda problem: problem.row or 0))
    table = checked.parsed.table
    _note_readings(checked, images, raw, found, patients=table[str(schema.group_name)])
    _note_rare_classes(table, schema, found, sides)
    dealt = not _brings_split(raw, schema)
    _write(out, source, table, schema, sides, checked.image_paths, dealt=dealt, copy=copy)
    return PreparedCohort(
        out,
        schema,
        found.notes,
        describe_columns(schema, table),
        describe_sides(table, schema, sides, SPLIT_SIDES),
        images.sizes,
    )


def prepare_phantom(
    num_records: int,
    out: str | Path,
    *,
    variant: str = "paper",
    spatial_size: int = 128,
    targets: Sequence[str] = (),
    holdout: float = 0.25,
    seed: int = 0,
    progress: bool = False,
) -> PreparedCohort:
    """Draw the embedded demonstration cohort and prepare it; arguments as :func:`prepare_cohort` and the phantom's."""
    with tempfile.TemporaryDirectory() as folder:
        write_phantom_cohort(folder, num_records, seed=seed, variant=variant, spatial_size=spatial_size)
        return prepare_cohort(
            folder, out, targets=targets, holdout=holdout, seed=seed, copy=True, progress=progress
        )  # fmt: skip


def _check_places(source: Path, out: Path) -> None:
    """Refuse to write into the cohort, around it, or over anything that is no prepared cohort."""
    inner, outer = out.resolve(), source.resolve()
    if inner == outer or outer in inner.parents or inner in outer.parents:
        raise ValueError(f"{out} and the cohort {source} lie in one another; choose a folder outside the cohort.")
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; choose a folder.")
    if out.is_dir():
        names = {path.name for path in out.iterdir()}
        if names - _WRITTEN and not names >= _WRITTEN:
            strange = sorted(names - _WRITTEN)[:5]
            raise ValueError(f"{out} holds {strange} and is no prepared cohort; choose a new or empty folder.")


def _settle_schema(
    source: Path, raw: RecordTable, given: RecordSchema | str | Path | None, *, modality: str | None, found: _Findings
) -> RecordSchema:
    """Return the schema given, the cohort's own, or one inferred, with the modality asked for."""
    inferred = given is None and not (source / "schema.json").is_file()
    given = RecordSchema.load(given) if isinstance(given, (str, Path)) else given
    guess = modality
    if inferred and guess is None:
        guess = "head_ct" if _first_is_ct(source, raw.table) else None
    schema = read_schema(source, raw, schema=given, modality=guess)
    if modality is not None and modality != schema.image.modality:
        hounsfield = schema.image.scaling["kind"] == "window"
        schema = schema.with_image(ImageSettings.for_modality(modality, hounsfield=hounsfield))
    told = "inferred from names and values" if inferred else "given; nothing is inferred"
    found.note("table", "noted", len(raw.table), f"{raw.file}: {len(raw.table.columns)} columns; schema {told}")
    if not schema.feature_names:
        found.problems.append(
            RecordProblem("has no clinical column left to model", "add one, or edit the schema's roles", file=raw.file)
        )
    if schema.group_name is None:
        alike = [e.name for e in schema if e.role == "identifier" and {"patient", "subject"} & set(name_words(e.name))]
        hint = f"; perhaps {alike[0]!r} is it under another name" if alike else ""
        found.problems.append(
            RecordProblem(
                "has no patient ids, so patients cannot be kept on one side",
                f"fill a column 'patient_id'; images of one patient share a value{hint}",
                file=raw.file,
                row=1,
                column="patient_id",
            )
        )
    return schema


def _first_is_ct(source: Path, table: pd.DataFrame) -> bool:
    """Return whether the first image is a DICOM file that says it is a CT."""
    path = source / str(table["image"].iloc[0]) if "image" in table.columns else None
    if path is None or not path.is_file() or image_format(path) != "dicom":
        return False
    import pydicom

    try:
        return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Modality"]).get("Modality") == "CT"
    except (OSError, ValueError, pydicom.errors.InvalidDicomError):
        return False


def _settle_targets(schema: RecordSchema, raw: RecordTable, targets: Sequence[str], found: _Findings) -> RecordSchema:
    try:
        schema, notes = set_targets(schema, raw.table, targets, source=raw.file)
    except CohortError as error:
        found.problems += error.problems
        return schema
    for note in notes:
        if note.action != "target":
            found.note(note.column, note.action, None, note.reason)
    for number, rule in enumerate(schema.rules):
        aside = [name for name in rule.columns if not schema[name].is_modelled]
        if aside:
            found.note(aside[0], "noted", None, f"set aside, so {schema.rules.told(number)} is not checked")
    return schema


def _check_images(checked: CheckedRecords, schema: RecordSchema, raw: RecordTable, *, progress: bool) -> ImageCheck:
    """Open the images whose paths are in order; the others are problems already."""
    wrong = {problem.row for problem in checked.problems if problem.column == schema.image_name}
    chosen = [position for position, row in enumerate(raw.rows) if checked.image_paths and row not in wrong]
    names = checked.parsed.table[schema.image_name].tolist() if checked.image_paths else []
    return check_images(
        [checked.image_paths[position] for position in chosen],
        [names[position] for position in chosen],
        schema.image,
        file=raw.file,
        rows=[raw.rows[position] for position in chosen],
        progress=progress,
    )


def _brings_split(raw: RecordTable, schema: RecordSchema) -> bool:
    return "split" in raw.table.columns and not ("split" in schema and schema["split"].is_modelled)


def _settle_sides(
    checked: CheckedRecords, schema: RecordSchema, raw: RecordTable, found: _Findings, *, holdout: float, seed: int
) -> pd.Series | None:
    """Return each row's side, or None with the problems noted."""
    table = checked.parsed.table
    if schema.group_name is None or schema.group_name not in table or table[schema.group_name].isna().any():
        return None
    patients = table[schema.group_name]
    try:
        if _brings_split(raw, schema):
            sides = given_split(raw.table["split"], patients, file=raw.file, rows=raw.rows)
            found.note("split", "read as", len(sides), "given by the column 'split'")
            return sides
        classes = target_classes(table, schema)
        sides = split_patients(patients, classes, holdout=holdout, seed=seed)
    except CohortError as error:
        found.problems += error.problems
        return None
    except ValueError as error:
        found.problems.append(RecordProblem(str(error), file=raw.file, column=schema.group_name))
        return None
    told = f"stratified by {', '.join(schema.target_names)}" if schema.target_names else "no target to stratify by"
    found.note(
        "split", "noted", int(patients.nunique()), f"patients dealt to {holdout:.0%} holdout, seed {seed}, {told}"
    )
    return sides


def _note_readings(
    checked: CheckedRecords, images: ImageCheck, raw: RecordTable, found: _Findings, *, patients: pd.Series
) -> None:
    for name, count in checked.parsed.set_missing.items():
        found.note(name, "set to missing", count, "invalid values, because on_invalid is 'missing'")
    for name, notes in checked.parsed.notes.items():
        for note in notes:
            found.note(name, "read as", None, note)
    for name in checked.parsed.unknown:
        if name != "split":
            found.note(name, "left out", len(raw.table), "the schema does not name it")
    for note, count in images.notes.items():
        found.note("images", "noted", count, note)
    position = {row: number for number, row in enumerate(raw.rows)}
    shared = [
        rows for rows in images.same_content if patients.iloc[[position[row] for row in rows]].nunique() > 1
    ]  # fmt: skip
    if shared:
        told = "; ".join("rows " + " and ".join(str(row) for row in rows) for rows in shared[:5])
        found.note("images", "warning", len(shared), f"identical files of different patients: {told}")


def _note_rare_classes(table: pd.DataFrame, schema: RecordSchema, found: _Findings, sides: pd.Series) -> None:
    """Warn of target classes that one side lacks: nothing can be learned or measured about them."""
    for name, members in target_classes(table, schema).items():
        for side in SPLIT_SIDES:
            if members.any() and not members[(sides == side).to_numpy()].any():
                found.note(str(name), "warning", int(members.sum()), f"does not occur in {side}")


def _write(
    out: Path,
    source: Path,
    table: pd.DataFrame,
    schema: RecordSchema,
    sides: pd.Series,
    paths: list[Path],
    *,
    dealt: bool,
    copy: bool,
) -> None:
    """Write beside ``out`` first, so that a half-written cohort never has its name."""
    assert schema.image_name is not None
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    names = [path.relative_to(source).as_posix() for path in paths]
    for side in SPLIT_SIDES:
        chosen = np.flatnonzero((sides == side).to_numpy())
        folder = partial / side
        for position in chosen:
            _place(paths[position], folder / names[position], copy=copy)
        rows = table.iloc[chosen].copy()
        rows[schema.image_name] = [names[position] for position in chosen]
        write_records(folder / "records.csv", rows)
        schema.save(folder / "schema.json")
    schema.save(partial / "schema.json")
    note_split(partial, stratified_by=schema.target_names if dealt else [])
    if not out.exists():
        partial.rename(out)
        return
    # What else lies in a folder prepared earlier, such as a cache, is left alone.
    for name in sorted(_WRITTEN):
        if (out / name).is_dir():
            shutil.rmtree(out / name)
        (partial / name).replace(out / name)
    partial.rmdir()


def _place(path: Path, target: Path, *, copy: bool) -> None:
    """Link to an image by its absolute path, so that the prepared folder may be moved, or copy it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not copy:
        try:
            os.symlink(path.resolve(), target)
            return
        except OSError:
            # Some file systems know no links; a copy serves as well.
            pass
    shutil.copyfile(path, target)
