"""What a study computes: floating-point operations of networks, and hours and operations per hundredth of AUROC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.networks.utils import eval_mode, train_mode
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["cost_rows", "diffusion_cost", "network_flops"]

_BATCH = 2


def network_flops(network: nn.Module, *inputs: torch.Tensor) -> tuple[float, float]:
    """Return the operations of one record, forwards and in a training step (forwards and backwards).

    Args:
        network: called with ``inputs``; left as it was.
        inputs: batches of at least two records.
    """
    count = len(inputs[0])
    state = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.random.fork_rng(), eval_mode(network), FlopCounterMode(display=False) as forward:
        network(*inputs)
    with torch.random.fork_rng(), train_mode(network), FlopCounterMode(display=False) as step:
        network(*inputs).float().sum().backward()
    network.zero_grad(set_to_none=True)
    network.load_state_dict(state)  # batch norm has counted the batches
    return forward.get_total_flops() / count, step.get_total_flops() / count


def diffusion_cost(
    network: nn.Module,
    *,
    spatial_size: int,
    images_trained: int,
    evaluations: int,
    images_drawn: int,
    training_hours: float,
    sampling_hours: float,
) -> dict[str, float]:
    """Return what a conditional diffusion model and its replicas cost, as the study's config takes it.

    Args:
        network: :class:`monai_hybridsynth.networks.ConditionalUNet`.
        spatial_size: pixels a side.
        images_trained: images in all its training batches.
        evaluations: network evaluations per drawn image.
        images_drawn: images of the synthetic cohort.
        training_hours: measured, of one core or device.
        sampling_hours: measured.
    """
    images = torch.zeros(_BATCH, int(network.in_channels), spatial_size, spatial_size)  # type: ignore[arg-type]
    forward, step = network_flops(network, images, torch.zeros(_BATCH, dtype=torch.long))
    return {
        "training_flops": step * images_trained,
        "training_hours": training_hours,
        "sampling_flops": forward * evaluations * images_drawn,
        "sampling_hours": sampling_hours,
    }


def cost_rows(
    gains: Sequence[Mapping[str, Any]],
    classifiers: Mapping[tuple[str, int, int], Mapping[str, float]],
    generators: Mapping[str, Mapping[str, float]],
) -> list[dict[str, Any]]:
    """Return what each arm computes, and how much of it a hundredth of macro AUROC took.

    A supplemented arm is charged the whole training of its generator, the drawing of the records that it uses, and the
    training of its classifier.

    Args:
        gains: per arm, size and percent: ``arm``, ``real_percent``, ``percent``, ``synthetic``, ``test``, and
            ``gain``, ``low`` of macro AUROC over the real arm of the same size.
        classifiers: mean ``flops`` and ``hours`` of a training, and ``drawn``, the share of its synthetic cohort that
            it uses, by arm, size and percent.
        generators: by synthetic cohort, the keys of :func:`diffusion_cost`; may be incomplete.

    Returns:
        One row per gain; ``flops_per_hundredth`` is None where the gain's interval includes 0 or a cost is not stated.
    """
    rows = []
    for gain in gains:
        own = classifiers[(gain["arm"], gain["real_percent"], gain["percent"])]
        made = generators.get(gain["synthetic"] or "", {})
        row = {name: gain[name] for name in ("arm", "real_percent", "percent", "test")}
        for unit in ("flops", "hours"):
            drawing = made.get(f"sampling_{unit}")
            parts = [made.get(f"training_{unit}"), None if drawing is None else own["drawn"] * drawing, own[unit]]
            for name, part in zip(("generator", "sampling", "classifier"), parts, strict=True):
                row[f"{name}_{unit}"] = part
            known = [part for part in parts if part is not None]
            total = sum(known) if len(known) == len(parts) else None
            proven = gain["low"] is not None and gain["low"] > 0
            row[f"{unit}_per_hundredth"] = total / (100 * gain["gain"]) if proven and total is not None else None
        rows.append(row)
    return rows
