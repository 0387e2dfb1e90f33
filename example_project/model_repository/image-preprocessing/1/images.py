"""Image files to tensors: what image-preprocessing does, without Triton, so that training can do the same."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG")
MODES = {1: "L", 3: "RGB"}
# Beyond every camera; a file of some kilobytes can say that it has as many, and each takes four bytes.
MAX_PIXELS = 2**27
# A pixel of a 16-bit file, as one of 8 bits.
SIXTEEN_BITS = 257


class UnreadableImageError(ValueError):
    """The bytes are not an image that can be decoded; the text says why."""


@dataclass(frozen=True)
class Preprocessing:
    """What every picture is made into.

    Args:
        shape: of the array of one picture, in the order of ``layout``.
        layout: ``CHW`` or ``HWC``.
        resize: ``stretch``, ``crop`` or ``letterbox``.
        fill: the pixel, 0 to 255, of what a letterbox leaves free.
        scale: factor of a pixel of 0 to 255.
        mean: subtracted after that, one number or one for each channel.
        std: divided by after that, in the same form.
    """

    shape: tuple[int, int, int]
    layout: Literal["CHW", "HWC"]
    resize: Literal["stretch", "crop", "letterbox"]
    fill: int
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of_config(cls, dims: Sequence[int], parameters: Mapping[str, str]) -> Self:
        """Read the dims of the output and the parameters of a config.pbtxt.

        Raises:
            ValueError: a parameter has no such value, or does not fit the dims.
        """
        known = {"layout", "resize", "fill", "scale", "mean", "std"}
        if unknown := sorted(parameters.keys() - known):
            raise ValueError(f"unknown parameters {unknown}; known are {sorted(known)}")
        layout, resize = parameters.get("layout", "CHW"), parameters.get("resize", "stretch")
        if layout not in {"CHW", "HWC"}:
            raise ValueError(f"layout is {layout}; write CHW or HWC")
        if resize not in {"stretch", "crop", "letterbox"}:
            raise ValueError(f"resize is {resize}; write stretch, crop or letterbox")
        if len(dims) != 3 or min(dims) < 1 or dims[layout.index("C")] not in MODES:
            raise ValueError(f"dims of the output are {list(dims)}; write the lengths of {layout}, with C 1 or 3")
        channels = dims[layout.index("C")]
        return cls(
            shape=(dims[0], dims[1], dims[2]),
            layout=layout,
            resize=resize,
            fill=int(parameters.get("fill", "114")),
            scale=float(parameters.get("scale", "1")),
            mean=_for_channels("mean", parameters.get("mean", "0"), channels),
            std=_for_channels("std", parameters.get("std", "1"), channels),
        )

    def __call__(self, files: Sequence[bytes]) -> np.ndarray:
        """Return the pictures as FP32 ``[len(files), *shape]``.

        Raises:
            UnreadableImageError: one of them cannot be decoded.
        """
        channels, height, width = (self.shape[self.layout.index(axis)] for axis in "CHW")
        pixels = np.empty((len(files), height, width, channels), dtype=np.uint8)
        for number, file in enumerate(files):
            picture = self._resized(_decoded(file, MODES[channels]), (width, height))
            pixels[number] = np.asarray(picture).reshape(height, width, channels)
        # All pictures at once; (pixel * scale - mean) / std as one multiplication and one addition.
        mean, std = np.array(self.mean), np.array(self.std)
        tensor = pixels * (self.scale / std).astype(np.float32)
        tensor -= (mean / std).astype(np.float32)
        return np.ascontiguousarray(tensor.transpose(0, 3, 1, 2)) if self.layout == "CHW" else tensor

    def _resized(self, picture: Image.Image, size: tuple[int, int]) -> Image.Image:
        """Return a picture of a width and a height, bilinear."""
        if self.resize == "crop":
            return ImageOps.fit(picture, size, Image.Resampling.BILINEAR)
        if self.resize == "letterbox":
            color = (self.fill,) * len(picture.getbands())
            return ImageOps.pad(picture, size, Image.Resampling.BILINEAR, color=color[0] if len(color) == 1 else color)
        return picture.resize(size, Image.Resampling.BILINEAR)


def _for_channels(name: str, text: str, channels: int) -> tuple[float, ...]:
    numbers = tuple(float(part) for part in text.split(","))
    if len(numbers) not in {1, channels}:
        raise ValueError(f"{name} has {len(numbers)} numbers for {channels} channels; write one, or one for each")
    return numbers


def _refuse_huge(picture: Image.Image) -> None:
    if picture.width * picture.height > MAX_PIXELS:
        said = f"an image of {picture.width:,} by {picture.height:,} has more than {MAX_PIXELS:,} pixels"
        raise UnreadableImageError(said)


def _decoded(file: bytes, mode: str) -> Image.Image:
    """Return an upright picture of 8 bits a channel; what is transparent has the colour that the file gives it."""
    try:
        with Image.open(io.BytesIO(file), formats=FORMATS) as picture:
            _refuse_huge(picture)
            picture.load()
            ImageOps.exif_transpose(picture, in_place=True)
            upright: Image.Image = picture
    except Image.UnidentifiedImageError:
        # Its own text has an address in memory.
        raise UnreadableImageError(f"{len(file):,} bytes are no image file of {' or '.join(FORMATS)}") from None
    except UnreadableImageError:
        raise
    except Exception as error:  # a broken file can raise anything
        raise UnreadableImageError(f"an image file of {len(file):,} bytes cannot be decoded: {error}") from error
    if upright.mode.startswith("I"):  # a PNG of 16 bits, which Pillow's own conversion would cut off at 255
        upright = Image.fromarray((np.asarray(upright) // SIXTEEN_BITS).astype(np.uint8))
    return upright if upright.mode == mode else upright.convert(mode)
