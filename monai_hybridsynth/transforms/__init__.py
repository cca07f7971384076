"""Between files and networks: intensity windows for images."""

from __future__ import annotations

from .intensity_windows import RecordImage, RecordImaged, load_images, scale_intensity

__all__ = ["RecordImage", "RecordImaged", "load_images", "scale_intensity"]
