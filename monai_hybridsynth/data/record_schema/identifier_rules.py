"""Which columns say who a patient is or which file a row is, also where their names do not say so.

Each rule looks at the values first; names only decide where values alone could be either. A rule returns the reason for
calling the column an identifier, or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pandas as pd

from .column_evidence import ColumnEvidence
from .known_quantities import known_quantity

__all__ = ["identifier_reason"]

# Fewer different values than this cannot tell files or patients apart.
_MANY = 8
_NEARLY_ALL = 0.98
_LONG_LIST = 20
_NUMBERED = (
    "patient", "subject", "case", "slice", "image", "study", "series", "scan", "record", "row", "visit", "follow",
    "accession", "file", "instance", "frame", "exam", "person",
)  # fmt: skip
_NUMBERING = ("number", "no", "nr", "nummer", "num", "index", "idx", "id", "#", "count", "counter")
_PLACES = ("path", "folder", "file", "filename", "dir", "directory", "url", "uri", "store", "repo")
_PEOPLE = (
    "surname", "firstname", "lastname", "birthdate", "dob", "birth", "birthday", "address", "street", "phone",
    "telephone", "email", "zip", "postcode", "ssn", "mrn", "physician", "operator", "insurance",
)  # fmt: skip


def identifier_reason(column: ColumnEvidence) -> str | None:
    """Return why a column identifies a patient or a file, or None when it does not."""
    rules: tuple[Callable[[ColumnEvidence], str | None], ...] = (
        _names_a_person,
        _is_a_path,
        _is_a_registered_code,
        _is_the_patient_id,
        _stands_in_the_image_name,
        _is_a_unique_code,
        _is_a_running_number,
        _says_so,
    )
    if _is_measured(column):
        return _names_a_person(column)
    for rule in rules:
        reason = rule(column)
        if reason:
            return reason
    return None


def _is_measured(column: ColumnEvidence) -> bool:
    """Whether the column holds a quantity of a body: such values may be unique without naming anyone."""
    return column.number_share > 0.9 and (not column.is_whole or known_quantity(column) is not None)


def _names_a_person(column: ColumnEvidence) -> str | None:
    if column.has_words(*_PEOPLE) or column.words == ("name",):
        return "its name says that it names or locates a person"
    if column.has_words("name") and column.has_words("patient", "first", "last", "family", "given", "full", "doctor"):
        return "its name says that it names a person"
    if column.share_matching(r"[^\d\W]+\^[^|]*") > 0.5:
        return "its values are written like DICOM person names"
    if column.share_matching(r"[^@\s]+@[^@\s]+\.\w+") > 0.5:
        return "its values are e-mail addresses"
    return None


def _is_a_path(column: ColumnEvidence) -> str | None:
    if column.share_matching(r".*[\\/][^\\/]*\.\w{1,5}(\.gz)?|\w+://.*|(?:[^\\/]*[\\/]){2,}[^\\/]*") > 0.9 and not (
        column.share_matching(r"\d{1,4}/\d{1,2}/\d{1,4}") > 0.5
    ):
        return "its values are paths or addresses of files"
    if column.share_matching(r".+\.(?:png|jpe?g|dcm|nii|nii\.gz|npy|tiff?|bmp)") > 0.5:
        return "its values are file names"
    if column.has_words(*_PLACES) and column.share_matching(r"\S+") > 0.5:
        return "its name says where a file lies; a folder can give away what was sorted into it"
    return None


def _is_a_registered_code(column: ColumnEvidence) -> str | None:
    if column.share_matching(r"\d+(?:\.\d+){4,}") > 0.9:
        return "its values are DICOM unique identifiers"
    if column.share_matching(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}") > 0.5:
        return "its values are universally unique identifiers"
    if column.num_distinct >= _MANY and column.share_matching(r"(?=.*\d)[0-9a-f]{8,}|(?=.*\d)[0-9A-F]{8,}") > 0.9:
        letters = pd.Series(column.counts.index).str.contains("[a-fA-F]").mean()
        if letters > 0.5:
            return "its values are hash codes"
    return None


def _is_the_patient_id(column: ColumnEvidence) -> str | None:
    if column.patients is None or column.num_distinct < 3 or not column.is_constant_in_patient:
        return None
    if (column.filled.to_numpy() == column.patients.to_numpy()).all():
        return "it repeats the patient id"
    numbers = [_whole(value) for value in column.filled]
    of_patient = [column.table.patient_numbers[i] for i in np.flatnonzero(column.present)]
    matches = np.mean([n is not None and n in known for n, known in zip(numbers, of_patient, strict=True)])
    if matches >= _NEARLY_ALL and column.num_distinct >= 0.5 * column.num_patients:
        return "it is the number inside the patient id"
    if column.is_one_per_patient and column.num_distinct >= _MANY and column.number_share < 0.5:
        return "every patient has a value of their own"
    return None


def _stands_in_the_image_name(column: ColumnEvidence) -> str | None:
    if column.table.images is None or column.num_distinct < _MANY:
        return None
    # Only codes and numbers: a class or finding may well be part of a file name without identifying it.
    if column.share_matching(r".*\d.*") < 0.9:
        return None
    rows = np.flatnonzero(column.present)
    texts, numbers = column.table.image_texts, column.table.image_numbers
    found = 0
    for row, value in zip(rows, column.filled, strict=True):
        number = _whole(value)
        found += number in numbers[row] if number is not None else len(value) >= 3 and value.lower() in texts[row]
    return "its values are part of the image's file name" if found >= _NEARLY_ALL * len(rows) else None


def _is_a_unique_code(column: ColumnEvidence) -> str | None:
    if column.num_distinct < _MANY:
        return None
    if column.number_share < 0.5:
        worded = column.share_matching(r".*[^\W\d_]{2,}\s+[^\W\d_]{2,}.*")
        coded = column.share_matching(r"\S*\d\S*|\S{1,12}")
        if column.uniqueness >= 0.9 and coded > 0.9 and worded < 0.1:
            return f"{column.num_distinct} different codes in {column.num_filled} rows"
        return None
    padded = column.share_matching(r"0\d+") > 0.05 and column.share_matching(r"\d{2,}") > 0.95
    if padded and column.filled.str.len().nunique() == 1:
        return "its numbers are padded with zeros to one length, so they are codes"
    if column.uniqueness >= 0.9 and column.share_matching(r"\d{7,}(?:\.0)?") > 0.9:
        return f"{column.num_distinct} different long numbers in {column.num_filled} rows"
    return None


def _is_a_running_number(column: ColumnEvidence) -> str | None:
    if column.number_share < 0.95 or not column.is_whole or column.num_distinct < _MANY:
        return None
    low, high = column.finite.min(), column.finite.max()
    if column.uniqueness >= 0.95 and high - low + 1 <= 1.2 * column.num_distinct:
        return f"it numbers the rows or patients from {'0' if low == 0 else '1'} upwards"
    numbers = column.filled.map(column.distinct_numbers)
    if column.num_distinct == column.num_filled >= _LONG_LIST and (
        numbers.is_monotonic_increasing or numbers.is_monotonic_decreasing
    ):
        return "it grows from row to row without ever repeating, as numbers given out one after another do"
    if low < 0 or column.patients is None or column.is_constant_in_patient:
        return None
    groups = numbers.groupby(column.patients)
    several = groups.size() > 1
    counted = (groups.nunique() == groups.size()) & (groups.max() - groups.min() + 1 == groups.size())
    if several.sum() >= 5 and counted[several].mean() >= 0.9:
        return "it numbers the images of each patient"
    return None


def _says_so(column: ColumnEvidence) -> str | None:
    words = set(column.words)
    if words & {"uid", "uuid", "guid", "accession"} or (words & {"id"} and words & set(_NUMBERED)):
        return "its name says that it identifies something"
    numbering = words & set(_NUMBERING) and words & set(_NUMBERED) and "of" not in words
    if numbering and column.num_distinct >= _MANY:
        return "its name says that it numbers patients, studies or images"
    if column.num_distinct >= _MANY and (
        (words & {"id", "identifier"} and column.uniqueness > 0.3)
        or (words & set(_NUMBERING) and column.uniqueness > 0.9)
    ):
        return "its name says that it identifies something, and its values rarely repeat"
    return None


def _whole(value: str) -> int | None:
    """Return the whole number that a spelling is, or None."""
    match = re.fullmatch(r"(\d+)(?:\.0+)?", value)
    return int(match[1]) if match else None
