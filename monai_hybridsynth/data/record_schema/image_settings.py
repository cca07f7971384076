"""How the images of a cohort become numbers, recorded beside the table's fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field, fields
from typing import Any

__all__ = ["HEAD_CT_WINDOWS", "MODALITIES", "ImageSettings"]

MODALITIES = ("cxr", "head_ct")
# The three windows in which emergency head CT is read; centre and width in Hounsfield units.
HEAD_CT_WINDOWS = (
    {"name": "brain", "center": 40.0, "width": 80.0},
    {"name": "subdural", "center": 80.0, "width": 200.0},
    {"name": "bone", "center": 600.0, "width": 2800.0},
)
_PLANES = ("axial", "coronal", "sagittal")


def _percentiles() -> dict[str, Any]:
    return {"kind": "percentile", "lower": 0.5, "upper": 99.5}


def _middle_axial() -> dict[str, Any]:
    return {"plane": "axial", "position": 0.5}


@dataclass(frozen=True)
class ImageSettings:
    """Modality and intensity scaling of a cohort's images.

    Args:
        modality: ``cxr`` or ``head_ct``.
        scaling: what becomes -1 and 1: ``{"kind": "percentile", "lower": 0.5, "upper": 99.5}`` of each image;
            ``{"kind": "window", "windows": [{"name", "center", "width"}, ...]}`` in Hounsfield units, one channel per
            window; or ``{"kind": "range", "minimum": 0, "maximum": 255}`` in stored grey levels, with ``"channels"``
            where NumPy files hold several.
        slice: which slice of a NIfTI volume is read, ``{"plane": "axial", "position": 0.5}``: the plane after turning
            the volume to RAS, the position as a share of the way from its first slice to its last.

    Shape:
        images have ``channels`` channels: the number of windows, or what a range says, otherwise 1.
    """

    modality: str = "cxr"
    _: KW_ONLY
    scaling: Mapping[str, Any] = field(default_factory=_percentiles)
    slice: Mapping[str, Any] = field(default_factory=_middle_axial)

    def __post_init__(self) -> None:
        """Refuse settings that cannot be carried out."""
        if self.modality not in MODALITIES:
            raise ValueError(f"image modality is {self.modality!r}; use one of {list(MODALITIES)}.")
        _check_scaling(self.scaling)
        plane, position = self.slice.get("plane"), self.slice.get("position")
        if plane not in _PLANES or not isinstance(position, (int, float)) or not 0 <= position <= 1:
            raise ValueError(
                f"image slice is {dict(self.slice)}; give plane, one of {_PLANES}, and position in [0, 1]."
            )

    @classmethod
    def for_modality(
        cls, modality: str, *, hounsfield: bool = False, windows: Sequence[str] = ("brain",)
    ) -> ImageSettings:
        """Return the usual settings of a modality.

        Args:
            modality: ``cxr`` (percentiles of each image) or ``head_ct``.
            hounsfield: whether the files hold Hounsfield units (DICOM, NIfTI): then windows are used. Head CT
                in 8-bit pictures was windowed by whoever exported it and is read as it is, 0 to 255.
            windows: of head CT in Hounsfield units, names from :data:`HEAD_CT_WINDOWS`; each is a channel.
        """
        if modality != "head_ct":
            return cls(modality)
        if hounsfield:
            known = {window["name"]: dict(window) for window in HEAD_CT_WINDOWS}
            unknown = sorted(set(windows) - set(known))
            if unknown:
                raise ValueError(f"windows {unknown} are not known; known are {list(known)}.")
            return cls(modality, scaling={"kind": "window", "windows": [known[name] for name in windows]})
        return cls(modality, scaling={"kind": "range", "minimum": 0.0, "maximum": 255.0})

    @property
    def channels(self) -> int:
        """Number of channels of an image read with these settings."""
        if self.scaling["kind"] == "window":
            return len(self.scaling["windows"])
        return int(self.scaling.get("channels", 1))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as they stand in ``schema.json`` under ``image``."""
        return {**asdict(self), "channels": self.channels}

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> ImageSettings:
        """Return the settings that ``schema.json`` describes; unknown keys are an error."""
        values = dict(written)
        channels = values.pop("channels", None)
        unknown = sorted(set(values) - {entry.name for entry in fields(cls)})
        if unknown:
            raise ValueError(
                f"image settings have unknown keys {unknown}; known are modality, scaling, slice, channels."
            )
        settings = cls(**values)
        if channels not in (None, settings.channels):
            raise ValueError(f"image settings say {channels} channels, but their scaling gives {settings.channels}.")
        return settings


def _check_scaling(scaling: Mapping[str, Any]) -> None:
    """Raise unless the scaling is one of the three kinds, complete and in order."""
    kind = scaling.get("kind") if isinstance(scaling, Mapping) else None
    expected = {"percentile": ("lower", "upper"), "range": ("minimum", "maximum"), "window": ("windows",)}
    optional = {"channels"} if kind == "range" else set()
    if kind not in expected or set(scaling) - optional != {"kind", *expected[kind]}:
        raise ValueError(f"image scaling is {scaling!r}; expected one of {expected} beside 'kind'.")
    if kind == "window":
        windows = scaling["windows"]
        if not windows or any(float(window.get("width", 0)) <= 0 or "center" not in window for window in windows):
            raise ValueError(f"image windows are {windows!r}; each needs a name, a center and a width above 0 (HU).")
        return
    low, high = (float(scaling[name]) for name in expected[kind])
    if not low < high or (kind == "percentile" and not (low >= 0 and high <= 100)):
        raise ValueError(f"image scaling is {dict(scaling)}; the first bound must lie below the second.")
