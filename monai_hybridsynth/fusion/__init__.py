"""Table in, table out: learn clinical rows and image latents as one table, then draw new ones."""

from __future__ import annotations

from .conditional_gaussian_synthesizer import ConditionalGaussianSynthesizer
from .conditioning import Conditions
from .ctgan_synthesizer import CTGANSynthesizer
from .factorised_ctgan_synthesizer import FactorisedCTGANSynthesizer
from .joint_flow_synthesizer import JointFlowSynthesizer
from .latent_whitening import LatentWhitening
from .private_flow_synthesizer import PrivateFlowSynthesizer
from .private_gaussian_synthesizer import PrivateGaussianSynthesizer
from .synthesizer import IndependentSynthesizer, RecordSynthesizer, load_synthesizer
from .table_layout import latent_columns

__all__ = [
    "CTGANSynthesizer",
    "ConditionalGaussianSynthesizer",
    "Conditions",
    "FactorisedCTGANSynthesizer",
    "IndependentSynthesizer",
    "JointFlowSynthesizer",
    "LatentWhitening",
    "PrivateFlowSynthesizer",
    "PrivateGaussianSynthesizer",
    "RecordSynthesizer",
    "latent_columns",
    "load_synthesizer",
]
