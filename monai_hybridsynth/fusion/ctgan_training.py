"""CTGAN's own training run on our spans: the hooks through which the ``ctgan`` package reads a table."""

from __future__ import annotations

import random
import warnings
from collections import namedtuple
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from monai_hybridsynth.fusion.table_spans import Span, TableSpans

__all__ = ["SpanTransformer", "build_generator", "fit_modes", "patient_sampler_class", "train_generator"]

SpanShape = namedtuple("SpanShape", ["dim", "activation_fn"])
CALIBRATION_BATCHES = 50


class SpanTransformer:
    """Stands where CTGAN expects its table transformer, and hands over a matrix that was made before.

    Args:
        spans: of the columns, in order.
        matrix: the encoded rows, shape ``(rows, spans.size)``.
    """

    def __init__(self, spans: TableSpans, matrix: np.ndarray) -> None:
        self.matrix = matrix
        self.output_dimensions = spans.size
        self.output_info_list = [_shape_of(span) for span in spans.spans]

    def fit(self, raw_data: pd.DataFrame, discrete_columns: Sequence[str] = ()) -> None:
        """Do nothing: the spans are fitted already."""

    def transform(self, raw_data: pd.DataFrame) -> np.ndarray:
        """Return the matrix."""
        return self.matrix


def _shape_of(span: Span) -> list[SpanShape]:
    """Describe one column as CTGAN does: a softmax, or a tanh with an optional mode softmax."""
    if span.is_discrete:
        return [SpanShape(span.size, "softmax")]
    return [SpanShape(1, "tanh")] + ([SpanShape(span.size - 1, "softmax")] if span.has_modes else [])


@cache
def patient_sampler_class() -> type:
    """Return CTGAN's sampler with rows weighted; a function, because ctgan is imported where it is used."""
    from ctgan.data_sampler import DataSampler

    class PatientSampler(DataSampler):
        """Draws rows with a probability proportional to their weight, and without a Python loop over the batch."""

        def weigh(self, weights: np.ndarray, log_frequency: bool) -> PatientSampler:
            """Make categories and rows count by patients."""
            self._all_rows = np.cumsum(weights)
            self._rows = [[np.asarray(rows) for rows in column] for column in self._rid_by_cat_cols]
            self._cumulative = [[np.cumsum(weights[rows]) for rows in column] for column in self._rows]
            for number, column in enumerate(self._cumulative):
                mass = np.array([rows[-1] if len(rows) else 0.0 for rows in column])
                mass = np.log(mass + 1) if log_frequency else mass
                self._discrete_column_category_prob[number, : len(mass)] = mass / mass.sum()
            return self

        def sample_data(self, data, n, col, opt):
            """Return ``n`` rows that have the wanted categories."""
            if col is None:
                level = np.random.random_sample(n) * self._all_rows[-1]  # noqa: NPY002 - seeded by CTGAN's random_state
                return data[np.minimum(np.searchsorted(self._all_rows, level, side="right"), len(data) - 1)]
            level = np.random.random_sample(len(col))  # noqa: NPY002 - seeded by CTGAN's random_state
            index = np.zeros(len(col), dtype=int)
            for pair in np.unique(np.stack([col, opt], axis=1), axis=0):
                wanted = (col == pair[0]) & (opt == pair[1])
                cumulative = self._cumulative[pair[0]][pair[1]]
                place = np.searchsorted(cumulative, level[wanted] * cumulative[-1], side="right")
                index[wanted] = self._rows[pair[0]][pair[1]][np.minimum(place, len(cumulative) - 1)]
            return data[index]

    return PatientSampler


@cache
def _hooked_ctgan_class() -> type:
    """Return CTGAN with our transformer and sampler hooked in."""
    from ctgan import CTGAN

    class HookedCTGAN(CTGAN):
        """CTGAN whose transformer and sampler are replaced at the moment its ``fit`` creates them."""

        def hook(self, transformer: SpanTransformer, weights: np.ndarray) -> HookedCTGAN:
            """Keep what the hooks need."""
            self.hooked_transformer, self.row_weights = transformer, weights
            return self

        @property
        def _transformer(self):
            """Return our transformer."""
            return getattr(self, "hooked_transformer", None)

        @_transformer.setter
        def _transformer(self, value) -> None:
            """Ignore the transformer that ``fit`` creates."""

        @property
        def _data_sampler(self):
            """Return the weighted sampler."""
            return getattr(self, "hooked_sampler", None)

        @_data_sampler.setter
        def _data_sampler(self, value) -> None:
            """Turn the sampler that ``fit`` creates into the weighted one."""
            if value is not None:
                value.__class__ = patient_sampler_class()
                value = value.weigh(self.row_weights, self._log_frequency)
            self.hooked_sampler = value

    return HookedCTGAN


