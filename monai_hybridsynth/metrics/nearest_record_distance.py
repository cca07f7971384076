"""Distance to the closest training record and the ratio to the second closest: diagnostics, not proofs of privacy."""

from __future__ import annotations

import torch

__all__ = ["nearest_neighbour_ratio", "nearest_record_distance", "nearest_records"]


def nearest_records(
    candidates: torch.Tensor, training: torch.Tensor, *, num_neighbours: int = 1, block: int = 2048
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return distances to and indices of each candidate's closest training records, closest first.

    Args:
        candidates: records to judge, shape ``(S, F)``, float, every column in training standard deviations.
        training: records the model was fitted on, shape ``(T, F)``, same scaling.
        num_neighbours: neighbours wanted, at most ``T``.
        block: rows compared at a time; memory is ``2 * block * block`` numbers whatever the cohorts' sizes.

    Returns:
        Euclidean distances and indices into ``training``, both of shape ``(S, num_neighbours)``.

    Raises:
        ValueError: if the tables have different columns or ``training`` has too few rows.
    """
    if candidates.ndim != 2 or training.ndim != 2 or candidates.shape[1] != training.shape[1]:
        raise ValueError(
            f"candidates are {tuple(candidates.shape)} but training is {tuple(training.shape)}; "
            "encode both tables with the same fitted RecordEncoder."
        )
    if not 1 <= num_neighbours <= len(training):
        raise ValueError(
            f"num_neighbours is {num_neighbours} but training has {len(training)} rows; "
            "ask for at least one and at most as many."
        )
    candidates, training = candidates.double(), training.double()
    distances, indices = [], []
    for rows in candidates.split(block):
        best = torch.empty(len(rows), 0, dtype=rows.dtype)
        where = torch.empty(len(rows), 0, dtype=torch.long)
        for start in range(0, len(training), block):
            # Differences, not the expanded square: that one loses the zero of an exact copy to cancellation.
            gap = torch.cdist(rows, training[start : start + block], compute_mode="donot_use_mm_for_euclid_dist")
            best = torch.cat([best, gap], dim=1)
            where = torch.cat([where, torch.arange(start, start + gap.shape[1]).expand(len(rows), -1)], dim=1)
            best, order = best.topk(min(num_neighbours, best.shape[1]), dim=1, largest=False)
            where = where.gather(1, order)
        distances.append(best)
        indices.append(where)
    if not distances:
        return torch.empty(0, num_neighbours), torch.empty(0, num_neighbours, dtype=torch.long)
    return torch.cat(distances), torch.cat(indices)


def nearest_record_distance(candidates: torch.Tensor, training: torch.Tensor) -> torch.Tensor:
    """Return how far each candidate record lies from its closest training record, shape ``(S,)``.

    A distance of zero is an exact copy of a patient. Compare the result with the same quantity for a held-out cohort
    before calling it a leak: real patients resemble each other too. And no alarm is no proof of the opposite: a model
    can leak membership without coming close to any record.

    Args and errors as in :func:`nearest_records`.

    Source:
        Platzer and Reutterer 2021, https://arxiv.org/abs/2104.00635, as named in this project's method notes. Differs
        from the paper: returns every distance; the caller chooses quantiles and the comparison.

    Example:
        >>> nearest_record_distance(torch.tensor([[0.0, 3.0]]), torch.tensor([[0.0, 0.0], [4.0, 3.0]]))
        tensor([3.], dtype=torch.float64)
    """
    return nearest_records(candidates, training)[0][:, 0]


def nearest_neighbour_ratio(candidates: torch.Tensor, training: torch.Tensor) -> torch.Tensor:
    """Return the distance to the closest training record over that to the second closest, shape ``(S,)``.

    Near 0, one single patient is much closer than all others; near 1, the record lies in a crowd. Where both
    distances are zero (the training table repeats itself) the ratio is 1.
    """
    distances = nearest_records(candidates, training, num_neighbours=2)[0]
    first, second = distances[:, 0], distances[:, 1]
    return torch.where(second > 0, first / second.clamp_min(torch.finfo(second.dtype).tiny), torch.ones_like(first))
