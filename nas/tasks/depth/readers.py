"""NYU Depth V2 (Silberman et al., ECCV 2012) as it is passed around.

Three forms: FastDepth's tree of HDF5 files, the official labelled ``.mat`` (MATLAB 7.3, which is
HDF5 with its axes turned round), and a reduced copy of the labelled set in one ``.npz``.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nas.tasks.depth.frames import BrokenFrame, Depth, Image, Recording, Subset, checked
from search_spaces import UserError
from search_spaces.errors import in_a_line

MAT_FILE = "nyu_depth_v2_labeled.mat"
SPLITS_FILE = "splits.mat"
COPY_FILE = "nyuv2_labeled_half.npz"
FORMS = ("fastdepth", "mat", "copy")


def open_nyu(data: Path, form: str = "auto") -> Recording:
    """NYU Depth V2 at a path, in whichever form it lies there.

    Args:
        data: a file of one of the forms, or a folder that holds one.
        form: ``fastdepth``, ``mat`` or ``copy``; ``auto`` recognises it.

    Raises:
        UserError: nothing of the kind is there, or it is broken.
    """
    if not data.exists():
        raise UserError(f"{data}: no such file or folder; give NYU Depth V2 with --data PATH")
    tree = next((f for f in (data, data / "nyudepthv2") if (f / "train").is_dir()), None)
    mat = _file(data, MAT_FILE, ".mat")
    copy = _file(data, COPY_FILE, ".npz")
    if tree is not None and form in ("auto", "fastdepth"):
        return fastdepth_tree(tree)
    if mat is not None and form in ("auto", "mat"):
        return labelled_mat(mat)
    if copy is not None and form in ("auto", "copy"):
        return labelled_copy(copy)
    raise UserError(
        f"{data}: no NYU Depth V2 in here; expected train/<scene>/*.h5 and val/, {MAT_FILE} "
        f"or {COPY_FILE}"
    )


def _file(data: Path, name: str, ending: str) -> Path | None:
    path = data / name if data.is_dir() else data
    return path if path.is_file() and path.suffix == ending else None


def h5py() -> Any:
    """The package h5py.

    Raises:
        UserError: it is not installed.
    """
    try:
        import h5py as package
    except ImportError:
        raise UserError(
            "NYU Depth V2 needs the package h5py: pip install 'netadapt[depth]'"
        ) from None
    return package


# FastDepth's tree ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class HDF5Files:
    """One file a frame: ``rgb`` (3, H, W) uint8 and ``depth`` (H, W) metres."""

    files: Sequence[Path]
    scenes: Sequence[str]

    def __len__(self) -> int:
        return len(self.files)

    def name(self, index: int) -> str:
        """Its path."""
        return str(self.files[index])

    def read(self, index: int) -> tuple[Image, Depth]:
        """One file."""
        package = h5py()
        try:
            with package.File(self.files[index], "r") as file:
                missing = [key for key in ("rgb", "depth") if key not in file]
                if missing:
                    raise BrokenFrame(f"it has no dataset {missing[0]!r}")
                image, depth = np.asarray(file["rgb"]), np.asarray(file["depth"])
        except (OSError, RuntimeError) as error:
            raise BrokenFrame(f"no HDF5 file, or truncated: {_line(error)}") from None
        if image.ndim != 3 or image.shape[0] != 3:
            raise BrokenFrame(f"its rgb has shape {image.shape}, not (3, H, W)")
        return checked(image.transpose(1, 2, 0), depth)


def fastdepth_tree(root: Path) -> Recording:
    """FastDepth's tree: ``train/<scene>/*.h5`` and ``val/<folder>/*.h5``.

    Parts of one scene (``kitchen_0028a``, ``kitchen_0028b``) count as one.

    Raises:
        UserError: no files on one side.
    """
    h5py()
    parts = []
    for split in ("train", "val"):
        files = sorted((root / split).glob("*/*.h5"))
        if not files:
            raise UserError(f"{root / split}: no files <scene>/*.h5 in here")
        scenes = [re.sub(r"(?<=_\d{4})[a-z]$", "", file.parent.name) for file in files]
        parts.append(HDF5Files(files, scenes))
    return Recording(parts[0], parts[1])


# the official file --------------------------------------------------------------------------------


@dataclass(frozen=True)
class LabelledMat:
    """``images`` (N, 3, W, H) uint8 and ``depths`` (N, W, H) metres of one MATLAB 7.3 file."""

    path: Path
    frames: int
    scenes: Sequence[str]

    def __len__(self) -> int:
        return self.frames

    def name(self, index: int) -> str:
        """The file and MATLAB's number, from 1."""
        return f"{self.path}, frame {index + 1}"

    def read(self, index: int) -> tuple[Image, Depth]:
        """One frame, its axes turned back."""
        try:
            with h5py().File(self.path, "r") as file:
                image, depth = np.asarray(file["images"][index]), np.asarray(file["depths"][index])
        except (OSError, RuntimeError) as error:
            raise BrokenFrame(f"truncated: {_line(error)}") from None
        return checked(image.transpose(2, 1, 0), depth.T)


