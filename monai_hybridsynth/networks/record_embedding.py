"""Encoded clinical rows to embeddings, with a learned embedding for "no condition"."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import nn

__all__ = ["EncodesRecords", "RecordEmbedding"]


class EncodesRecords(Protocol):
    """A fitted encoding of clinical rows; see :class:`monai_hybridsynth.transforms.RecordEncoder`."""

    @property
    def vector_names(self) -> Sequence[str]:
        """Name the components of an encoded row."""

    def to_dict(self) -> dict[str, Any]:
        """Return the encoding as JSON values."""


class RecordEmbedding(nn.Module):
    """Linear, SiLU, Linear on encoded rows; a row of NaN gets the learned null embedding instead.

    The encoding of the rows (columns, ranges, categories) is part of the state dict, as the bytes of its JSON. So a
    checkpoint says by itself what its conditions mean, still holds tensors only, and weights that were trained on
    other columns are refused.

    Args:
        embedding_dim: length of an embedding.
        encoder: the fitted encoding of the rows; None for a network without conditions.
        num_tokens: embeddings per row. More than one for cross-attention, where a single token gets all attention.

    Shape:
        - input: ``(B, num_features)``, rows of NaN where there is no condition; output: ``(B, num_tokens,
          embedding_dim)``

    Source:
        Khosravi et al. 2023, https://arxiv.org/abs/2311.09402. Differs from the paper: missing values are states of
        their own, and the condition may be several tokens.
    """

    columns: torch.Tensor

    def __init__(self, embedding_dim: int, *, encoder: EncodesRecords | None = None, num_tokens: int = 1) -> None:
        super().__init__()
        self.num_features = len(encoder.vector_names) if encoder is not None else 0
        self.num_tokens, self.embedding_dim = num_tokens, embedding_dim
        encoding = encoder.to_dict() if encoder is not None else {"minimum_patients": 1, "columns": []}
        self.register_buffer("columns", _as_bytes(encoding))
        size = num_tokens * embedding_dim
        # Without features there is nothing to embed, and every row gets the null embedding.
        self.layers = nn.Sequential(nn.Linear(max(self.num_features, 1), embedding_dim), nn.SiLU())
        self.layers.append(nn.Linear(embedding_dim, size))
        self.null = nn.Parameter(torch.randn(size) * 0.02)

    @property
    def encoding(self) -> dict[str, Any]:
        """The encoding of the rows, as ``RecordEncoder.to_dict`` gave it."""
        return _as_dict(self.columns)

    @property
    def column_names(self) -> list[str]:
        """The clinical columns of a condition."""
        return list(_by_name(self.encoding))

    def unconditional(self, x: torch.Tensor) -> torch.Tensor:
        """Return a condition that stands for none, for each of the images ``(B, ...)``."""
        return x.new_full((len(x), self.num_features), torch.nan)

    def forward(self, condition: torch.Tensor) -> torch.Tensor:
        """Embed encoded rows.

        Raises:
            ValueError: if the rows have another length than those that were learned.
        """
        if condition.ndim != 2 or condition.shape[1] != self.num_features:
            raise ValueError(
                f"condition has shape {tuple(condition.shape)}, expected (B, {self.num_features}); encode the columns "
                f"{self.column_names} with the RecordCondition of these weights."
            )
        dropped = condition.isnan().all(dim=1, keepdim=True)
        # Zeros instead of NaN before the layers: a NaN would come back through their gradient.
        known = torch.where(dropped, 0.0, condition) if self.num_features else condition.new_zeros(len(condition), 1)
        # Both branches are part of every step, so that no parameter is unused (DistributedDataParallel asks for it).
        embedded = torch.where(dropped, self.null, self.layers(known))
        return embedded.unflatten(1, (self.num_tokens, self.embedding_dim))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Refuse weights that were trained on another encoding, naming the columns that differ."""
        stored = state_dict.get(f"{prefix}columns")
        if stored is not None and not torch.equal(stored.cpu(), self.columns.cpu()):
            raise ValueError(_difference(_by_name(_as_dict(stored)), _by_name(self.encoding)))
        super()._load_from_state_dict(state_dict, prefix, *args)


def _as_bytes(encoding: dict[str, Any]) -> torch.Tensor:
    return torch.frombuffer(bytearray(json.dumps(encoding, sort_keys=True).encode()), dtype=torch.uint8).clone()


def _as_dict(columns: torch.Tensor) -> dict[str, Any]:
    return json.loads(bytes(columns.cpu().to(torch.uint8).tolist()))


def _by_name(encoding: dict[str, Any]) -> dict[str, Any]:
    return {column["name"]: column for column in encoding["columns"]}


def _difference(stored: dict[str, Any], here: dict[str, Any]) -> str:
    """Say in which columns two encodings differ."""
    parts = {
        "columns only in the weights": [name for name in stored if name not in here],
        "columns only in this network": [name for name in here if name not in stored],
        "columns with other ranges or categories": [n for n in stored if n in here and stored[n] != here[n]],
    }
    found = "; ".join(f"{what}: {names}" for what, names in parts.items() if names) or "the order of the columns"
    return (
        f"the weights were trained on another encoding of the clinical columns ({found}); build the network with "
        "the encoder that read_record_encoder finds in the weights."
    )
