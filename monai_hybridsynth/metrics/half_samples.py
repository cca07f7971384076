"""Random halves of a sample: a resampling in which nobody appears twice, for statistics of neighbours and pairs."""

from __future__ import annotations

import numpy as np

__all__ = ["half_samples"]


def half_samples(count: int, num_replicates: int, *, seed: int) -> np.ndarray:
    """Draw random halves without replacement.

    A bootstrap sample holds records twice, and a record is its own nearest neighbour: radii, densities and distances
    within a sample break. A half drawn without replacement holds nobody twice, and the scatter of a mean over random
    halves around the mean of all equals the standard error of the mean of all: the replicates can go where bootstrap
    replicates go.

    Args:
        count: independent units (patients or records), at least two.
        num_replicates: halves wanted.
        seed: seed of the draw; no global state is touched.

    Returns:
        Positions, int ``(num_replicates, count // 2)``, ascending in each row.

    Raises:
        ValueError: if there are fewer than two units.

    Source:
        Politis, Romano and Wolf 1999, "Subsampling": with m of n units, deviations are to be multiplied by
        ``sqrt(m / (n - m))``, which is one for halves.

    Example:
        >>> half_samples(4, 3, seed=0).shape
        (3, 2)
    """
    if count < 2:
        raise ValueError(f"count is {count}; a half needs at least two independent units.")
    keys = np.random.default_rng(seed).random((num_replicates, count))
    return np.sort(np.argsort(keys, axis=1)[:, : count // 2], axis=1)
