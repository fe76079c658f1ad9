"""The keys of ProxylessNAS' and Once-for-All's latency tables as lists of operations.

Keys as ``LatencyTable.query`` of mit-han-lab/once-for-all writes them: ``Conv`` (3×3, stride 2),
``expanded_conv`` (an inverted-residual block), ``Conv_1``, ``Conv_2`` (1×1), ``AvgPool2D`` (global)
and ``Logits``. ``expand`` is a ratio in ProxylessNAS' keys and the absolute width in those of
MobileNetV3, which end in ``se`` and ``hs``.
"""

from __future__ import annotations

import re

from lut.fit.blocks import Chain
from search_spaces import Operation, UserError
from search_spaces.choices import make_divisible
from search_spaces.operation import Activation

_LAYER = re.compile(
    r"(?P<type>Conv|Conv_1|Conv_2|AvgPool2D)-input:(?P<h>\d+)x(?P<w>\d+)x(?P<cin>\d+)"
    r"-output:(?P<oh>\d+)x(?P<ow>\d+)x(?P<cout>\d+)"
)
_LOGITS = re.compile(r"Logits-input:(?:(?P<h>\d+)x(?P<w>\d+)x)?(?P<cin>\d+)-output:(?P<cout>\d+)")
_BLOCK = re.compile(
    r"expanded_conv-input:(?P<h>\d+)x(?P<w>\d+)x(?P<cin>\d+)"
    r"-output:(?P<oh>\d+)x(?P<ow>\d+)x(?P<cout>\d+)-expand:(?P<expand>\d+)-kernel:(?P<k>\d+)"
    r"-stride:(?P<stride>\d+)-idskip:(?P<skip>[01])(?:-se:(?P<se>[01])-hs:(?P<hs>[01]))?"
)


def layer_operations(key: str, *, mobilenet_v3: bool = False) -> tuple[Operation, ...]:
    """The operations of one key.

    Args:
        key: of the table.
        mobilenet_v3: the table is Once-for-All's for MobileNetV3, so its single convolutions
            have hard-swish; ProxylessNAS' have ReLU6.

    Raises:
        UserError: not a key of such a table.
    """
    if match := _LAYER.fullmatch(key):
        f = _numbers(key, match)
        kind = match["type"]
        chain = Chain(f["cin"], f["h"], f["w"])
        activation: Activation = "hard_swish" if mobilenet_v3 else "relu6"
        if kind == "AvgPool2D":
            chain.global_pool()
        elif kind == "Conv":
            chain.conv(f["cout"], kernel=3, stride=-(-f["h"] // f["oh"]), activation=activation)
        else:
            chain.conv(f["cout"], activation=activation)
        return _checked(key, chain, f["cout"], f["oh"])
    if match := _LOGITS.fullmatch(key):
        f = _numbers(key, match)
        chain = Chain(f["cin"], f.get("h", 1), f.get("w", 1))
        if chain.shape[1:] != (1, 1):
            chain.global_pool()
        out = (f["cout"], 1, 1)
        name = chain.name("linear")
        chain.append(Operation(name, "linear", (chain.tensor,), (chain.shape,), out, bias=True))
        return tuple(chain.operations)
    if match := _BLOCK.fullmatch(key):
        return _block(key, match)
    raise UserError(
        f"{key!r} is not a key of a ProxylessNAS or Once-for-All table (expanded_conv-input:…)"
    )


def _block(key: str, match: re.Match[str]) -> tuple[Operation, ...]:
    f = _numbers(key, match)
    third = match["se"] is not None
    wide = f["expand"] if third else f["cin"] * f["expand"]
    activation: Activation = "relu6" if not third else "hard_swish" if f["hs"] else "relu"
    chain = Chain(f["cin"], f["h"], f["w"])
    start = chain.tensor
    if wide != f["cin"]:
        chain.conv(wide, activation=activation)
    chain.depthwise(kernel=f["k"], stride=f["stride"], activation=activation)
    if third and f["se"]:
        chain.squeeze_excite(make_divisible(wide // 4))
    chain.conv(f["cout"])
    if f["skip"]:
        if f["stride"] != 1 or f["cin"] != f["cout"]:
            raise UserError(f"{key}: idskip:1 needs stride 1 and equal widths")
        chain.add(start)
    return _checked(key, chain, f["cout"], f["oh"])


def _numbers(key: str, match: re.Match[str]) -> dict[str, int]:
    numbers = {k: int(v) for k, v in match.groupdict().items() if k != "type" and v is not None}
    if any(v < 1 for k, v in numbers.items() if k not in {"skip", "se", "hs"}):
        raise UserError(f"{key}: a size below 1")
    return numbers


def _checked(key: str, chain: Chain, filters: int, size: int) -> tuple[Operation, ...]:
    if chain.shape[:2] != (filters, size):
        raise UserError(f"{key}: the output should be {chain.shape[1]} high, {chain.shape[0]} wide")
    return tuple(chain.operations)
