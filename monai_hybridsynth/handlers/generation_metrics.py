"""Judge samples from the prior at the end of a validation."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events
from monai.metrics import CumulativeIterationMetric
from torch import distributed, nn

__all__ = ["GenerationMetrics"]


class GenerationMetrics:
    """Adds the distance between generated and real validation images to an evaluator's metrics.

    Attach it before handlers that read the metrics. The codes are the same each time, so epochs are comparable.

    Args:
        generator: G, usually the averaged one.
        metric: a distance between two feature sets, e.g.
            :class:`monai_hybridsynth.metrics.KernelDistanceMetric`.
        features: frozen embedding, images ``(B, C, S, S)`` to ``(B, F)``, independent of ``generator``.
        name: name of the value in ``engine.state.metrics``.
        num_samples: images drawn.
        batch_size: images drawn at a time.
        seed: seed of the codes.
    """

    def __init__(
        self,
        generator: nn.Module,
        metric: CumulativeIterationMetric,
        features: nn.Module,
        *,
        name: str = "sample_kernel_distance",
        num_samples: int = 500,
        batch_size: int = 100,
        seed: int = 0,
    ) -> None:
        self.generator, self.metric, self.features, self.name = generator, metric, features, name
        self.batch_size = batch_size
        codes = torch.Generator().manual_seed(seed)
        drawn = torch.randn(num_samples, int(generator.latent_dim), generator=codes)  # type: ignore[arg-type]
        if distributed.is_initialized():  # each process draws its share; the metric gathers them
            drawn = drawn[distributed.get_rank() :: distributed.get_world_size()]
        self.codes = drawn
        self._real: list[torch.Tensor] = []

    def attach(self, engine: Engine) -> None:
        """Collect real features while ``engine`` runs, compare when it ends."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._forget)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def _forget(self) -> None:
        self._real = []

    def _collect(self, engine: Engine) -> None:
        images = torch.stack([torch.as_tensor(item["image"]) for item in engine.state.output])
        self._real.append(self.features(images))

    @torch.no_grad()
    def __call__(self, engine: Engine) -> None:
        """Draw, embed, compare."""
        codes = self.codes.to(engine.state.device).split(self.batch_size)
        fake = torch.cat([self.features(self.generator(batch)) for batch in codes])
        self.metric.reset()
        self.metric(fake, torch.cat(self._real))
        engine.state.metrics[self.name] = float(self.metric.aggregate())
        self.metric.reset()
        self._real = []
