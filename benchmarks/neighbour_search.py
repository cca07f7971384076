"""Time and memory of the neighbour search behind nearest records, beside scikit-learn's exhaustive one.

python benchmarks/neighbour_search.py --rows 100000 --compared 10000 --title "Neighbour search" \
    --out benchmarks/RESULTS.md

Both run in one process on one thread: first --compared candidates against --rows records by either (the ratio), then
all --rows against --rows by ours alone, with the highest memory of the process until then.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import torch
from results_file import write_section

from monai_hybridsynth.metrics import nearest_records


def seconds(work: Callable[[], object]) -> tuple[float, object]:
    """Return processor seconds and the result."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def peak_gib() -> float:
    """Return the highest resident memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--compared", type=int, default=10_000)
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--title", required=True)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    candidates, training = (
        torch.randn(options.rows, options.features, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)
    )
    candidates[:5] = training[100:105]
    whole, found = seconds(lambda: nearest_records(candidates, training, num_neighbours=2, backend="torch"))
    peak = peak_gib()
    copies = int((found[0][:5, 0] == 0).sum())  # type: ignore[index]
    from sklearn.neighbors import NearestNeighbors
    from threadpoolctl import threadpool_limits

    part = candidates[: options.compared]
    ours, mine = seconds(lambda: nearest_records(part, training, num_neighbours=2, backend="torch"))
    with threadpool_limits(1):
        search = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(training.double().numpy())
        theirs, other = seconds(lambda: search.kneighbors(part.double().numpy()))
    agree = float((mine[1].numpy() == other[1]).mean())  # type: ignore[index]
    lines = [
        f"{options.features} features, two neighbours, one thread, processor seconds.",
        "",
        "| candidates x records | ours | scikit-learn, exhaustive | ratio | same neighbours | highest memory of ours |",
        "|---|---|---|---|---|---|",
        f"| {len(part):,} x {options.rows:,} | {ours:.1f} s | {theirs:.1f} s | {theirs / ours:.1f} | {agree:.4f} | |",
        f"| {options.rows:,} x {options.rows:,} | {whole:.0f} s | | | | {peak:.2f} GiB |",
        "",
        f"{copies} of 5 planted copies have distance exactly 0.",
    ]
    write_section(options.out, options.title, lines)


if __name__ == "__main__":
    main()
