"""What a column shows of itself: spellings, numbers, its name in words, how it relates to image and patient."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from .record_field import DEFAULT_MISSING_VALUES, RecordField
from .value_parsing import as_text, is_missing, parse_numbers

__all__ = ["ColumnEvidence", "TableEvidence", "name_words"]

_MOST_LOOKED_AT = 300


def name_words(name: str) -> tuple[str, ...]:
    """Return a column name in lower-case words: "OriginalImageWidth", "patient_id", "Follow-up #" come apart.

    Example:
        >>> name_words("OriginalImagePixelSpacing_x"), name_words("Follow-up #")
        (('original', 'image', 'pixel', 'spacing', 'x'), ('follow', 'up', '#'))
    """
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return tuple(word.lower() for word in re.findall(r"[^\W_]+|#", apart))


@dataclass(frozen=True)
class TableEvidence:
    """What all columns are compared with.

    Attributes:
        images: the image column as text, or None.
        patients: the patient column as text, or None when there are no patients.
    """

    images: pd.Series | None
    patients: pd.Series | None

    @cached_property
    def image_numbers(self) -> list[set[int]]:
        """The whole numbers in each image's file name."""
        assert self.images is not None
        stems = [re.split(r"[\\/]", str(name))[-1] for name in self.images]
        return [{int(digits) for digits in re.findall(r"\d+", stem)} for stem in stems]

    @cached_property
    def image_texts(self) -> list[str]:
        """Each image's path in lower case."""
        assert self.images is not None
        return [str(name).lower() for name in self.images]

    @cached_property
    def patient_numbers(self) -> list[set[int]]:
        """The whole numbers in each row's patient id."""
        assert self.patients is not None
        return [{int(digits) for digits in re.findall(r"\d+", str(name))} for name in self.patients]


class ColumnEvidence:
    """One column of a table, looked at once.

    Args:
        name: the column's name.
        values: raw values.
        table: image and patient columns of the same rows.
        full_name: the name as it was before a comma inside it split the header, when that happened.
    """

    def __init__(self, name: str, values: pd.Series, table: TableEvidence, full_name: str | None = None):
        self.name = name
        self.table = table
        self.words = name_words(full_name or name)
        # "SpO2" comes apart as well; the name is looked up both ways.
        self._known_as = {*self.words, *re.findall(r"[^\W_]+", (full_name or name).lower())}
        self.dtype = values.dtype
        text = as_text(values)
        self.present = ~is_missing(text, DEFAULT_MISSING_VALUES).to_numpy()
        self.text = text
        self.filled = text[self.present]

    @property
    def num_rows(self) -> int:
        """Rows of the table."""
        return len(self.text)

    @property
    def num_filled(self) -> int:
        """Rows with a value."""
        return len(self.filled)

    @cached_property
    def counts(self) -> pd.Series:
        """How often each spelling occurs, commonest first."""
        return self.filled.value_counts()

    @property
    def num_distinct(self) -> int:
        """Number of different spellings."""
        return len(self.counts)

    @cached_property
    def patients(self) -> pd.Series | None:
        """The patient of each filled row, or None when there are no patients."""
        return None if self.table.patients is None else self.table.patients[self.present]

    @cached_property
    def num_patients(self) -> int:
        """Patients with a value; every row counts as one where there are no patients."""
        return self.num_filled if self.patients is None else int(self.patients.nunique())

    @cached_property
    def patients_per_value(self) -> pd.Series:
        """In how many patients each spelling occurs."""
        return self.counts if self.patients is None else self.patients.groupby(self.filled).nunique()

    @cached_property
    def is_constant_in_patient(self) -> bool:
        """Whether no patient has two different values."""
        return self.patients is not None and bool((self.filled.groupby(self.patients).nunique() <= 1).all())

    @cached_property
    def is_one_per_patient(self) -> bool:
        """Whether values and patients stand one to one."""
        return self.is_constant_in_patient and bool((self.patients_per_value == 1).all())

    @cached_property
    def uniqueness(self) -> float:
        """Different spellings per row, or per patient where each patient has one."""
        rows = self.num_distinct / max(self.num_filled, 1)
        if self.is_constant_in_patient:
            return max(rows, self.num_distinct / max(self.num_patients, 1))
        return rows

    @cached_property
    def distinct_numbers(self) -> pd.Series:
        """The distinct spellings read as numbers, ages and detection limits included; NaN for text."""
        spellings = pd.Series(self.counts.index, dtype=object)
        reader = RecordField(
            self.name or "column", "number", kind="continuous", unit="a", censored=True, decimal_char=self.decimal_char
        )
        return pd.Series(parse_numbers(spellings, reader)[0].to_numpy(), index=self.counts.index)

    @cached_property
    def decimal_char(self) -> str:
        """The decimal sign: a comma where every broken number has one and none can be a thousands separator."""
        spellings = [str(value) for value in self.counts.index]
        commas = [value for value in spellings if "," in value and re.fullmatch(r"[+-]?\d+,\d+", value)]
        if not commas or any(re.fullmatch(r"[+-]?\d*\.\d+", value) for value in spellings):
            return "."
        return "." if all(re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", value) for value in commas) else ","

    @cached_property
    def number_share(self) -> float:
        """Share of the filled rows that read as numbers."""
        return float(self.counts[self.distinct_numbers.notna()].sum() / max(self.num_filled, 1))

    @cached_property
    def finite(self) -> np.ndarray:
        """The distinct finite numbers."""
        numbers = self.distinct_numbers.to_numpy()
        return numbers[np.isfinite(numbers)]

    @cached_property
    def is_whole(self) -> bool:
        """Whether every finite number is whole."""
        return bool(len(self.finite)) and bool((self.finite == np.floor(self.finite)).all())

    @cached_property
    def has_age_suffix(self) -> bool:
        """Whether most values are DICOM ages such as "060Y"."""
        return self.share_matching(r"\d{1,3}\s*[YyMmWwDd]") > 0.5

    @cached_property
    def _sample(self) -> tuple[list[str], np.ndarray]:
        """Up to 300 distinct spellings, evenly spaced from the commonest to the rarest, with how often each occurs."""
        step = max(1, -(-self.num_distinct // _MOST_LOOKED_AT))
        return [str(value) for value in self.counts.index[::step]], self.counts.to_numpy()[::step]

    def share_matching(self, pattern: str) -> float:
        """Return the share of the filled rows whose whole value matches a regular expression, from a sample of them."""
        spellings, counts = self._sample
        matches = re.compile(pattern).fullmatch
        hits = np.fromiter((matches(value) is not None for value in spellings), dtype=bool, count=len(spellings))
        return float(counts[hits].sum() / max(counts.sum(), 1))

    def has_words(self, *wanted: str) -> bool:
        """Return whether the name holds any of the words."""
        return any(word in self._known_as for word in wanted)
