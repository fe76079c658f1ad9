"""Six phones: the networks of the Pixel 4, timed on the cores of five more and on all GPUs.

What phones have in common is transferred: which features cost something, and the ratios within
each term, are those of the Pixel 4 (`lut.fit.recipes`); nothing was chosen anew. Only the
coefficients, one a term, are a phone's own: 86 totals carry that many, and no ratio beyond them.
The features of a GPU (`lut.fit.gpu`) are the same for all six.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lut.fit.gpu import Gpu
from lut.fit.recipes import PIXELS, Recipe

OPERATIONS = "pixel4_tflite_network_ops.csv"
NETWORKS = "phones_tflite_networks.csv"

_PIXEL4 = {recipe.name: recipe for recipe in PIXELS}


@dataclass(frozen=True)
class Phone:
    """A phone of the measurements: its device name, what it is, its columns, core and GPU."""

    name: str
    title: str
    column: str
    core: str
    gpu: str


FIVE = (
    Phone(
        "galaxy-s10",
        "Samsung Galaxy S10",
        "s10",
        "of which chip is not recorded",
        "of which chip is not recorded",
    ),
    Phone("mi-8-se", "Xiaomi Mi 8 SE", "mi8se", "Kryo 360 Gold", "Adreno 616"),
    Phone("galaxy-a03s", "Samsung Galaxy A03s", "a03s", "Cortex-A53", "PowerVR GE8320"),
    Phone("iphone-7", "Apple iPhone 7", "iphone7", "A10 Hurricane", "A10"),
    Phone("iphone-xs", "Apple iPhone XS", "iphonexs", "A12 Vortex", "A12"),
)

PIXEL4 = Phone("pixel4", "Google Pixel 4", "pixel4", "Kryo 485", "Adreno 640")


def _core(phone: Phone, kind: str, networks: str, column: str) -> Recipe:
    """A large core, fitted as the Pixel 4's; ``kind`` ends both names."""
    return replace(
        _PIXEL4[f"pixel4-{kind}"],
        name=f"{phone.name}-{kind}",
        description=f"{phone.title}, whole {networks} (mobile-ml-benchmark)",
        cores=f"1 large core ({phone.core})",
        files=(NETWORKS, OPERATIONS),
        column=f"{phone.column}|1large|{column}|mean",
    )


_GPU_NOTES = (
    "the fixed share of a network (handing over the image, fetching the result) was seen at 224 px "
    "only and does not shrink with the resolution; it is missing where the first convolution reads "
    "neither 1 nor 3 channels",
    "slice, pad_channels and resize (bypass lowerings and decoders), stand-alone activations: a "
    "call, and their maps at the fitted bandwidth; where the delegate leaves an operation to the "
    "CPU the network pays more",
    "additions, gates, activations and stand-alone norms are not in the measured lists of "
    "operations; they were put back by the structure of each family",
    "whether the delegate computed in 16 or 32 bits is not recorded",
)


def _gpu(phone: Phone) -> Recipe:
    apple = phone.name.startswith("iphone")
    return replace(
        _PIXEL4["pixel4-cpu"],
        name=f"{phone.name}-gpu",
        description=f"{phone.title}, whole networks on its GPU (mobile-ml-benchmark)",
        cores=f"GPU ({phone.gpu})",
        runtime=f"TFLite GPU delegate ({'Metal' if apple else 'OpenCL or OpenGL'})",
        files=(NETWORKS, OPERATIONS),
        core=Gpu(),
        column=f"{phone.column}|gpu|float|mean",
        terms=None,
        extrapolated=_GPU_NOTES,
    )


PHONES: tuple[Recipe, ...] = (
    *(_core(phone, "cpu", "networks", "float") for phone in FIVE),
    *(_core(phone, "cpu-int8", "int8 networks", "quant") for phone in FIVE),
    *map(_gpu, (PIXEL4, *FIVE)),
)