def labelled_mat(path: Path) -> Recording:
    """The official labelled set; ``splits.mat`` beside it says which frames are test.

    Without it the test frames are cut from the scenes.

    Raises:
        UserError: no such file, truncated, or without ``images`` and ``depths`` as expected.
    """
    try:
        with h5py().File(path, "r") as file:
            for key, axes in (("images", 4), ("depths", 3)):
                if key not in file:
                    raise UserError(f"{path}: has no {key!r}; is this {MAT_FILE}?")
                if file[key].ndim != axes:
                    raise UserError(f"{path}: {key} has shape {file[key].shape}, not {axes} axes")
            images, depths = file["images"].shape, file["depths"].shape
            if images[1] != 3 or (images[0], *images[2:]) != depths:
                raise UserError(
                    f"{path}: images {images} and depths {depths} do not fit; MATLAB 7.3 stores "
                    "(N, 3, W, H) and (N, W, H)"
                )
            scenes = _scenes(file, depths[0])
    except OSError as error:
        raise UserError(f"{path}: no MATLAB 7.3 file, or truncated ({_line(error)})") from None
    frames = LabelledMat(path, depths[0], scenes)
    splits = path.with_name(SPLITS_FILE)
    if not splits.is_file():
        return Recording(frames, None)
    train, test = (_indices(splits, key, len(frames)) for key in ("trainNdxs", "testNdxs"))
    return Recording(Subset(frames, train), Subset(frames, test))


def _scenes(file: Any, frames: int) -> list[str]:
    """A MATLAB cell array of texts: references to arrays of character codes."""
    if "scenes" not in file:
        return [""] * frames
    references = np.asarray(file["scenes"]).reshape(-1)
    return ["".join(chr(code) for code in np.asarray(file[r]).reshape(-1)) for r in references]


def _indices(path: Path, key: str, frames: int) -> npt.NDArray[np.int64]:
    try:
        from scipy.io import loadmat
    except ImportError:
        raise UserError(f"{path}: reading it needs scipy: pip install scipy") from None
    try:
        found = np.asarray(loadmat(path)[key], dtype=np.int64).reshape(-1) - 1
    except Exception as error:  # scipy raises whatever the bytes lead it to
        raise UserError(f"{path}: no readable {key} ({_line(error)})") from None
    if not len(found) or found.min() < 0 or found.max() >= frames:
        raise UserError(f"{path}: {key} does not fit the {frames} frames of {MAT_FILE}")
    return np.sort(found)


# the reduced copy ---------------------------------------------------------------------------------

_STREAMS = ("rgb_jpeg", "rgb_offsets", "depth_png", "depth_offsets")

BLOCK = 10
"""Neighbouring frames of the copy that stand for a scene; it does not name them."""


@dataclass(frozen=True)
class LabelledCopy:
    """The labelled set at half size, JPEG images and depth relative to its own maximum.

    Metres are that times an estimated maximum, about 1 % off.
    """

    path: Path
    arrays: dict[str, npt.NDArray[Any]] = field(repr=False)
    scenes: Sequence[str] = field(repr=False)

    def __len__(self) -> int:
        return len(self.scenes)

    def name(self, index: int) -> str:
        """The file and the number in the official order, from 0."""
        return f"{self.path}, frame {index}"

    def read(self, index: int) -> tuple[Image, Depth]:
        """One frame without the original's white border."""
        try:
            image = _decoded(self.arrays, "rgb_jpeg", "rgb_offsets", index, "RGB")
            code = _decoded(self.arrays, "depth_png", "depth_offsets", index, "L")
        except (OSError, ValueError, SyntaxError) as error:
            raise BrokenFrame(_line(error)) from None
        metres = (code + 0.5) / 255 * float(self.arrays["max_depth_m_estimated"][index])
        inside = np.s_[22:236, 20:301]
        return checked(image[inside], metres[inside])


def labelled_copy(path: Path) -> Recording:
    """The reduced copy, only frames whose estimated scale is reliable; Eigen's split.

    Raises:
        UserError: no such file, or a broken one.
    """
    wanted = [*_STREAMS, "is_test", "max_depth_m_estimated", "scale_reliable"]
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in wanted}
    except KeyError as error:
        raise UserError(f"{path}: lacks {error}; is this {COPY_FILE}?") from None
    except Exception as error:  # zipfile.BadZipFile and zlib.error share no base
        raise UserError(f"{path}: broken or truncated ({_line(error)})") from None
    test = arrays["is_test"].astype(bool)
    reliable = arrays["scale_reliable"].astype(bool)
    frames = LabelledCopy(path, arrays, [f"block {i // BLOCK}" for i in range(len(test))])
    return Recording(
        Subset(frames, np.flatnonzero(reliable & ~test)),
        Subset(frames, np.flatnonzero(reliable & test)),
        scale="estimated scale",
    )


def _decoded(
    arrays: dict[str, npt.NDArray[Any]], key: str, offsets: str, index: int, mode: str
) -> npt.NDArray[np.uint8]:
    from PIL import Image as Pillow

    start, end = arrays[offsets][index : index + 2]
    with Pillow.open(io.BytesIO(arrays[key][start:end].tobytes())) as image:
        return np.asarray(image.convert(mode))


def _line(error: Exception) -> str:
    return in_a_line(error, 120) or type(error).__name__
