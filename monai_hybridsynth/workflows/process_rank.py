"""Which of the cooperating processes this is; one of one when torch.distributed was not started."""

from __future__ import annotations

from typing import TypeVar

from torch import distributed

__all__ = ["barrier", "gather_objects", "process_rank", "world_size"]

T = TypeVar("T")


def _started() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def process_rank() -> int:
    """Return the rank of this process, 0 when it is alone."""
    return distributed.get_rank() if _started() else 0


def world_size() -> int:
    """Return the number of cooperating processes."""
    return distributed.get_world_size() if _started() else 1


def gather_objects(value: T) -> list[T]:
    """Return the values of all ranks, in the order of the ranks, on every rank."""
    if not _started():
        return [value]
    values: list[T] = [value] * world_size()
    distributed.all_gather_object(values, value)
    return values


def barrier() -> None:
    """Wait until every rank is here."""
    if _started():
        distributed.barrier()
