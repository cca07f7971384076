"""Search what is about to be released for patients: pickles, copied rows, latents, values, names and images."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from monai_hybridsynth.workflows.cohort_traces import CohortTraces
from monai_hybridsynth.workflows.release_contents import read_contents
from monai_hybridsynth.workflows.trace_search import search_traces

__all__ = ["Finding", "audit_release"]

PREPARED = {"train", "holdout", "schema.json"}
SIDE_CONTENT = {"images", "records.csv", "records.parquet", "schema.json"}
REPORT = {"index.html", "plotly.min.js", "images"}
# Beside the page lies what may leave the house, and is therefore searched.
RELEASABLE = re.compile(r"thresholds\.json|data_card(_\d+)?\.md")
REPORT_WARNING = "This page stays in the house: it shows real images and real rows."


@dataclass(frozen=True)
class Finding:
    """One thing that an audit has to say.

    Attributes:
        severity: ``"leak"`` (found), ``"unseen"`` (could not be searched) or ``"note"`` (private working data that was
            set
            aside: not searched, not for release, no finding).
        file: where, relative to the audited folder.
        what: what was found.
        remedy: what to do.
    """

    severity: str
    file: str
    what: str
    remedy: str

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.severity}: {self.file}: {self.what}; {self.remedy}"

    @property
    def counts(self) -> bool:
        """Whether a release is not clean because of it."""
        return self.severity != "note"


def audit_release(path: str | Path, *, against: str | Path | None = None) -> list[Finding]:
    """Search an artifact, a bundle, a synthetic cohort or a run folder for patients.

    Without ``against`` only what is dangerous in itself is found: pickles (also inside archives; tensor-only state
    dicts are allowed), TorchScript, DICOM files that are not marked as synthetic, columns of patient identifiers, files
    that cannot be read. With it
    also: identifiers, file names and free texts of the cohort in any file, name or header, exact values of single
    patients, rare categories, rows, row numbers, encoded columns and copied images, as files, arrays, tiles of a grid
    or inside pages and event logs. Latents are searched for when ``against`` is, or holds, a latent table.

    What it cannot see: rows in another order and coding at once, images changed so much that they correlate less with
    their original than two patients do, and what weights have memorised; membership attacks measure that.

    Two folders hold the cohort by design; below ``path`` they are named in a note and not searched: the one that
    ``prepare`` wrote (``train`` and ``holdout`` with records and images), and the report of
    ``evaluate``, whose page warns that it shows real images; its data cards and limits, which may leave the house, are
    searched. With any other file in it such a folder is searched as a whole.

    Args:
        path: a file or a folder.
        against: the private cohort: its folder, a prepared one, or a latent table (Parquet or CSV).

    Returns:
        Findings, leaks first; clean when none of them ``counts``.

    Raises:
        ValueError: if there is nothing to read at ``path`` or ``against``.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path} is not there; give an artifact, a bundle or a run folder.")
    traces = None if against is None else CohortTraces.read(against)
    files, notes = _files(path)
    if not files and not notes:
        raise ValueError(f"{path} holds no file; give an artifact, a bundle or a run folder.")
    findings = list(notes)
    for file in files:
        findings += _audit_file(file, path, traces)
    order = {"leak": 0, "unseen": 1, "note": 2}
    return sorted(findings, key=lambda finding: (order[finding.severity], finding.file))


def _files(path: Path) -> tuple[list[Path], list[Finding]]:
    """Return the files to search, and notes on the private folders that are set aside."""
    if path.is_file():
        return [path], []
    files: list[Path] = []
    notes: list[Finding] = []
    folders = [path]
    while folders:
        folder = folders.pop()
        private = _private_content(folder) if folder != path else None
        if private is not None:
            name = folder.relative_to(path).as_posix()
            notes.append(Finding("note", name, f"{private}, not searched", "never release this folder"))
            files += [entry for entry in sorted(folder.iterdir()) if RELEASABLE.fullmatch(entry.name)]
            continue
        for entry in sorted(folder.iterdir()):
            if entry.is_dir() and not entry.is_symlink():
                folders.append(entry)
            else:
                files.append(entry)
    return files, notes


def _private_content(folder: Path) -> str | None:
    """Return what a folder holds that is private by design and says so, or None."""
    if _is_prepared(folder):
        return "the prepared cohort itself"
    page = folder / "index.html"
    names = {entry.name for entry in folder.iterdir() if not RELEASABLE.fullmatch(entry.name)}
    if names == REPORT and REPORT_WARNING in page.read_text(encoding="utf-8"):
        return "a report for the house that owns the cohort, with real images"
    return None


def _is_prepared(folder: Path) -> bool:
    """Return whether a folder is what ``prepare`` writes, with nothing else in it."""
    if {entry.name for entry in folder.iterdir()} != PREPARED:
        return False
    for side in (folder / "train", folder / "holdout"):
        names = {entry.name for entry in side.iterdir()} if side.is_dir() else set()
        if "images" not in names or not {"records.csv", "records.parquet"} & names or names - SIDE_CONTENT:
            return False
    return True


def _audit_file(file: Path, root: Path, traces: CohortTraces | None) -> list[Finding]:
    """Search one file, its name and, for a link, its target."""
    name = file.relative_to(root).as_posix() if file != root else file.name
    if file.is_symlink() and not file.exists():
        return [Finding("unseen", name, "is a link to nothing", "release files, not links")]
    if file.is_symlink() and traces is not None and traces.folder.resolve() in file.resolve().parents:
        return [Finding("leak", name, "is a link into the private cohort", "remove it")]
    if file.is_dir():
        return [Finding("unseen", name, "is a link to a folder", "release files, not links")]
    contents = read_contents(file)
    found = [
        Finding("unseen" if "cannot be read" in what else "leak", name, what, fix) for what, fix in contents.problems
    ]
    contents.texts.append(name)
    for place, table in contents.tables:
        if "patient_id" in table.columns and (table["patient_id"].astype(str).str.strip() != "").any():
            found.append(Finding("leak", name, f"{place} has a column of patient identifiers", "drop the column"))
    if traces is not None:
        beside = file.parent if file.parent.name != "images" else file.parent.parent
        is_release_data = any((beside / marker).is_file() for marker in ("synthesizer.json", "manifest.json"))
        found += [
            Finding("leak", name, what, remedy)
            for what, remedy in search_traces(contents, traces, is_release_data=is_release_data)
        ]
    return found
