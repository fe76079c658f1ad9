"""The block keys of nn-Meter's hybrid-transformer tables as lists of operations.

Structure as in ``examples/test_transformer/build_lut/build_lut_modules.py`` of microsoft/nn-Meter,
branch dev/hybrid-transformer: every k×k convolution is padded by k // 2 and has hard-swish behind
expansion and depthwise; the squeeze is a quarter of the expansion; where cin ≠ cout a shortcut of
a 2×2 average pool (at stride 2; one pixel of padding on odd sizes) and a 1×1 convolution is added.
"""

from __future__ import annotations

import re

from search_spaces import Operation, Shape, UserError
from search_spaces.operation import Activation

_FIRST = re.compile(r"firstconv_(?P<hw>\d+)_(?P<cin>\d+)_(?P<cout>\d+)_(?P<stride>\d+)_(?P<k>\d+)")
_CONV = re.compile(
    r"conv_(?P<hw>\d+)_(?P<cin>\d+)_(?P<cout>\d+)_(?P<expand>\d+)_(?P<stride>\d+)"
    r"_hard_swish_(?P<k>\d+)_(?P<se>se|nose)"
)
_DOWN = re.compile(
    r"transds_(?P<hw>\d+)_(?P<cin>\d+)_(?P<cout>\d+)_(?P<stride>\d+)_(?P<expand>\d+)"
)


class Chain:
    """Appends operations in execution order; `tensor` names the last output."""

    def __init__(self, channels: int, height: int, width: int | None = None) -> None:
        self.tensor = "input"
        self.shape: Shape = (channels, height, height if width is None else width)
        self.operations: list[Operation] = []

    def conv(
        self,
        filters: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        activation: Activation = "none",
        size: int | None = None,
    ) -> None:
        """A convolution with bias; ``size`` overrides the output's height and width."""
        pad = kernel // 2 if padding is None else padding
        height, width = (
            (length + 2 * pad - kernel) // stride + 1 if size is None else size
            for length in self.shape[1:]
        )
        self.append(
            Operation(
                name=self.name("conv"),
                type="conv",
                inputs=(self.tensor,),
                input_shapes=(self.shape,),
                output_shape=(filters, height, width),
                kernel=(kernel, kernel),
                stride=(stride, stride),
                padding=(pad, pad, pad, pad),
                groups=groups,
                activation=activation,
                bias=True,
            )
        )

    def depthwise(
        self,
        *,
        kernel: int,
        stride: int,
        activation: Activation = "none",
        size: int | None = None,
    ) -> None:
        """A depthwise convolution."""
        c = self.shape[0]
        self.conv(c, kernel=kernel, stride=stride, groups=c, activation=activation, size=size)

    def squeeze_excite(self, hidden: int) -> None:
        """Pool, reduce, expand, multiply."""
        tensor, shape = self.tensor, self.shape
        self.global_pool()
        self.conv(hidden, activation="relu")
        self.conv(shape[0], activation="hard_sigmoid")
        self.append(
            Operation(
                self.name("multiply"), "multiply", (tensor, self.tensor), (shape, self.shape), shape
            )
        )

    def global_pool(self) -> None:
        """Average over all positions."""
        out = (self.shape[0], 1, 1)
        name = self.name("global_avg_pool")
        self.append(
            Operation(
                name,
                "global_avg_pool",
                (self.tensor,),
                (self.shape,),
                out,
                kernel=self.shape[1:],
            )
        )

    def add(self, tensor: str) -> None:
        """Add a tensor of the same shape."""
        shapes = (self.shape, self.shape)
        self.append(Operation(self.name("add"), "add", (self.tensor, tensor), shapes, self.shape))

    def reshape(self) -> None:
        """A change of shape, which the runtime makes by a copy."""
        self.append(
            Operation(self.name("flatten"), "flatten", (self.tensor,), (self.shape,), self.shape)
        )

    def name(self, kind: str) -> str:
        """A name that no operation has yet."""
        return f"{kind}{len(self.operations)}"

    def append(self, operation: Operation) -> None:
        """Append an operation and go on from its output."""
        self.operations.append(operation)
        self.tensor, self.shape = operation.name, operation.output_shape


def block_operations(key: str) -> tuple[Operation, ...]:
    """The operations of a block key.

    Raises:
        UserError: not a key of nn-Meter's convolution blocks.
    """
    if match := _FIRST.fullmatch(key):
        f = {name: int(value) for name, value in match.groupdict().items()}
        chain = Chain(f["cin"], f["hw"])
        chain.conv(f["cout"], kernel=f["k"], stride=f["stride"], activation="hard_swish")
        return tuple(chain.operations)
    if match := _CONV.fullmatch(key):
        g = match.groupdict()
        squeeze = g.pop("se") == "se"
        f = {name: int(value) for name, value in g.items()}
        reshaped = False
    elif match := _DOWN.fullmatch(key):
        f = {name: int(value) for name, value in match.groupdict().items()} | {"k": 3}
        squeeze = reshaped = True
    else:
        raise UserError(f"{key!r} is not a block key of nn-Meter (firstconv_, conv_, transds_)")
    if min(f.values()) < 1:
        raise UserError(f"block key {key!r} has a size below 1")
    chain = Chain(f["cin"], f["hw"])
    if reshaped:
        chain.reshape()
    start, start_shape = chain.tensor, chain.shape
    wide = f["cin"] * f["expand"]
    if f["expand"] > 1:
        chain.conv(wide, activation="hard_swish")
    chain.depthwise(kernel=f["k"], stride=f["stride"], activation="hard_swish")
    if squeeze:
        chain.squeeze_excite(max(1, wide // 4))
    chain.conv(f["cout"])
    main = chain.tensor
    if f["cin"] != f["cout"]:
        chain.tensor, chain.shape = start, start_shape
        if f["stride"] == 2:
            odd = f["hw"] % 2
            size = (f["hw"] + 2 * odd) // 2
            chain.append(
                Operation(
                    chain.name("avg_pool"),
                    "avg_pool",
                    (start,),
                    (start_shape,),
                    (f["cin"], size, size),
                    kernel=(2, 2),
                    stride=(2, 2),
                    padding=(odd, odd, odd, odd),
                    mode="floor",
                )
            )
        chain.conv(f["cout"])
        chain.add(main)
    elif f["stride"] == 1:
        chain.add(start)
    if reshaped:
        chain.reshape()
    return tuple(chain.operations)
