"""Features: frozen embeddings by which images are judged, independent of every generator judged."""

from __future__ import annotations

from .generator_encoder import EncoderSpace, find_encoder_weights, load_generator_encoder
from .named_network import NamedNetwork, XrayNetwork, load_network_file, load_xray_network
from .pixel_pca import PixelPCA
from .random_convolution import RandomConvolutionFeatures
from .supervised_features import SupervisedFeatures

__all__ = [
    "EncoderSpace",
    "NamedNetwork",
    "PixelPCA",
    "RandomConvolutionFeatures",
    "SupervisedFeatures",
    "XrayNetwork",
    "find_encoder_weights",
    "load_generator_encoder",
    "load_network_file",
    "load_xray_network",
]
