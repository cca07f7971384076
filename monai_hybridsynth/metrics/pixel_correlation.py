"""Maximal pixel correlation: does an image show another one, moved, resized, mirrored or with other grey values?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch

__all__ = ["PixelMatches", "PixelMove", "equalised", "maximal_pixel_correlation", "pixel_moves"]

# The middle of the candidate that is compared: moved and enlarged by what is searched, it stays inside the bank image.
WINDOW = 0.8
FLAT = 1e-6


@dataclass(frozen=True)
class PixelMove:
    """How an image of the bank is laid over a candidate.

    Attributes:
        down: rows by which it is moved, as a share of its height.
        right: columns by which it is moved, as a share of its width.
        scale: by how much it is enlarged about its middle.
        mirrored: whether left and right change places.
    """

    down: float = 0.0
    right: float = 0.0
    scale: float = 1.0
    mirrored: bool = False

    def words(self, spatial_size: int) -> str:
        """Return the move in words, pixels counted on images of that edge."""
        moved = [f"{self.down * spatial_size:+.1f} px down", f"{self.right * spatial_size:+.1f} px right"]
        parts = [text for text, amount in zip(moved, (self.down, self.right), strict=True) if amount]
        parts += [f"scaled by {self.scale:.2f}"] if self.scale != 1 else []
        parts += ["mirrored"] if self.mirrored else []
        return ", ".join(parts) or "in place"


@dataclass(frozen=True)
class PixelMatches:
    """What was found for each candidate, the best first.

    Attributes:
        correlation: highest over all moves, float32 ``(S, K)``.
        index: which image of the bank, int64 ``(S, K)``; no image stands twice in a row.
        move: which of ``moves``, int64 ``(S, K)``.
        moves: what was searched.
    """

    correlation: torch.Tensor
    index: torch.Tensor
    move: torch.Tensor
    moves: Sequence[PixelMove]


def pixel_moves(
    *,
    shifts: Sequence[float] = (-3 / 64, -1.5 / 64, 0.0, 1.5 / 64, 3 / 64),
    scales: Sequence[float] = (0.8, 0.9, 1.0, 1.12, 1.25),
    mirrored: Sequence[bool] = (False, True),
) -> list[PixelMove]:
    """Return every combination; the defaults search three pixels of 64 and a quarter of the size either way."""
    return [PixelMove(*parts) for parts in product(shifts, shifts, scales, mirrored)]


def equalised(images: torch.Tensor) -> torch.Tensor:
    """Replace grey values by their rank in their image, so that no gamma, window or contrast is left.

    Args:
        images: ``(N, C, H, W)``, any monotone scale; channels are averaged.

    Returns:
        Mid-ranks in [0, 1], float32 ``(N, H, W)``; equal grey values keep equal ranks.
    """
    flat = images.float().mean(dim=1).flatten(1)
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    codes = ((flat - low) / (high - low).clamp_min(1e-12) * 255).round().long()
    counts = torch.zeros(len(flat), 256).scatter_add_(1, codes, torch.ones_like(flat))
    middle = (counts.cumsum(1) - 0.5 * counts) / max(flat.shape[1], 1)
    return middle.gather(1, codes).view(len(images), *images.shape[2:])


def maximal_pixel_correlation(
    candidates: torch.Tensor,
    bank: torch.Tensor,
    *,
    moves: Sequence[PixelMove] | None = None,
    num_best: int = 1,
    edge: int = 16,
    block: int = 512,
) -> PixelMatches:
    """Return each candidate's highest correlation with an image of the bank over all moves.

    Grey values are replaced by ranks, the middle of the candidate and the moved bank image are blurred and reduced to
    ``edge`` cells a side, the mean of all bank images is taken off (patients look alike; what is left is what tells
    them apart), and both are scaled to unit length: a matrix product per move then correlates everything with
    everything. Cost grows with candidates times bank; shortlist both sides beyond a few thousand.

    Args:
        candidates: images ``(S, C, H, W)`` to judge.
        bank: images ``(T, C, H, W)`` that may have been copied, same size.
        moves: what is searched; None for :func:`pixel_moves`.
        num_best: bank images wanted per candidate, at most ``T``.
        edge: cells along a side of the reduced images.
        block: bank images compared at a time; memory is ``S * block`` numbers.

    Raises:
        ValueError: if sizes differ, an image is smaller than ``edge`` or the bank is too small.

    Source:
        Maximal correlation over small moves as a copy detector, a wish of this project; thresholds from held-out
        patients as in Dar et al. 2025, https://arxiv.org/abs/2402.01054.
    """
    if candidates.ndim != 4 or bank.ndim != 4 or candidates.shape[2:] != bank.shape[2:]:
        raise ValueError(
            f"candidates are {tuple(candidates.shape)} but bank is {tuple(bank.shape)}; "
            "read both with the same spatial_size."
        )
    if not 1 <= num_best <= len(bank) or min(bank.shape[2:]) < edge:
        raise ValueError(
            f"num_best {num_best} must lie in 1 ... {len(bank)} (images in bank), and images of "
            f"{tuple(bank.shape[2:])} pixels must have at least edge = {edge} a side."
        )
    moves = pixel_moves() if moves is None else list(moves)
    targets = [equalised(part) for part in bank.split(block)]
    centre = _centre(targets, edge)
    parts = [_reduced(equalised(part), edge) for part in candidates.split(block)]
    looked_for = _unit(torch.cat(parts) - centre) if parts else torch.zeros(0, edge * edge)
    kept: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    start = 0
    for target in targets:
        score, where = _highest(looked_for, target, moves, centre, edge=edge)
        score, order = score.topk(min(num_best, score.shape[1]), dim=1)
        kept.append((score, order + start, where.gather(1, order).long()))
        start += len(target)
    score, index, number = (torch.cat(column, dim=1) for column in zip(*kept, strict=True))
    score, order = score.topk(num_best, dim=1)
    return PixelMatches(score.clamp(-1, 1), index.gather(1, order), number.gather(1, order), moves)


def _highest(
    looked_for: torch.Tensor, target: torch.Tensor, moves: Sequence[PixelMove], centre: torch.Tensor, *, edge: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the highest correlation over all moves, ``(S, T)``, and which move it was."""
    score = torch.full((len(looked_for), len(target)), -2.0)
    where = torch.zeros(len(looked_for), len(target), dtype=torch.int16)
    squeezed: dict[tuple[float, float, bool], torch.Tensor] = {}
    for number, move in enumerate(moves):
        sideways = (move.right, move.scale, move.mirrored)
        if sideways not in squeezed:
            squeezed[sideways] = _squeezed(target, move, edge)
        found = looked_for @ _unit(_stacked(squeezed[sideways], move, edge) - centre).T
        where.masked_fill_(found > score, number)
        torch.maximum(score, found, out=score)
    return score, where


