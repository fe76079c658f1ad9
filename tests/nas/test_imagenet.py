"""The ImageNet recipes, a few steps each, on real photographs, as a user starts them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from nas.cli import main

SAMPLES = Path(os.environ.get("NAS_DATA", "../shared/data")) / "imagenet_samples"

SMALL = [
    "space.settings.resolution=32",
    "space.settings.multiplier=0.25",
    "space.settings.classes=4",
    "task.holdout=8",
    "task.settings.workers=0",
    "threads=1",
    "supernet.strategy.settings.groups=4",
    "supernet.steps_per_epoch=2",
    *(f"{step}.{s}" for step in ("supernet", "train") for s in ("epochs=1", "batch_size=16")),
    "search.recalibration_images=16",
    "search.optimizers.guided.iterations=2",
    "search.optimizers.guided.samples=4",
]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes of twelve training and four test images, made small; one more is broken."""
    files = sorted(SAMPLES.glob("*.JPEG"))
    if len(files) < 64:
        pytest.skip(f"{SAMPLES}: the 64 ImageNet samples are not there")
    root = tmp_path_factory.mktemp("photographs")
    for i, file in enumerate(files[:64]):
        folder = root / ("val" if i % 4 == 3 else "train") / f"class{i // 16}"
        folder.mkdir(parents=True, exist_ok=True)
        with Image.open(file) as image:
            image.draft("RGB", (96, 96))
            small = image.convert("RGB")
        small.thumbnail((64, 64))
        small.save(folder / file.name)
    (root / "train" / "class0" / "broken.JPEG").write_bytes(file.read_bytes()[:200])
    return root


def arguments(recipe: str, data: Path, out: Path) -> list[str]:
    return [recipe, f"--data={data}", f"--out={out}", *(f"--set={s}" for s in SMALL)]


def test_the_latency_recipe_runs_end_to_end_and_names_what_it_could_not_read(
    photographs, tmp_path, caplog, capfd
):
    out = tmp_path / "run"
    assert main(["run", *arguments("imagenet_mobilenet_v3_latency", photographs, out)]) == 0
    family = json.loads((out / "search/main/result.json").read_text())["family"]
    assert [entry["iteration"] for entry in family] == [0, 1, 2]
    skipped = [
        json.loads((out / step / "result.json").read_text())["skipped_images"]
        for step in ("supernet", "train/discovered")
    ]
    assert any(found["count"] == 1 and "broken.JPEG" in found["names"][0] for found in skipped)
    assert "broken.JPEG" in caplog.text
    # the trained network belongs to these classes
    other = tmp_path / "other"
    shutil.copytree(photographs, other)
    for split in ("train", "val"):
        (other / split / "class0").rename(other / split / "zebra")
    assert main(["evaluate", str(out), f"--data={other}"]) == 2
    assert "its classes have other names than those of the data" in capfd.readouterr().err


@pytest.mark.slow
def test_the_macs_recipe_runs_under_torchrun(photographs, tmp_path):
    out = tmp_path / "run"
    given = arguments("imagenet_mobilenet_v3_macs", photographs, out)

    def shell(command: list[str]) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    torchrun += ["--master-addr=127.0.0.1", f"--master-port={port}", "-m", "nas"]
    shell([*torchrun, "train-supernet", *given])
    assert main(["search", *given, "--budget=50%"]) == 0
    shell([*torchrun, "train", *given])
    result = json.loads((out / "train/discovered/result.json").read_text())
    assert result["devices"] == 2 and result["data"]["train_images"] == 41
