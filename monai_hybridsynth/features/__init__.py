"""Features: frozen embeddings by which images are judged, independent of every generator judged."""

from __future__ import annotations

from .pixel_pca import PixelPCA
from .random_convolution import RandomConvolutionFeatures

__all__ = ["PixelPCA", "RandomConvolutionFeatures"]
