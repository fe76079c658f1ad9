"""An example or two for the ``--help`` of every command."""

from __future__ import annotations

EXAMPLES = {
    "quickstart": [
        "nas quickstart",
        "nas quickstart --task segmentation --dry-run",
    ],
    "train-supernet": [
        "nas train-supernet digits_quickstart --set supernet.epochs=20",
        "nas train-supernet image_folder --data photos --set space.settings.classes=5 --dry-run",
    ],
    "search": [
        "nas search digits_quickstart --budget 40% --name small",
        "nas search image_folder --device pixel4-cpu --budget 12ms --budget params=3M",
    ],
    "train": [
        "nas train digits_quickstart",
        "nas train digits_quickstart --name small "
        "--architecture runs/digits_quickstart/search/small/result.json",
    ],
    "run": [
        "nas run image_folder --data photos --set space.settings.classes=5 --out runs/photos",
        "nas run digits_quickstart --resume",
    ],
    "compare": ["nas compare digits --jobs 2", "nas compare my-comparison.yaml --dry-run"],
    "evaluate": [
        "nas evaluate runs/digits_quickstart/train/discovered",
        "nas evaluate runs/photos/train/discovered --image cat.jpg",
    ],
    "describe": [
        "nas describe mobilenet_v2 --device pixel1-cpu",
        "nas describe runs/digits_quickstart/train/discovered",
    ],
    "export": [
        "nas export runs/digits_quickstart/train/discovered --format tflite",
    ],
    "report": [
        "nas report runs/digits_quickstart",
        "nas report runs/one runs/another --out both.html",
    ],
    "benchmark": [
        "nas benchmark list",
        "nas benchmark lut-query",
    ],
    "clean": ["nas clean", "nas clean runs/digits_quickstart --cache --yes"],
    "lut build": [
        "nas lut build mobilenet_v3_tiny --device host",
    ],
    "lut validate": ["nas lut validate mobilenet_v3_tiny --device host"],
    "lut query": ["nas lut query mobilenet_v2 --device pixel1-cpu"],
    "lut fit": ["nas lut fit pixel1-cpu measurements.csv"],
    "lut import": ["nas lut import nn-meter kernels.json --name my-phone"],
    "lut devices": ["nas lut devices"],
}
"""Command → lines as they are typed."""


def epilog(command: str) -> str:
    """The examples of a command, kept line by line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in EXAMPLES[command])
