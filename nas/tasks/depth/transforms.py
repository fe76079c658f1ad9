"""FastDepth's transforms (Wofk et al., ICRA 2019), in units of its 224-pixel input.

An image is resized to 250 rows, 228 × 304 are cropped from its centre and resized to 224 × 224.
In training it is also scaled by 1 to 1.5, with depth divided by the same, rotated by up to 5
degrees, mirrored, and its colours are jittered. Here the first resize is done once a frame and
all that follows is one affine sampling of the batch, with the same geometry.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nas.tasks.depth.frames import Depth, Image

ROWS, CROP, INPUT = 250, (228, 304), 224
ASPECT = 4 / 3


@dataclass(frozen=True)
class Geometry:
    """Sizes in pixels for one input resolution."""

    resolution: int

    @property
    def base(self) -> tuple[int, int]:
        """Height and width that every frame is resized to."""
        rows = round(ROWS * self.resolution / INPUT)
        return rows, round(rows * ASPECT)

    @property
    def crop(self) -> tuple[float, float]:
        """Height and width of the crop, in pixels of the base."""
        return CROP[0] * self.resolution / INPUT, CROP[1] * self.resolution / INPUT

    def to_base(self, image: Image, depth: Depth) -> tuple[Image, Depth]:
        """The largest centred 4:3 part of a frame of any size, resized.

        Depth takes its nearest pixel's value, so that no value mixes with a hole.

        Returns:
            (H, W, 3) uint8 and (H, W) float32.
        """
        from PIL import Image as Pillow

        height, width = depth.shape
        rows, columns = self.base
        if (height, width) == (rows, columns):
            return image, depth
        inner = min(height, width / ASPECT)
        top, left = (height - inner) / 2, (width - inner * ASPECT) / 2
        box = (left, top, left + inner * ASPECT, top + inner)
        bilinear, nearest = Pillow.Resampling.BILINEAR, Pillow.Resampling.NEAREST
        small = Pillow.fromarray(image).resize((columns, rows), bilinear, box=box)
        flat = Pillow.fromarray(depth).resize((columns, rows), nearest, box=box)
        return np.asarray(small), np.asarray(flat)

    def sample(
        self,
        images: Tensor,
        depths: Tensor,
        *,
        scale: Tensor | None = None,
        angle: Tensor | None = None,
        mirror: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Crop and resize a batch, scaled, rotated and mirrored where that is given.

        Args:
            images: (N, H, W, 3) uint8, of the base size.
            depths: (N, H, W) metres, 0 unknown.
            scale: (N,) of 1 and above. angle: (N,) radians. mirror: (N,) of 1 and -1.

        Returns:
            Images (N, 3, R, R) in 0..255 and depths (N, 1, R, R), divided by the scale; what
            lies outside of the frame is 0.
        """
        count = len(images)
        one = torch.ones(count)
        scale = one if scale is None else scale
        angle = torch.zeros(count) if angle is None else angle
        mirror = one if mirror is None else mirror
        (rows, columns), (high, wide) = self.base, self.crop
        x, y = mirror * wide / scale, high / scale
        cos, sin = angle.cos(), angle.sin()
        zero = torch.zeros(count)
        theta = torch.stack(
            [
                torch.stack([cos * x / columns, -sin * y / columns, zero], 1),
                torch.stack([sin * x / rows, cos * y / rows, zero], 1),
            ],
            1,
        )
        size = [count, 1, self.resolution, self.resolution]
        grid = functional.affine_grid(theta, size, align_corners=False)
        pixels = images.permute(0, 3, 1, 2).float()
        pixels = functional.grid_sample(pixels, grid, mode="bilinear", align_corners=False)
        metres = functional.grid_sample(
            depths[:, None], grid, mode="nearest", align_corners=False
        ) / scale.view(-1, 1, 1, 1)
        return pixels, metres


@dataclass(frozen=True)
class Augmentation:
    """How much a training image is changed; FastDepth's values are the defaults.

    ``scale`` is the largest factor, ``rotation`` degrees to either side, ``flip`` a probability,
    ``jitter`` the strength of changes of brightness, contrast and saturation.
    """

    scale: float = 1.5
    rotation: float = 5.0
    flip: float = 0.5
    jitter: float = 0.4

    def __call__(
        self, geometry: Geometry, images: Tensor, depths: Tensor, source: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """A batch of the base size as `Geometry.sample` takes it, changed at random."""
        count = len(images)

        def drawn(low: float, high: float) -> Tensor:
            return torch.from_numpy(source.uniform(low, high, count).astype(np.float32))

        scale = drawn(1.0, self.scale)
        angle = drawn(-self.rotation, self.rotation) * (np.pi / 180)
        mirror = torch.where(drawn(0, 1) < self.flip, -1.0, 1.0)
        pixels, metres = geometry.sample(images, depths, scale=scale, angle=angle, mirror=mirror)
        if self.jitter:
            factors = [drawn(1 - self.jitter, 1 + self.jitter) for _ in range(3)]
            pixels = jittered(pixels, *factors)
        return pixels, metres


GREY = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)


def jittered(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Images (N, 3, H, W) in 0..255 with changed colours; a factor of 1 (N,) changes nothing."""
    b, c, s = (f.view(-1, 1, 1, 1) for f in (brightness, contrast, saturation))
    images = images * b
    middle = (images * GREY).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    images = middle + c * (images - middle)
    grey = (images * GREY).sum(1, keepdim=True)
    return (grey + s * (images - grey)).clamp_(0, 255)