def fit_modes(column: pd.Series, *, max_clusters: int, weight_threshold: float) -> np.ndarray:
    """Return means, standard deviations and shares of the modes that the package's own column transformer finds.

    Args:
        column: finite numbers.
        max_clusters: most modes.
        weight_threshold: modes that hold a smaller share of the rows are dropped.

    Returns:
        shape ``(3, modes)``.
    """
    from ctgan.data_transformer import DataTransformer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        info = DataTransformer(max_clusters, weight_threshold)._fit_continuous(column.to_frame())
    mixture, valid = info.transform._bgm_transformer, np.asarray(info.transform.valid_component_indicator)
    if not valid.any():
        return np.array([[column.mean()], [column.std(ddof=0) or 1.0], [1.0]])
    return np.stack([mixture.means_.reshape(-1), np.sqrt(mixture.covariances_.reshape(-1)), mixture.weights_])[:, valid]


def train_generator(
    spans: TableSpans,
    matrix: np.ndarray,
    weights: np.ndarray,
    *,
    seed: int,
    options: dict[str, Any],
    average_decay: float = 0.0,
) -> torch.nn.Module:
    """Run ``ctgan.CTGAN.fit`` on an encoded table and return its generator alone, on the CPU in evaluation mode.

    The global random states of Python, numpy and torch are as before afterwards. Batch-norm statistics are then taken
    anew over the generator's own samples (with categories in their true shares), because those of the last training
    steps are too noisy to sample with, and the batch's own would make a record depend on which others are drawn beside
    it.

    Args:
        spans: of the columns.
        matrix: encoded rows, shape ``(rows, spans.size)``.
        weights: one weight per row.
        seed: of everything random.
        options: arguments of ``ctgan.CTGAN``.
        average_decay: of the average of the generator's weights that is returned; 0 returns the last step's.
            Differs from Xu 2019, which has none. A generator keeps circling around its table, so that the mean of a
            column, say, depends on the step at which it stopped.
    """
    discrete = [span.name for span in spans.discrete]
    placeholder = pd.DataFrame({span.name: np.zeros(len(matrix)) for span in spans.spans})
    state = random.getstate()
    try:
        model = _hooked_ctgan_class()(**options).hook(SpanTransformer(spans, matrix), weights)
        model.set_random_state(seed)
        with _averaged_weights(model, average_decay) as average:
            model.fit(placeholder, discrete)
    finally:
        random.setstate(state)
    generator = model._generator.cpu()
    with torch.no_grad():
        for parameter, mean in zip(generator.parameters(), average, strict=bool(average)):
            parameter.copy_(mean)
    _calibrate(generator, spans, options["embedding_dim"], options["batch_size"], seed)
    return generator.eval().requires_grad_(False)


@contextmanager
def _averaged_weights(model: Any, decay: float) -> Iterator[list[torch.Tensor]]:
    """Average the weights of the model's generator over its optimiser's steps, into the list that is yielded.

    The decay grows as ``(1 + n) / (10 + n)`` up to ``decay``, so that the first weights are forgotten soon.
    """
    average: list[torch.Tensor] = []
    count = 0

    def follow(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        nonlocal count
        weights = [] if model._generator is None else [value.detach() for value in model._generator.parameters()]
        if not weights or optimizer.param_groups[0]["params"][0].data_ptr() != weights[0].data_ptr():
            return  # the critic's step, or another training in this process
        count += 1
        if not average:
            average.extend(value.clone() for value in weights)
        share = 1 - min(decay, (1 + count) / (10 + count))
        torch._foreach_lerp_(average, weights, share)

    handle = register_optimizer_step_post_hook(follow) if decay > 0 else None
    try:
        yield average
    finally:
        if handle is not None:
            handle.remove()


def build_generator(spans: TableSpans, *, embedding_dim: int, generator_dim: Sequence[int]) -> torch.nn.Module:
    """Return an untrained generator of the package's class, to be filled from an artifact."""
    from ctgan.synthesizers.ctgan import Generator

    with torch.random.fork_rng(devices=[]):
        generator = Generator(embedding_dim + spans.num_categories, tuple(generator_dim), spans.size)
    return generator.eval().requires_grad_(False)


def _calibrate(generator: torch.nn.Module, spans: TableSpans, embedding_dim: int, batch_size: int, seed: int) -> None:
    """Average the batch-norm statistics over the generator's own samples."""
    norms = [module for module in generator.modules() if isinstance(module, torch.nn.BatchNorm1d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    rng = np.random.default_rng(seed)
    generator.train()
    with torch.no_grad():
        for _ in range(CALIBRATION_BATCHES):
            noise = torch.from_numpy(rng.standard_normal((batch_size, embedding_dim), dtype=np.float32))
            generator(torch.cat([noise, spans.condition_vectors(spans.free_conditions(batch_size, rng))], dim=1))
