"""Engines: how networks are trained."""

from __future__ import annotations

from .alpha_gan_trainer import AlphaGanTrainer
from .condition_dropout import ConditionDropoutBatch
from .private_record_flow_trainer import PrivateRecordFlowTrainer
from .record_flow_trainer import RecordFlowTrainer, flow_losses

__all__ = ["AlphaGanTrainer", "ConditionDropoutBatch", "PrivateRecordFlowTrainer", "RecordFlowTrainer", "flow_losses"]
