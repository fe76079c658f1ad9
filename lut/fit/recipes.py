"""How the fitted devices are fitted: to which measurements, and what is fixed beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lut.cost import Precision
from lut.fit.features import Core
from lut.fit.processor import Processor


@dataclass(frozen=True)
class Recipe:
    """How a device is fitted.

    ``files`` are the names of its measurement files; ``column`` picks the latency in a file of
    networks. ``power`` and ``ridge`` are those of `solve.fit`. ``borrowed`` gives features that no
    measurement has the coefficient of another one. ``terms`` are sums of features in fixed ratios
    that share one coefficient, for sources too small to tell all features apart; features in no
    term cost nothing. Without terms every feature but ``without`` has its own coefficient.
    ``mobile_weight`` is the weight of mobile networks against others. ``network_error`` is what
    is known of whole networks beyond the errors of the fit; figures are printed with the larger.
    """

    name: str
    description: str
    cores: str
    runtime: str
    runtime_version: str
    source: str
    files: tuple[str, ...]
    core: Processor
    precision: Precision = "float32"
    column: str = ""
    power: float = 2.0
    ridge: float = 0.0
    borrowed: Mapping[str, str] | None = None
    without: tuple[str, ...] = ()
    terms: Mapping[str, Mapping[str, float]] | None = None
    mobile_weight: float = 1.0
    network_error: float = 0.0
    extrapolated: tuple[str, ...] = ()


NN_METER = "microsoft/nn-Meter (MIT), branch dev/hybrid-transformer, commit 9c31e19"
MOBILE_BENCHMARK = "qed-usc/mobile-ml-benchmark (MIT), commit 40ba833"

_BLOCK_NOTES = (
    "slice, concat, pad_channels, resize and stand-alone batch norm (bypass lowerings and "
    "decoders): bytes moved at the fitted bandwidth of elementwise operations; a runtime that "
    "cannot delegate them pays more",
    "max pooling: as average pooling",
    "depthwise 7x7: scaled by area from 5x5",
    "dense k x k convolutions other than the first one (3 input channels)",
    "maps smaller than 2x2 or larger than 256x256, and widths outside the coverage",
    "whole networks: only blocks were timed, again and again, with warmer weights than in a "
    "network; four published networks on a Pixel 1 lie 10 to 12 % above the prediction",
)
NETWORK_NOTES = (
    "slice, pad_channels and resize (bypass lowerings and decoders): bytes moved at the fitted "
    "bandwidth; a runtime that cannot delegate them pays more",
    "additions, gates, activations and stand-alone norms are not in the measured lists of "
    "operations; they were put back by the structure of each family",
    "resolutions other than 224: every measured network has 224",
)


_NETWORKS_ONLY = ("tiles", "padded_read", "image_pixels", "weights", "depthwise_strided", "norm")
# features that only whole networks show; blocks are fitted as well without them


def _blocks(name: str, phone: str, core: str, *, power: float, caches: tuple[int, ...]) -> Recipe:
    number = phone.split()[-1]
    return Recipe(
        name=name,
        description=f"{phone}, convolution blocks timed one by one (nn-Meter)",
        cores=f"1 large core ({core}), implied by the rate, not recorded",
        runtime="TFLite with XNNPACK",
        runtime_version="not recorded",
        source=NN_METER,
        files=(f"nn_meter_pixel{number}_mbconv.json",),
        core=Core(weight_caches=caches),
        power=power,
        borrowed={"max_pool": "avg_pool"},
        without=_NETWORKS_ONLY,
        network_error=0.12,
        extrapolated=_BLOCK_NOTES,
    )


_DEPTHWISE = ("depthwise3s1", "depthwise3s2", "depthwise5s1", "depthwise5s2")
# Ratios to a multiply-accumulate of a matrix product as the block fits of three phones have them:
# 3.1 to 3.6 for depthwise, 0.35 to 0.9 a byte for elementwise traffic.
FLOAT_TERMS: dict[str, dict[str, float]] = {
    "core": {
        "gemm": 1.0,
        **dict.fromkeys(_DEPTHWISE, 3.5),
        "traffic": 0.4,
        "swish": 0.7,
        "global_pool": 1.0,
        "avg_pool": 8.0,
        "max_pool": 8.0,
    },
    "strided depthwise": {"depthwise3s2": 1.0, "depthwise5s2": 1.0},
    "igemm": {"igemm": 1.0},
    "padded_read": {"padded_read": 1.0},
    "tiles": {"tiles": 1.0},
    "weights": {"weights": 1.0},
    "norm": {"norm": 1.0},
    "grouped": {"grouped": 1.0},
    "grouped_taps": {"grouped_taps": 1.0},
}
INT8_TERMS: dict[str, dict[str, float]] = {
    "gemm": {"gemm": 1.0},
    "igemm": {"igemm": 1.0},
    "depthwise": dict.fromkeys(_DEPTHWISE, 1.0),
    "depthwise 5x5": {"depthwise5s1": 1.0, "depthwise5s2": 1.0},
    "depthwise_strided": {"depthwise_strided": 1.0},
    # a pool sums in 32 bits, at about half the rate of a copy
    "traffic": {"traffic": 1.0, "global_pool": 2.0, "avg_pool": 2.0, "max_pool": 2.0},
    "padded_read": {"padded_read": 1.0},
    "image_pixels": {"image_pixels": 1.0},
    "packing": {"read": 1.0, "write": 1.0},
    "weights": {"weights": 1.0},
    "norm": {"norm": 1.0},
    "grouped": {"grouped": 1.0},
    "grouped_taps": {"grouped_taps": 1.0},
}

_NETWORK_FILES = ("pixel4_tflite_networks.csv", "pixel4_tflite_network_ops.csv")
_CACHES = (16_000, 128_000, 512_000, 1_000_000)

PIXELS = (
    _blocks("pixel1-cpu", "Google Pixel 1", "Kryo", power=1.5, caches=_CACHES),
    _blocks(
        "pixel4-cpu-blocks",
        "Google Pixel 4",
        "Kryo 485",
        power=2.0,
        caches=(*_CACHES, 2_000_000),
    ),
    _blocks("pixel6-cpu", "Google Pixel 6", "Cortex-X1", power=1.5, caches=_CACHES),
    Recipe(
        name="pixel4-cpu",
        description="Google Pixel 4, whole networks (mobile-ml-benchmark)",
        cores="1 large core (Kryo 485)",
        runtime="TFLite",
        runtime_version="2.10",
        source=MOBILE_BENCHMARK,
        files=_NETWORK_FILES,
        core=Core(weight_caches=(), map_caches=()),
        column="pixel4|1large|float|mean",
        ridge=0.02,
        terms=FLOAT_TERMS,
        mobile_weight=3.0,
        extrapolated=NETWORK_NOTES,
    ),
    Recipe(
        name="pixel4-cpu-int8",
        description="Google Pixel 4, whole int8 networks (mobile-ml-benchmark)",
        cores="1 large core (Kryo 485)",
        runtime="TFLite",
        runtime_version="2.10",
        source=MOBILE_BENCHMARK,
        files=_NETWORK_FILES,
        core=Core(rows=8, weight_caches=(), map_caches=(), element=1),
        precision="int8",
        column="pixel4|1large|quant|mean",
        ridge=0.02,
        terms=INT8_TERMS,
        mobile_weight=3.0,
        extrapolated=NETWORK_NOTES,
    ),
)
