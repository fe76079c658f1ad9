"""Five more phones: the networks of the Pixel 4, timed on other cores.

What phones have in common is transferred: which features cost something, and the ratios within
each term, are those of the Pixel 4 (`lut.fit.recipes`); nothing was chosen anew. Only the
coefficients, one a term, are a phone's own: 86 totals carry that many, and no ratio beyond them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lut.fit.recipes import PIXELS, Recipe

OPERATIONS = "pixel4_tflite_network_ops.csv"
NETWORKS = "phones_tflite_networks.csv"

_PIXEL4 = {recipe.name: recipe for recipe in PIXELS}


@dataclass(frozen=True)
class Phone:
    """A phone of the measurements: its device name, what it is, its columns and its cores."""

    name: str
    title: str
    column: str
    core: str


FIVE = (
    Phone("galaxy-s10", "Samsung Galaxy S10", "s10", "of which chip is not recorded"),
    Phone("mi-8-se", "Xiaomi Mi 8 SE", "mi8se", "Kryo 360 Gold"),
    Phone("galaxy-a03s", "Samsung Galaxy A03s", "a03s", "Cortex-A53"),
    Phone("iphone-7", "Apple iPhone 7", "iphone7", "A10 Hurricane"),
    Phone("iphone-xs", "Apple iPhone XS", "iphonexs", "A12 Vortex"),
)


def _float32(phone: Phone) -> Recipe:
    return replace(
        _PIXEL4["pixel4-cpu"],
        name=f"{phone.name}-cpu",
        description=f"{phone.title}, whole networks (mobile-ml-benchmark)",
        cores=f"1 large core ({phone.core})",
        files=(NETWORKS, OPERATIONS),
        column=f"{phone.column}|1large|float|mean",
    )


def _int8(phone: Phone) -> Recipe:
    return replace(
        _PIXEL4["pixel4-cpu-int8"],
        name=f"{phone.name}-cpu-int8",
        description=f"{phone.title}, whole int8 networks (mobile-ml-benchmark)",
        cores=f"1 large core ({phone.core})",
        files=(NETWORKS, OPERATIONS),
        column=f"{phone.column}|1large|quant|mean",
    )


PHONES: tuple[Recipe, ...] = (*map(_float32, FIVE), *map(_int8, FIVE))
