"""Distance to the closest training record and the ratio to the second closest: diagnostics, not proofs of privacy."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch

__all__ = ["nearest_neighbour_ratio", "nearest_record_distance", "nearest_records"]


# Neighbours looked at beyond those asked for, so that rounding in the search cannot lose one.
SPARE = 6
# Columns of which only the smallest is ranked at first: the K smallest values lie in the K groups of smallest minima.
GROUP = 32
# Pairs beyond which faiss is worth its start, where it is installed.
MANY_PAIRS = 10**8
# Numbers in the array of differences of one exact check.
CHECKED_NUMBERS = 4_000_000
BACKENDS = ("auto", "torch", "faiss")


def nearest_records(
    candidates: torch.Tensor,
    training: torch.Tensor,
    *,
    num_neighbours: int = 1,
    block: int = 2048,
    backend: str = "auto",
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return distances to and indices of each candidate's closest training records, closest first.

    Single-precision matrix products find a few more neighbours than asked for; differences in double precision then
    measure and order them, so an exact copy has distance exactly 0. A row for which rounding could have hidden a
    neighbour is compared with everything: the result is that of the exhaustive search.

    Args:
        candidates: records to judge, shape ``(S, F)``, float, every column in training standard deviations.
        training: records the model was fitted on, shape ``(T, F)``, same scaling.
        num_neighbours: neighbours wanted, at most ``T``.
        block: candidates compared at a time, with four times as many training records; memory beyond the inputs in
            single precision is about ``6 * block * block`` numbers whatever the cohorts' sizes.
        backend: ``torch``, ``faiss`` (the extra ``search``), or ``auto``: faiss if installed and the search is large.

    Returns:
        Euclidean distances and indices into ``training``, both of shape ``(S, num_neighbours)``.

    Raises:
        ValueError: if the tables have different columns, ``training`` has too few rows or the backend is unknown.
        ImportError: if faiss is asked for and not installed.
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
    search = _search(training, num_neighbours + SPARE, block, _backend(backend, len(candidates) * len(training)))
    distances, indices = [torch.empty(0, num_neighbours).double()], [torch.empty(0, num_neighbours, dtype=torch.long)]
    for rows in candidates.split(block):
        found = (
            _exhaustive(rows, training, num_neighbours, block)
            if search is None
            else _checked(rows, training, num_neighbours, block, search(rows))
        )
        distances.append(found[0])
        indices.append(found[1])
    return torch.cat(distances), torch.cat(indices)


Found = tuple[torch.Tensor, torch.Tensor]


def _backend(backend: str, pairs: int) -> str:
    """Return which library searches."""
    if backend not in BACKENDS:
        raise ValueError(f"backend is {backend!r}; it must be one of {BACKENDS}.")
    installed = importlib.util.find_spec("faiss") is not None
    if backend == "faiss" and not installed:
        raise ImportError('faiss is not installed; run pip install "monai-hybridsynth[search]" or use backend="torch".')
    return "faiss" if backend == "faiss" or (backend == "auto" and installed and pairs > MANY_PAIRS) else "torch"


def _search(training: torch.Tensor, kept: int, block: int, backend: str) -> Callable[[torch.Tensor], Found] | None:
    """Return what finds ``kept`` neighbours with rounding (squared distances, indices); None where it saves nothing."""
    if 4 * kept >= len(training):
        return None
    # Around the origin less is lost to cancellation.
    centre = training.mean(dim=0)
    bank = (training - centre).float()
    if backend == "faiss":
        import faiss

        index = faiss.IndexFlatL2(bank.shape[1])
        index.add(bank.numpy())

        def search(rows: torch.Tensor) -> Found:
            squares, places = index.search((rows - centre).float().numpy(), kept)
            return torch.from_numpy(squares), torch.from_numpy(places)

        return search
    lengths = bank.square().sum(dim=1)
    return lambda rows: _products((rows - centre).float(), bank, lengths, kept, 4 * block)


def _products(rows: torch.Tensor, bank: torch.Tensor, lengths: torch.Tensor, kept: int, block: int) -> Found:
    """Return the ``kept`` smallest squared distances and where they are, by blocked matrix products."""
    best = torch.full((len(rows), 0), torch.inf)
    where = torch.zeros(len(rows), 0, dtype=torch.long)
    own = rows.square().sum(dim=1, keepdim=True)
    for start in range(0, len(bank), block):
        part = bank[start : start + block]
        squares = torch.addmm(lengths[start : start + block][None], rows, part.T, alpha=-2.0)
        found, places = _smallest(squares, kept)
        best, where = torch.cat([best, found], dim=1), torch.cat([where, places + start], dim=1)
        best, order = best.topk(min(kept, best.shape[1]), dim=1, largest=False)
        where = where.gather(1, order)
    return best + own, where


def _smallest(values: torch.Tensor, kept: int) -> Found:
    """Return the ``kept`` smallest values of each row and their columns, ranking groups of columns first."""
    groups = values.shape[1] // GROUP
    if groups <= 2 * kept:
        return values.topk(min(kept, values.shape[1]), dim=1, largest=False)
    whole = values[:, : groups * GROUP].view(len(values), groups, GROUP)
    first = whole.amin(dim=2).topk(kept, dim=1, largest=False).indices
    chosen = whole.gather(1, first[..., None].expand(-1, -1, GROUP)).flatten(1)
    columns = (first[..., None] * GROUP + torch.arange(GROUP)).flatten(1)
    rest = torch.arange(groups * GROUP, values.shape[1])
    chosen = torch.cat([chosen, values[:, groups * GROUP :]], dim=1)
    columns = torch.cat([columns, rest.expand(len(values), -1)], dim=1)
    smallest, order = chosen.topk(kept, dim=1, largest=False)
    return smallest, columns.gather(1, order)


def _checked(rows: torch.Tensor, training: torch.Tensor, num_neighbours: int, block: int, found: Found) -> Found:
    """Measure what a search found by differences; where rounding may have hidden a neighbour, compare with all."""
    squares, where = found
    where = where.sort(dim=1).values
    at_once = max(1, CHECKED_NUMBERS // max(where.shape[1] * rows.shape[1], 1))
    pairs = zip(rows.split(at_once), where.split(at_once), strict=True)
    gap = torch.cat([torch.linalg.vector_norm(part[:, None] - training[places], dim=2) for part, places in pairs])
    gap, order = gap.sort(dim=1, stable=True)
    gap, where = gap[:, :num_neighbours].clone(), where.gather(1, order)[:, :num_neighbours].clone()
    last = gap[:, -1]
    # A neighbour closer than the last one found is no longer than |x| + last, which bounds the error of its product.
    length = (rows - training.mean(dim=0)).norm(dim=1)
    error = (rows.shape[1] + 8) * torch.finfo(torch.float32).eps * (2 * length + last) ** 2
    unsure = (last**2 + error > squares.max(dim=1).values) & (last > 0)
    if unsure.any():
        gap[unsure], where[unsure] = _exhaustive(rows[unsure], training, num_neighbours, block)
    return gap, where


def _exhaustive(rows: torch.Tensor, training: torch.Tensor, num_neighbours: int, block: int) -> Found:
    """Compare with every training record, by differences."""
    best = torch.empty(len(rows), 0, dtype=rows.dtype)
    where = torch.empty(len(rows), 0, dtype=torch.long)
    for start in range(0, len(training), block):
        # Differences, not the expanded square: that one loses the zero of an exact copy to cancellation.
        gap = torch.cdist(rows, training[start : start + block], compute_mode="donot_use_mm_for_euclid_dist")
        best = torch.cat([best, gap], dim=1)
        where = torch.cat([where, torch.arange(start, start + gap.shape[1]).expand(len(rows), -1)], dim=1)
        best, order = best.topk(min(num_neighbours, best.shape[1]), dim=1, largest=False)
        where = where.gather(1, order)
    return best, where


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
