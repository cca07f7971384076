"""Which embeddings judge the images: what ``--features`` and ``--encoder`` may name, and what may not judge."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from monai_hybridsynth.data import Cohort, digest_folder
from monai_hybridsynth.evaluation.findings import FinishedStages
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort, row_groups
from monai_hybridsynth.evaluation.prediction_targets import ordered_scale, prediction_targets, target_matrix
from monai_hybridsynth.features import (
    PixelPCA,
    RandomConvolutionFeatures,
    SupervisedFeatures,
    find_encoder_weights,
    load_generator_encoder,
    load_network_file,
    load_xray_network,
)
from monai_hybridsynth.transforms import load_images

__all__ = ["Features", "Judges", "choose_judges", "refuse_features_of_the_synthetic", "train_supervised"]

Features = Callable[[torch.Tensor], torch.Tensor]

SUPERVISED = "supervised"
CHOICES = (
    "a folder that PixelPCA.save wrote, 'supervised', a TorchScript or torch.export file, or xrv:<weights> of "
    "torchxrayvision; leave it out for components of the real training images' pixels"
)
# More images would make components and the trained network little better and the wait longer.
MAXIMUM_FITTED_IMAGES = 1000
MAXIMUM_TRAINED_IMAGES = 5000
# Features fitted on a cohort are zero in its mean, to rounding; those of any other cohort are not, in 64 components.
CENTRED = 1e-3


@dataclass(frozen=True)
class Judges:
    """The embeddings of an evaluation.

    Attributes:
        judge: independent of every generator; all figures rest on it unless a dimension ``space`` says otherwise.
        spaces: further embeddings by name: ``texture``, and where asked for ``supervised`` and ``encoder``.
        codes: what the generator's own encoder itself makes of images, fitted on no patient here; None without one.
    """

    judge: Features
    spaces: dict[str, Features]
    codes: Features | None = None


def choose_judges(
    features: str | Path | Features | None,
    train: Cohort,
    *,
    encoder: str | Path | None = None,
    supervised: bool = False,
    notes: FinishedStages | None = None,
    spatial_size: int,
    seed: int,
) -> Judges:
    """Return the judge and the further spaces, fitted on real training patients where they need fitting.

    Args:
        features: the user's choice, or a callable from images ``(B, C, S, S)`` in [-1, 1] to ``(B, F)``.
        train: real training cohort.
        encoder: bundle, models folder or weight file of an alphaGAN, whose encoder becomes the space ``encoder`` and
            arms a membership attack.
        supervised: whether the space ``supervised`` is trained although another judge was chosen.
        notes: from which a training that an interrupted evaluation finished is taken.
        spatial_size: edge of the images in pixels.
        seed: of the training.

    Raises:
        ValueError: if a choice names nothing that can judge; the message says what can.
    """
    spaces: dict[str, Features] = {"texture": RandomConvolutionFeatures(train.schema.image.channels)}
    codes: Features | None = None
    if encoder is not None:
        network = load_generator_encoder(encoder, in_channels=train.schema.image.channels)
        spaces["encoder"] = network.fit(_training_images(train, MAXIMUM_FITTED_IMAGES, spatial_size=spatial_size)[0])
        codes = network.network
    if _text(features) == SUPERVISED:
        return Judges(train_supervised(train, notes=notes, spatial_size=spatial_size, seed=seed), spaces, codes)
    if supervised:
        try:
            spaces[SUPERVISED] = train_supervised(train, notes=notes, spatial_size=spatial_size, seed=seed)
        except ValueError as error:  # nobody asked for it by name: the evaluation is complete without it
            warnings.warn(f"no space {SUPERVISED!r}: {error}", stacklevel=2)
    return Judges(_judge(features, train, spatial_size=spatial_size), spaces, codes)


def _text(features: str | Path | Features | None) -> str:
    return str(features) if isinstance(features, str | Path) else ""


def _judge(features: str | Path | Features | None, train: Cohort, *, spatial_size: int) -> Features:
    """Return the judge that is not trained on labels."""
    if features is not None and not isinstance(features, str | Path):
        return features
    images = _training_images(train, MAXIMUM_FITTED_IMAGES, spatial_size=spatial_size)[0]
    if features is None:
        if len(images) < 2:
            raise ValueError(
                f"the training cohort {train.folder} has {len(images)} record; components of pixels need at least two."
            )
        return PixelPCA().fit(images)
    text, path = str(features), Path(features)
    if text.startswith("xrv:"):
        return load_xray_network(text.removeprefix("xrv:")).fit(images)
    if find_encoder_weights(path) is not None:
        raise ValueError(
            f"--features {text} is a generator's own encoder, which would judge its own work; give it as "
            "--encoder to see it as a further space, labelled so."
        )
    if (path / "features.json").is_file():
        return PixelPCA.load(path)
    if path.is_file():
        return load_network_file(path).fit(images)
    raise ValueError(f"--features {text} names no judge; it takes {CHOICES}.")


def train_supervised(
    train: Cohort, *, notes: FinishedStages | None = None, spatial_size: int, seed: int
) -> SupervisedFeatures:
    """Return features trained on every clinical column of the real training patients.

    Args:
        train: real training cohort; neither holdout nor synthetic records are ever given here.
        notes: from which a finished training is taken.
        spatial_size: edge of the images in pixels.
        seed: of the training.
    """
    images, rows = _training_images(train, MAXIMUM_TRAINED_IMAGES, spatial_size=spatial_size)
    table = train.table.iloc[rows].reset_index(drop=True)
    targets = prediction_targets(train.schema, train.schema.feature_names, table)
    labels = target_matrix(targets, table)
    is_binary = np.array([target.is_binary for target in targets], dtype=bool)
    for column in np.flatnonzero(~is_binary):
        labels[:, column] = ordered_scale(labels[:, column], labels[:, column])
    network = SupervisedFeatures(train.schema.image.channels, len(targets))

    def work() -> dict[str, np.ndarray]:
        groups = row_groups(train, "train")[rows]
        return network.fit(images, labels, groups, is_binary=is_binary, seed=seed).weights()

    if notes is None:
        work()
        return network
    return network.restore(notes.arrays_once(SUPERVISED, {"files": digest_folder(train.folder)}, work)).reduce(images)


def _training_images(train: Cohort, maximum: int, *, spatial_size: int) -> tuple[torch.Tensor, np.ndarray]:
    """Return every n-th training image, and its row."""
    step = max(-(-len(train) // maximum), 1)
    images = load_images(train.image_paths[::step], train.schema.image, spatial_size=spatial_size)
    return images, np.arange(len(train))[::step]


def refuse_features_of_the_synthetic(judge: Features, train: JudgedCohort, synthetic: Sequence[JudgedCohort]) -> None:
    """Raise if the judge's components were fitted on a synthetic cohort: it would look best in its own eyes.

    Raises:
        ValueError: naming the cohort.
    """
    if not isinstance(judge, PixelPCA):
        return
    for cohort in synthetic:
        fitted_here, fitted_on_real = (_is_centred(side) for side in (cohort, train))
        if fitted_here and not fitted_on_real:
            raise ValueError(
                f"the features were fitted on the synthetic cohort {cohort.name} ({cohort.cohort.folder}); fit them on "
                "real training images, or leave --features out."
            )


def _is_centred(cohort: JudgedCohort) -> bool:
    step = max(-(-len(cohort) // MAXIMUM_FITTED_IMAGES), 1)
    return bool(np.abs(cohort.features[::step].mean(0)).max() < CENTRED)
