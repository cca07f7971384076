"""What the benchmarks of synthesizers share: cohorts split by patient, images to latents and back, and the judges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import save_file
from sklearn.decomposition import PCA

from monai_hybridsynth.data import Cohort, RecordSchema, split_patients, write_phantom_cohort
from monai_hybridsynth.data.patient_split import target_classes
from monai_hybridsynth.evaluation.correspondence import correspondence_metrics
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort, embed_cohort, read_real_cohort, row_groups
from monai_hybridsynth.evaluation.judges import choose_judges
from monai_hybridsynth.evaluation.membership import membership_findings
from monai_hybridsynth.fusion import RecordSynthesizer, latent_columns
from monai_hybridsynth.networks import AlphaGanEncoder, AlphaGanGenerator
from monai_hybridsynth.workflows import join_latents, prepare_cohort

SHIPPED = Path(__file__).resolve().parents[1] / "bundles" / "cxr_alpha_gan" / "models"
Figures = dict[str, list[float | None]]


@dataclass(frozen=True)
class Source:
    """A cohort folder and how it is read.

    Attributes:
        targets: columns that stratify the split.
        modality: as `prepare_cohort` takes it.
        exclude: file beside the records that lists patients to leave out, one per line.
    """

    targets: tuple[str, ...]
    modality: str | None = None
    exclude: str | None = None


SOURCES = {
    "nih_cxr14_sample": Source(("View Position", "Patient Gender", "Finding_Labels")),
    "nih1000_64": Source(("View Position", "Patient Gender", "Finding Labels"), exclude="shared_patients.txt"),
    "hannover_covid": Source(("icu_admission_offset",)),
    "ct_ich": Source(("any_haemorrhage=No_Hemorrhage:equals:0",), modality="head_ct"),
    "phantom": Source(("opacity_side", "outcome", "cardiothoracic_ratio")),
}
PHANTOMS = 900


@dataclass(frozen=True)
class ImageCodec:
    """Images ``(N, 1, S, S)`` to latents ``(N, size)`` and back."""

    encode: Callable[[torch.Tensor], np.ndarray]
    decode: Callable[[np.ndarray], torch.Tensor]


@dataclass(frozen=True)
class Split:
    """Training and held-out patients of one split, dealt by targets, and what their images are embedded by."""

    train: JudgedCohort
    holdout: JudgedCohort
    embeddings: dict[str, Callable[[torch.Tensor], torch.Tensor]]

    def table(self, codec: ImageCodec, side: str = "train") -> pd.DataFrame:
        """Return the latent table of one side."""
        judged: JudgedCohort = getattr(self, side)
        return join_latents(judged.cohort, codec.encode(judged.images()))

    def drawn(self, records: pd.DataFrame, images: torch.Tensor) -> JudgedCohort:
        """Return synthetic records as the judges see them; pixels are rounded as in a cohort folder."""
        pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        rounded = pixels.float() / 127.5 - 1
        cohort = without_images(self.train.cohort, records)
        with torch.no_grad():
            seen = {
                name: torch.cat([embed(part) for part in rounded.split(256)]).double().numpy()
                for name, embed in self.embeddings.items()
            }
        groups = row_groups(cohort, "synthetic")
        return JudgedCohort("synthetic", "synthetic", cohort, seen.pop(""), groups, None, pixels.numpy(), seen)

    def sample(self, synthesizer: RecordSynthesizer, codec: ImageCodec, count: int, *, seed: int) -> JudgedCohort:
        """Draw records, decode them and show them to the judges."""
        records = synthesizer.sample(count, seed=seed)
        names = latent_columns(records)
        return self.drawn(records.drop(columns=names), codec.decode(records[names].to_numpy(dtype=np.float32)))


def without_images(cohort: Cohort, table: pd.DataFrame) -> Cohort:
    """Return a cohort with other rows, whose images are given otherwise."""
    return replace(cohort, table=table, image_paths=[Path()] * len(table))


def inner_cohorts(
    split: Split, table: pd.DataFrame, draw: Callable[[pd.DataFrame, RecordSchema], pd.DataFrame], *, seed: int
) -> tuple[JudgedCohort, JudgedCohort, JudgedCohort]:
    """Return two parts of the training patients and records drawn from the first; their features are the latents.

    Args:
        split: of which only the training patients are used.
        table: their latent table.
        draw: records of the rows of the first part and their schema.
        seed: of the inner split.
    """
    cohort = split.train.cohort
    patients = cohort.table[str(cohort.schema.group_name)]
    sides = split_patients(patients, target_classes(cohort.table, cohort.schema), seed=seed).to_numpy()
    names = latent_columns(table)
    scale = table[names].std().to_numpy()

    def judged(role: str, rows: pd.DataFrame, groups: np.ndarray) -> JudgedCohort:
        codes = rows[names].to_numpy(dtype=float)
        features = codes / scale - (codes / scale).mean(0)
        inner = without_images(cohort, rows.drop(columns=names))
        return JudgedCohort(role, role, inner, features, groups, codes=codes)

    places = [np.flatnonzero(sides == role) for role in ("train", "holdout")]
    parts = [table.iloc[place].reset_index(drop=True) for place in places]
    train, holdout = (
        judged(role, rows, split.train.groups[place])
        for role, rows, place in zip(("train", "holdout"), parts, places, strict=True)
    )
    records = draw(parts[0], cohort.schema)
    return train, holdout, judged("synthetic", records, np.arange(len(records)).astype(str).astype(object))


def prepared_split(data: Path, name: str, seed: int, work: Path) -> Path:
    """Return the folder of a cohort split by patient with ``seed``; prepared once."""
    source, out = SOURCES[name], work / name / f"split_{seed}"
    if (out / "schema.json").is_file():
        return out
    folder, kept = data / name, work / name / "kept"
    if name == "phantom":
        folder = kept
        if not (kept / "records.csv").is_file():
            write_phantom_cohort(kept, PHANTOMS, seed=0, spatial_size=64)
    if source.exclude is not None:
        left_out = set((folder / source.exclude).read_text().split())
        records = pd.read_csv(folder / "records.csv", dtype=str, keep_default_na=False)
        kept.mkdir(parents=True, exist_ok=True)
        records[~records["patient_id"].isin(left_out)].to_csv(kept / "records.csv", index=False)
        if not (kept / "images").exists():
            (kept / "images").symlink_to((folder / "images").resolve())
        folder = kept
    prepare_cohort(folder, out, targets=source.targets, modality=source.modality, seed=seed)
    return out


def read_split(data: Path, name: str, seed: int, work: Path, *, spatial_size: int = 64) -> Split:
    """Return a split of a cohort by its name."""
    return split_of_folder(prepared_split(data, name, seed, work), spatial_size=spatial_size)


def split_of_folder(folder: Path, *, spatial_size: int = 64) -> Split:
    """Return a prepared cohort with the judges fitted on its training images."""
    train = read_real_cohort(folder / "train")
    holdout = read_real_cohort(folder / "holdout", schema=train.schema)
    judges = choose_judges(None, train, spatial_size=spatial_size, seed=0)

    def embed(cohort: Cohort, role: str) -> JudgedCohort:
        return embed_cohort(cohort, judges.judge, name=role, role=role, spatial_size=spatial_size, spaces=judges.spaces)

    return Split(embed(train, "train"), embed(holdout, "holdout"), {"": judges.judge, **judges.spaces})


def alpha_gan_codec(encoder: Path, generator: Path, *, spatial_size: int = 64, latent_dim: int = 128) -> ImageCodec:
    """Return the encoder and generator of an alphaGAN with one channel."""
    networks: list[Any] = [
        AlphaGanEncoder(2, 1, spatial_size, latent_dim),
        AlphaGanGenerator(2, 1, spatial_size, latent_dim),
    ]
    for network, path in zip(networks, (encoder, generator), strict=True):
        network.load_state_dict(torch.load(path, weights_only=True))
        network.eval()

    @torch.no_grad()
    def encode(images: torch.Tensor) -> np.ndarray:
        return torch.cat([networks[0](part) for part in images.split(200)]).numpy()

    @torch.no_grad()
    def decode(latents: np.ndarray) -> torch.Tensor:
        return torch.cat([networks[1](part) for part in torch.from_numpy(latents).split(200)])

    return ImageCodec(encode, decode)


def shipped_codec(name: str) -> ImageCodec:
    """Return the shipped alphaGAN for a cohort."""
    suffix = _suffix(name)
    return alpha_gan_codec(SHIPPED / f"encoder{suffix}.pt", SHIPPED / f"model{suffix}.pt")


def public_encoder(name: str) -> Path:
    """Return what is publicly known of the shipped encoder for a cohort; the bundle gives it to synthesizers."""
    return SHIPPED / f"encoder_public{_suffix(name)}.safetensors"


def _suffix(name: str) -> str:
    return "_head_ct" if SOURCES[name].modality == "head_ct" else ""


def components_encoder(path: Path, latent_dim: int) -> Path:
    """Write what is publicly known of components of public images: they are the axes, and change pixels alike."""
    same = np.eye(latent_dim, dtype=np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"axes": same, "directions": same, "changes": np.ones(latent_dim, dtype=np.float32)}, path)
    return path


def component_codec(images: torch.Tensor, latent_dim: int) -> ImageCodec:
    """Return as many principal components of pixels, fitted on the images given."""
    pca = PCA(latent_dim, svd_solver="randomized", random_state=0).fit(images.flatten(1).numpy())
    shape = images.shape[1:]

    def encode(seen: torch.Tensor) -> np.ndarray:
        return pca.transform(seen.flatten(1).numpy()).astype(np.float32)

    def decode(latents: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(pca.inverse_transform(latents)).float().view(-1, *shape).clamp(-1, 1)

    return ImageCodec(encode, decode)


def judged_figures(
    train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort, *, seed: int, num_replicates: int
) -> Figures:
    """Return agreement over all columns with its interval, forward and reverse, by both predictors."""
    found: Figures = {}
    for metric in correspondence_metrics(train, holdout, synthetic, seed=seed, num_replicates=num_replicates):
        if metric.column is None:
            predictor = metric.dimensions["predictor"]
            found[f"{metric.name.removeprefix('agreement_')} {predictor}"] = [metric.value, metric.low, metric.high]
    return found


def membership_figures(train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort, *, seed: int) -> Figures:
    """Return the AUROC of the attack that was strongest on other patients, per view, with its interval."""
    return {
        f"membership {metric.dimensions['view']}": [metric.value, metric.low, metric.high]
        for metric in membership_findings(train, holdout, synthetic, seed=seed).metrics
        if metric.name == "membership_auroc"
        and metric.dimensions["attack"] == "strongest"
        and metric.dimensions["stratum"] == "all"
    }


def resampled_patients(splits: Sequence[Sequence[str]], num_replicates: int) -> Iterator[np.ndarray]:
    """Return how often each row counts, per split of rows' patients: once, then in samples of all splits' patients.

    The same sample for every split, and for every call with the same patients, so that means over splits and
    differences are paired; shape ``(1 + num_replicates, rows)``.
    """
    patients = sorted({patient for rows in splits for patient in rows})
    place = {patient: number for number, patient in enumerate(patients)}
    draws = np.random.default_rng(0).multinomial(
        len(patients), np.full(len(patients), 1 / len(patients)), num_replicates
    )
    weights = np.concatenate([np.ones((1, len(patients)), dtype=int), draws])
    return (weights[:, [place[patient] for patient in rows]] for rows in splits)


def averaged(cells: list[Figures]) -> Figures:
    """Return values and limits averaged over splits; the limits stay those of one split, which is cautious."""
    names = dict.fromkeys(name for cell in cells for name in cell)
    found: Figures = {}
    for name in names:
        known = [cell[name] for cell in cells if name in cell and None not in cell[name]]
        found[name] = [None] * 3 if not known else [float(np.mean(values)) for values in zip(*known, strict=True)]
    return found


def cell_text(values: list[float | None] | None) -> str:
    """Format a value with its interval."""
    if not values or values[0] is None:
        return "not estimable"
    return f"{values[0]:.2f} [{values[1]:.2f}, {values[2]:.2f}]"
