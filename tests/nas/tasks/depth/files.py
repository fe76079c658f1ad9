"""Small recordings in the true layouts, with known values."""

from __future__ import annotations

import io
from pathlib import Path

import h5py
import numpy as np
from PIL import Image


def pair(number: int, rows: int = 48, columns: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """An image (H, W, 3) and depth (H, W) in metres that tell rows from columns."""
    v, u = np.mgrid[0:rows, 0:columns]
    image = np.stack([u * 3 % 256, v * 5 % 256, np.full_like(u, 10 * number % 256)], -1)
    depth = 1 + 0.05 * v + 0.01 * u + 0.1 * number
    return image.astype(np.uint8), depth.astype(np.float32)


def h5_file(path: Path, image: np.ndarray, depth: np.ndarray) -> Path:
    """One frame as FastDepth stores it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["rgb"] = image.transpose(2, 0, 1)
        file["depth"] = depth
    return path


def tree(root: Path, *, per_scene: int = 4) -> Path:
    """FastDepth's tree: three scenes, one of them in two parts, and official test frames."""
    names = ["kitchen_0001a", "kitchen_0001b", "office_0002", "bedroom_0003"]
    for s, scene in enumerate(names):
        for i in range(per_scene):
            number = (1, 101, 201, 301)[i]
            h5_file(root / "train" / scene / f"{number:05d}.h5", *pair(s * per_scene + i))
    for i in range(3):
        h5_file(root / "val" / "official" / f"{i + 1:05d}.h5", *pair(50 + i))
    return root


def mat_file(path: Path, frames: int = 6) -> Path:
    """A MATLAB 7.3 file: HDF5 whose axes are turned round, texts as references to codes."""
    pairs = [pair(i) for i in range(frames)]
    with h5py.File(path, "w", userblock_size=512) as file:
        file["images"] = np.stack([image.transpose(2, 1, 0) for image, _ in pairs])
        file["depths"] = np.stack([depth.T for _, depth in pairs])
        references = np.empty((1, frames), dtype=h5py.ref_dtype)
        for i in range(frames):
            text = f"room_{i // 2:04d}"
            codes = np.array([[ord(c)] for c in text], dtype=np.uint16)
            references[0, i] = file.create_dataset(f"#refs#/{i}", data=codes).ref
        file.create_dataset("scenes", data=references, dtype=h5py.ref_dtype)
    return path


def copy_file(path: Path, frames: int = 24) -> Path:
    """The reduced copy: JPEG, 8-bit depth relative to its maximum, 320 × 240 with a border."""
    streams: dict[str, list[bytes]] = {"rgb": [], "depth": []}
    for i in range(frames):
        image, _ = pair(i, 240, 320)
        code = np.full((240, 320), 100 + i, dtype=np.uint8)
        for key, array, form in (("rgb", image, "JPEG"), ("depth", code, "PNG")):
            buffer = io.BytesIO()
            Image.fromarray(array).save(buffer, form)
            streams[key].append(buffer.getvalue())
    arrays = {}
    for key, name in (("rgb", "rgb_jpeg"), ("depth", "depth_png")):
        arrays[name] = np.frombuffer(b"".join(streams[key]), np.uint8)
        arrays[f"{key}_offsets"] = np.cumsum([0] + [len(b) for b in streams[key]])
    np.savez(
        path,
        **arrays,
        is_test=np.arange(frames) % 3 == 2,
        max_depth_m_estimated=np.full(frames, 5.1, dtype=np.float32),
        scale_reliable=np.arange(frames) % 4 != 0,
    )
    return path


def folder(root: Path, *, scenes: int = 3, frames: int = 3, scale: float = 1000.0) -> Path:
    """RGB images beside 16-bit depth, a folder per scene."""
    for s in range(scenes):
        for i in range(frames):
            image, depth = pair(s * frames + i)
            for kind, array in (("rgb", image), ("depth", (depth * scale).astype(np.uint16))):
                path = root / f"scene{s}" / kind / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)
    return root
