"""CTGAN for the clinical row, a joint Gaussian for the image given the row: each model where it is good."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from monai_hybridsynth.fusion.conditional_gaussian_synthesizer import ConditionalGaussianSynthesizer
from monai_hybridsynth.fusion.conditioning import Conditions, FixedColumns, whole_number
from monai_hybridsynth.fusion.ctgan_synthesizer import CTGANSynthesizer
from monai_hybridsynth.fusion.latent_link import LatentLink
from monai_hybridsynth.fusion.synthesizer import read_artifact, require_fitted, write_artifact
from monai_hybridsynth.fusion.table_layout import latent_columns

if TYPE_CHECKING:
    from monai_hybridsynth.data.record_schema import RecordSchema

__all__ = ["FactorisedCTGANSynthesizer"]

# Chosen on an inner split of patients among seven variants: columns as alike as with the preset, a third of its time.
TABLE: dict[str, Any] = {
    "preset": "tuned",
    "steps": 1000,
    "batch_size": 100,
    "generator_lr": 1e-3,
    "discriminator_lr": 1e-3,
}
BLOCK = 1024
CANDIDATES = 64
LINK_RECORDS = 20_000


class FactorisedCTGANSynthesizer:
    """Draw clinical rows with CTGAN, then the latents of the image given the row.

    CTGAN is made for the mixed columns of a clinical table; with a hundred latents beside them it loses the link
    between image and row. So it learns the clinical columns alone, and the link is that of
    `ConditionalGaussianSynthesizer`, whose joint normal distribution is conditioned on the drawn row.

    Fixed clinical columns are met as `CTGANSynthesizer` meets them, and the latents follow the completed row. Where
    latents are fixed, 64 candidate rows are drawn for each record and one is taken with a probability proportional to
    the likelihood of the latents given the row (sampling importance resampling), so the row follows the image; the
    other latents are drawn given both. That likelihood is a linear approximation (`LatentLink`), and 64 candidates hold
    few rare categories: where the image decides, `ConditionalGaussianSynthesizer` conditions in closed form.

    The artifact holds those of the two parts, in folders ``table`` and ``image``.

    Args:
        table: arguments of the `CTGANSynthesizer` of the clinical columns that differ from `TABLE`.
        image: arguments of the `ConditionalGaussianSynthesizer` of the latents.
        minimum_patients: patients that must share a category, and that each end of a range stands for.
        public_encoder: of the latents' synthesizer.
        progress: whether to show a progress bar.

    Example:
        >>> synthesizer = FactorisedCTGANSynthesizer().fit(table, schema, seed=0)
        >>> synthesizer.sample(100, conditions={"sex": "F", "latent_000": 1.5}, seed=1)
    """

    def __init__(
        self,
        *,
        table: Mapping[str, Any] | None = None,
        image: Mapping[str, Any] | None = None,
        minimum_patients: int = 5,
        public_encoder: str | Path | None = None,
        progress: bool = True,
    ) -> None:
        for name, arguments in (("table", table), ("image", image)):
            if "public_encoder" in (arguments or {}):
                raise ValueError(f"{name} has a public_encoder; give it to FactorisedCTGANSynthesizer itself.")
        self.table = dict(table or {})
        self.image = dict(image or {})
        self.minimum_patients = minimum_patients
        self.public_encoder = public_encoder
        self.progress = progress

    def fit(self, table: pd.DataFrame, schema: RecordSchema, *, seed: int) -> FactorisedCTGANSynthesizer:
        """Learn the clinical columns, then their joint distribution with the latents.

        Args:
            table: parsed clinical columns, ``latent_*`` columns and, for weighting only, ``patient_id``; ``(rows,
                columns)``.
            schema: of the clinical columns.
            seed: the same table, seed and machine give the same model.

        Raises:
            ValueError: if the table does not fit the schema, has missing latents or no clinical column that varies.
        """
        shared: dict[str, Any] = {"minimum_patients": self.minimum_patients}
        gaussian = ConditionalGaussianSynthesizer(**shared, public_encoder=self.public_encoder, **self.image)
        rows = CTGANSynthesizer(**shared, progress=self.progress, **(TABLE | self.table))
        # The Gaussian first: it refuses a wrong table within a second.
        self.image_ = gaussian.fit(table, schema, seed=seed)
        self.table_ = rows.fit(table.drop(columns=latent_columns(table)), schema, seed=seed)
        self.link_ = self._fit_link(seed=seed)
        return self

    def sample(self, num_records: int, *, conditions: Conditions | None = None, seed: int) -> pd.DataFrame:
        """Draw records.

        Args:
            num_records: how many.
            conditions: one value per column for all records, or a table with one row per record; clinical and latent
                columns. Requested values are returned unchanged.
            seed: the same seed gives the same records.

        Returns:
            the fitted table's clinical and latent columns, its order and dtypes.
        """
        require_fitted(self, "table_", call="sample")
        layout = self.image_.layout_
        fixed = FixedColumns.read(conditions, layout, num_records)
        values = pd.DataFrame(index=range(num_records)) if fixed is None else fixed.values
        latents = values[latent_columns(values)]
        clinical = values.drop(columns=latents.columns)
        entropy = whole_number("seed", seed, least=0)
        seeds = [int(number) for number in np.random.SeedSequence(entropy).generate_state(2)]
        if latents.shape[1]:
            rows = self._rows_of_images(clinical, latents, seeds[0])
        else:
            rows = self.table_.sample(num_records, conditions=clinical, seed=seeds[0])
        if not layout.latent_names:
            return rows
        return self.image_.sample(num_records, conditions=pd.concat([rows, latents], axis=1), seed=seeds[1])

    def _fit_link(self, *, seed: int) -> LatentLink:
        """Learn how likely latents are given a row.

        From the model's own records, so that it says nothing of patients that the two parts do not say; their latents
        are drawn as learned, since it is latents of real images, not of images to be decoded, that it judges.
        """
        encoder, names = self.image_.layout_.encoder, self.image_.layout_.latent_names
        rows = self.table_.sample(LINK_RECORDS if names else 1, seed=seed)
        learned = copy(self.image_)
        learned.link_gain = learned.image_spread = 1.0
        records = learned.sample(len(rows), conditions=rows, seed=seed)
        return LatentLink.fit(records[names].to_numpy(dtype=float), records[encoder.names], encoder)

    def save(self, folder: str | Path) -> Path:
        """Write both parts below the folder; no pickle, no row."""
        require_fitted(self, "table_", call="save")
        arguments = {"table": self.table, "image": self.image, "minimum_patients": self.minimum_patients}
        self.table_.save(Path(folder) / "table")
        self.image_.save(Path(folder) / "image")
        return write_artifact(folder, type(self).__name__, {"arguments": arguments}, vars(self.link_))

    @classmethod
    def load(cls, folder: str | Path) -> FactorisedCTGANSynthesizer:
        """Read an artifact that ``save`` wrote; it samples as the saved synthesizer did."""
        content, arrays = read_artifact(folder, cls.__name__)
        synthesizer = cls(**content["arguments"])
        synthesizer.table_ = CTGANSynthesizer.load(Path(folder) / "table")
        synthesizer.image_ = ConditionalGaussianSynthesizer.load(Path(folder) / "image")
        synthesizer.link_ = LatentLink(**arrays)
        return synthesizer

    def _rows_of_images(self, clinical: pd.DataFrame, latents: pd.DataFrame, seed: int) -> pd.DataFrame:
        """Draw one row per record that fits its fixed latents."""
        rng = np.random.default_rng(seed)
        layout = self.image_.layout_
        chosen = [layout.latent_names.index(name) for name in latents.columns]
        parts = []
        for start in range(0, len(latents), BLOCK):
            images = latents.iloc[start : start + BLOCK].to_numpy(dtype=float)
            repeated = np.repeat(np.arange(start, start + len(images)), CANDIDATES)
            wanted = clinical.iloc[repeated].reset_index(drop=True)
            rows = self.table_.sample(len(wanted), conditions=wanted, seed=int(rng.integers(2**31)))
            fit = self.link_.log_likelihood(images, rows, layout.encoder, chosen=chosen)
            # The largest of log weights plus Gumbel noise is a draw by the weights.
            taken = (fit + rng.gumbel(size=fit.shape)).argmax(axis=1) + CANDIDATES * np.arange(len(fit))
            parts.append(rows.iloc[taken])
        return pd.concat(parts, ignore_index=True)
