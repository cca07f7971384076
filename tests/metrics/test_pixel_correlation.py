from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata

from monai_hybridsynth.metrics.pixel_correlation import PixelMove, equalised, maximal_pixel_correlation, pixel_moves

WINDOW = 0.8


def smooth_images(count: int, *, seed: int, size: int = 64) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    shared = gaussian_filter(rng.normal(size=(size, size)), 8) * 30
    drawn = [shared + gaussian_filter(rng.normal(size=(size, size)), 3) * 10 for _ in range(count)]
    return torch.from_numpy(np.stack(drawn)[:, None]).float()


def plain_window(image: np.ndarray, move: PixelMove, edge: int) -> np.ndarray:
    """Reduce one image cell by cell: a Gaussian around each cell's place in the moved image."""
    size = image.shape[0]
    image = image[:, ::-1] if move.mirrored else image
    cell = WINDOW * size / edge
    cells = np.zeros((edge, edge))
    positions = np.arange(size) + 0.5
    for row in range(edge):
        for column in range(edge):
            weights = []
            for place, moved in ((row, move.down), (column, move.right)):
                middle = ((place + 0.5 - edge / 2) * cell - moved * size) / move.scale + size / 2
                middle = min(max(middle, 0.5), size - 0.5)
                weight = np.exp(-0.5 * ((positions - middle) / (0.5 * cell / move.scale)) ** 2)
                weights.append(weight / weight.sum())
            cells[row, column] = weights[0] @ image @ weights[1]
    return cells


def plain_search(candidate, bank, moves, edge):
    middle = np.mean([(b + b[:, ::-1]) / 2 for b in bank], axis=0)
    centre = plain_window(middle, PixelMove(), edge)
    first = plain_window(candidate, PixelMove(), edge) - centre
    return np.array(
        [
            [np.corrcoef(first.ravel(), (plain_window(b, move, edge) - centre).ravel())[0, 1] for move in moves]
            for b in bank
        ]
    )


def test_equalised_is_the_mid_rank_of_every_pixel():
    images = torch.randint(0, 256, (3, 1, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images[:, :, 0, :2] = torch.tensor([0, 255], dtype=torch.uint8)
    for image, ranks in zip(images.numpy()[:, 0], equalised(images).numpy(), strict=True):
        np.testing.assert_allclose(ranks, (rankdata(image).reshape(16, 16) - 0.5) / image.size, atol=1e-6)


def test_matches_a_search_written_as_loops():
    bank, candidates = smooth_images(4, seed=0, size=32), smooth_images(3, seed=1, size=32)
    candidates[0] = torch.roll(bank[2], (1, -1), (1, 2))
    candidates[1] = bank[1].flip(-1)
    moves = pixel_moves(shifts=(-1 / 32, 0.0, 1 / 32), scales=(0.9, 1.0, 1.2))
    found = maximal_pixel_correlation(candidates, bank, moves=moves, num_best=2, edge=8, block=3)
    ranks, real = equalised(candidates).double().numpy(), equalised(bank).double().numpy()
    for row in range(3):
        table = plain_search(ranks[row], real, moves, 8)
        best = table.max(axis=1)
        order = np.argsort(-best)[:2]
        assert found.index[row].tolist() == order.tolist()
        np.testing.assert_allclose(found.correlation[row].numpy(), best[order], atol=2e-4)
        assert table[order[0], found.move[row, 0]] == pytest.approx(best[order[0]], abs=2e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x, "in place"),
        (lambda x: torch.exp(x / 20), "in place"),
        (lambda x: x.flip(-1), "mirrored"),
        (lambda x: torch.roll(x, (3, -3), (2, 3)), "+3.0 px down, -3.0 px right"),
        (lambda x: torch.nn.functional.interpolate(x[..., 6:-6, 6:-6], size=(64, 64), mode="bilinear"), "scaled"),
    ],
)
def test_a_changed_copy_is_found_with_what_was_done_to_it(change, words):
    bank = smooth_images(30, seed=2)
    found = maximal_pixel_correlation(change(bank[5:15]), bank, num_best=2)
    assert found.index[:, 0].tolist() == list(range(5, 15))
    assert (found.correlation[:, 0] > 0.93).all()
    assert (found.correlation[:, 1] < 0.9).all()
    assert all(words in found.moves[move].words(64) for move in found.move[:, 0].tolist())


def test_others_images_do_not_correlate_only_because_all_images_are_alike():
    bank = smooth_images(40, seed=3)
    found = maximal_pixel_correlation(bank[:8], bank[8:])
    assert (found.correlation < 0.88).all()


def test_blocks_and_flat_images_change_nothing():
    bank = smooth_images(9, seed=4)
    bank[3] = 7.0
    candidates = torch.cat([smooth_images(3, seed=5), torch.zeros(1, 1, 64, 64)])
    whole = maximal_pixel_correlation(candidates, bank, num_best=9)
    parts = maximal_pixel_correlation(candidates, bank, num_best=9, block=2)
    torch.testing.assert_close(whole.correlation, parts.correlation)
    assert torch.isfinite(whole.correlation).all()
    assert len(maximal_pixel_correlation(candidates[:0], bank).index) == 0


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="same spatial_size"):
        maximal_pixel_correlation(torch.zeros(2, 1, 32, 32), torch.zeros(2, 1, 64, 64))
    with pytest.raises(ValueError, match="num_best 3 must lie"):
        maximal_pixel_correlation(torch.zeros(2, 1, 32, 32), torch.zeros(2, 1, 32, 32), num_best=3)