def _centre(targets: Sequence[torch.Tensor], edge: int) -> torch.Tensor:
    """Return the mean reduced bank image, mirrored ones included, shape ``(edge * edge,)``."""
    mean = torch.cat([target.mean(0, keepdim=True) * len(target) for target in targets]).sum(0)
    mean = mean / sum(len(target) for target in targets)
    return _reduced(((mean + mean.flip(-1)) / 2)[None], edge)[0]


def _reduced(images: torch.Tensor, edge: int) -> torch.Tensor:
    """Return the middle of images ``(N, H, W)`` in place, blurred and reduced, ``(N, edge * edge)``."""
    return _stacked(_squeezed(images, PixelMove(), edge), PixelMove(), edge)


def _squeezed(images: torch.Tensor, move: PixelMove, edge: int) -> torch.Tensor:
    """Return images ``(N, H, W)`` moved and reduced along their width, shape ``(H, N * edge)``."""
    columns = _sampling(images.shape[2], edge, move.right, move.scale)
    columns = columns.flip(1) if move.mirrored else columns
    return (images @ columns.T).permute(1, 0, 2).reshape(images.shape[1], -1)


def _stacked(squeezed: torch.Tensor, move: PixelMove, edge: int) -> torch.Tensor:
    """Return what :func:`_squeezed` made, moved and reduced along its height too, shape ``(N, edge * edge)``."""
    rows = _sampling(squeezed.shape[0], edge, move.down, move.scale)
    return (rows @ squeezed).view(edge, -1, edge).permute(1, 0, 2).reshape(-1, edge * edge)


def _sampling(size: int, edge: int, moved: float, scale: float) -> torch.Tensor:
    """Return the weights of pixels in each cell along one axis, ``(edge, size)``: a Gaussian as wide as a cell."""
    cell = WINDOW * size / edge
    middle = (torch.arange(edge) + 0.5 - edge / 2) * cell
    place = (middle - moved * size) / scale + size / 2
    gap = (torch.arange(size) + 0.5)[None] - place.clamp(0.5, size - 0.5)[:, None]
    weight = torch.exp(-0.5 * (gap / (0.5 * cell / scale)) ** 2)
    return weight / weight.sum(1, keepdim=True)


def _unit(rows: torch.Tensor) -> torch.Tensor:
    """Take each row's mean off and scale it to unit length; a flat one becomes zero and correlates with nothing."""
    rows = rows - rows.mean(1, keepdim=True)
    length = rows.norm(dim=1, keepdim=True)
    return torch.where(length > FLAT, rows / length.clamp_min(FLAT), torch.zeros_like(rows))
