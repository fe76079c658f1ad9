"""Writes a space's graph unit by unit; what a file that declares a space uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from search_spaces.choices import Choice, ChoiceKind, Unit, Width, widths
from search_spaces.errors import UserError, unknown
from search_spaces.joins import Add, Bypass
from search_spaces.nodes import (
    Conv,
    GlobalPool,
    Linear,
    Lowering,
    Multiply,
    Node,
    Resize,
)
from search_spaces.operation import Activation
from search_spaces.space import INPUT, SearchSpace

LARGEST_RESOLUTION = 2**16
"""One map of so many pixels a side fills the memory of any machine that a network is for."""


class GraphBuilder:
    """Adds nodes and choices in order and returns tensor names.

    With ``bypass`` off no unit can be removed, and a residual unit shares the width choice of
    what it is added to (a channel group), as classic NetAdapt needs it.
    """

    def __init__(self, *, input_channels: int, resolution: int, bypass: bool) -> None:
        _above_zero("input channels", input_channels)
        _above_zero("resolution", resolution)
        if resolution > LARGEST_RESOLUTION:
            raise UserError(f"resolution = {resolution}: at most {LARGEST_RESOLUTION} pixels")
        self.bypass = bypass
        self.nodes: list[Node] = []
        self.choices: dict[str, Choice] = {}
        self.units: list[Unit] = []
        self.input_channels = input_channels
        self.resolution = resolution
        self._width = {INPUT: Width(input_channels)}

    def build(
        self,
        name: str,
        output: str,
        *,
        classes: int,
        lowering: Lowering = "concat",
    ) -> SearchSpace:
        """The finished space; `register` gives it the settings that it was built with.

        Raises:
            UserError: no classes, or an unknown lowering.
        """
        _above_zero("classes", classes)
        if lowering not in get_args(Lowering):
            raise unknown("lowering", lowering, get_args(Lowering))
        return SearchSpace(
            name=name,
            settings={},
            nodes=tuple(self.nodes),
            choices=self.choices,
            units=tuple(self.units),
            outputs=(output,),
            input_channels=self.input_channels,
            resolution=self.resolution,
            classes=classes,
            lowering=lowering,
        )

    def choice(
        self, name: str, kind: ChoiceKind, values: Sequence[int], requires: str | None = None
    ) -> str:
        """Declare a choice and return its name."""
        self.choices[name] = Choice(name, kind, tuple(values), requires)
        return name

    def add(self, node: Node, width: Width) -> str:
        """Append a node whose largest output has this width."""
        self.nodes.append(node)
        self._width[node.name] = width
        return node.name

    def channels(self, tensor: str) -> int:
        """Channels of a tensor in the largest network."""
        return self._width[tensor].maximum

    # layers ----------------------------------------------------------------------------------

    def conv(
        self,
        name: str,
        x: str,
        filters: Width,
        *,
        kernel: int = 1,
        kernel_choice: str | None = None,
        stride: int = 1,
        activation: Activation = "none",
        norm: bool = True,
        norm_eps: float = 1e-5,
        bias: bool = False,
        requires: str | None = None,
    ) -> str:
        """A dense convolution, padded symmetrically by half the kernel.

        Raises:
            UserError: an unknown activation.
        """
        if activation not in get_args(Activation):
            raise unknown("activation", activation, get_args(Activation))
        pad = kernel // 2
        node = Conv(
            name=name,
            inputs=(x,),
            requires=requires,
            filters=filters,
            kernel=(kernel, kernel),
            kernel_choice=kernel_choice,
            stride=(stride, stride),
            padding=(pad, pad, pad, pad),
            activation=activation,
            norm=norm,
            norm_eps=norm_eps,
            bias=bias,
        )
        return self.add(node, filters)

    def depthwise(
        self,
        name: str,
        x: str,
        *,
        kernel: int,
        kernel_choice: str | None = None,
        stride: int = 1,
        activation: Activation,
        norm_eps: float = 1e-5,
        requires: str | None = None,
    ) -> str:
        """A depthwise convolution, padded symmetrically by half the kernel."""
        pad = kernel // 2
        node = Conv(
            name=name,
            inputs=(x,),
            requires=requires,
            filters=self._width[x],
            kernel=(kernel, kernel),
            kernel_choice=kernel_choice,
            stride=(stride, stride),
            padding=(pad, pad, pad, pad),
            group_width=1,
            activation=activation,
            norm_eps=norm_eps,
        )
        return self.add(node, self._width[x])

    def squeeze_excite(self, name: str, x: str, *, requires: str | None = None) -> str:
        """MobileNetV3's squeeze-and-excite: pool, a quarter of the channels, gate."""
        full = self._width[x]
        rule = "squeeze4"
        squeeze = Width(
            maximum=Width(full.maximum, "m", rule).of({"m": full.maximum}),
            choice=full.choice,
            rule=rule,
        )
        pool = self.add(GlobalPool(name=f"{name}.pool", inputs=(x,), requires=requires), full)
        common: dict[str, Any] = {"norm": False, "bias": True, "requires": requires}
        reduce = self.conv(f"{name}.reduce", pool, squeeze, activation="relu", **common)
        gate = self.conv(f"{name}.expand", reduce, full, activation="hard_sigmoid", **common)
        return self.add(Multiply(name=name, inputs=(x, gate), requires=requires), full)

    def global_pool(self, name: str, x: str) -> str:
        """Average over all positions."""
        return self.add(GlobalPool(name=name, inputs=(x,)), self._width[x])

    def linear(self, name: str, x: str, filters: Width, *, activation: Activation = "none") -> str:
        """A fully connected layer with bias."""
        return self.add(
            Linear(name=name, inputs=(x,), filters=filters, activation=activation), filters
        )

    def resize(self, name: str, x: str, *, factor: int = 2) -> str:
        """Nearest-neighbour upsampling."""
        node = Resize(name=name, inputs=(x,), factor=factor)
        return self.add(node, self._width[x])

    def skip(self, name: str, x: str, skipped: str) -> str:
        """An additive skip: common channels are added, those of the wider tensor pass."""
        wider = max(self._width[x], self._width[skipped], key=lambda w: w.maximum)
        return self.add(Add(name=name, inputs=(x, skipped)), wider)

    # units -----------------------------------------------------------------------------------

    def conv_unit(
        self,
        name: str,
        x: str,
        filters: int,
        *,
        kernel: int,
        stride: int = 1,
        activation: Activation,
        norm_eps: float = 1e-5,
    ) -> str:
        """A convolution whose filters are searched and that stays: a stem or a head."""
        width = Width(filters, self.choice(f"{name}.width", "width", widths(filters)))
        out = self.conv(
            name, x, width, kernel=kernel, stride=stride, activation=activation, norm_eps=norm_eps
        )
        self._unit(name, width, stride, residual=False, bypass=False)
        return out

    def linear_unit(self, name: str, x: str, filters: int, *, activation: Activation) -> str:
        """A hidden fully connected layer whose filters are searched and that stays."""
        width = Width(filters, self.choice(f"{name}.width", "width", widths(filters)))
        out = self.linear(name, x, width, activation=activation)
        self._unit(name, width, 1, residual=False, bypass=False)
        return out

    def separable(
        self,
        name: str,
        x: str,
        filters: int,
        *,
        kernels: Sequence[int],
        stride: int = 1,
        activation: Activation,
        pointwise_activation: Activation = "none",
        residual: bool = True,
        squeeze_excite: bool = False,
        norm_eps: float = 1e-5,
    ) -> str:
        """A separable pair: depthwise, then pointwise with the filters that are searched.

        Residual where ``residual`` allows it, the stride is 1 and C = T in the largest network.
        """
        is_residual, width, requires = self._open(name, x, filters, stride, residual)
        kernel = self._kernel(name, kernels, requires)
        y = self.depthwise(
            f"{name}.depthwise",
            x,
            kernel=max(kernels),
            kernel_choice=kernel,
            stride=stride,
            activation=activation,
            norm_eps=norm_eps,
            requires=requires,
        )
        if squeeze_excite:
            y = self.squeeze_excite(f"{name}.se", y, requires=requires)
        y = self.conv(
            f"{name}.pointwise",
            y,
            width,
            activation=pointwise_activation,
            norm_eps=norm_eps,
            requires=requires,
        )
        return self._close(name, x, y, width, stride, is_residual, None, kernel)

    def inverted_residual(
        self,
        name: str,
        x: str,
        filters: int,
        expansion: int,
        *,
        kernels: Sequence[int],
        stride: int = 1,
        activation: Activation,
        squeeze_excite: bool = False,
        norm_eps: float = 1e-5,
    ) -> str:
        """An inverted-residual block (Sandler et al., CVPR 2018); M counts the projection.

        Searched are M, the expansion width E (absolute) and the depthwise kernel.
        """
        is_residual, width, requires = self._open(name, x, filters, stride, True)
        wide = self.choice(f"{name}.expansion", "expansion", widths(expansion), requires)
        kernel = self._kernel(name, kernels, requires)
        y = self.conv(
            f"{name}.expand",
            x,
            Width(expansion, wide),
            activation=activation,
            norm_eps=norm_eps,
            requires=requires,
        )
        y = self.depthwise(
            f"{name}.depthwise",
            y,
            kernel=max(kernels),
            kernel_choice=kernel,
            stride=stride,
            activation=activation,
            norm_eps=norm_eps,
            requires=requires,
        )
        if squeeze_excite:
            y = self.squeeze_excite(f"{name}.se", y, requires=requires)
        y = self.conv(f"{name}.project", y, width, norm_eps=norm_eps, requires=requires)
        return self._close(name, x, y, width, stride, is_residual, wide, kernel)

    # the two ends of a unit --------------------------------------------------------------------

    def _open(
        self, name: str, x: str, filters: int, stride: int, residual: bool
    ) -> tuple[bool, Width, str | None]:
        is_residual = residual and stride == 1 and self.channels(x) == filters
        if is_residual and not self.bypass:
            return True, self._width[x], None
        removable = self.bypass and stride == 1
        choice = self.choice(f"{name}.width", "width", widths(filters, removable=removable))
        return is_residual, Width(filters, choice), choice if removable else None

    def _kernel(self, name: str, kernels: Sequence[int], requires: str | None) -> str | None:
        if not kernels or any(k % 2 == 0 for k in kernels):
            raise UserError(f"{name}: kernel sizes {list(kernels)} are not odd numbers")
        if len(kernels) == 1:
            return None
        return self.choice(f"{name}.kernel", "kernel", sorted(kernels), requires)

    def _close(
        self,
        name: str,
        x: str,
        y: str,
        width: Width,
        stride: int,
        residual: bool,
        expansion: str | None,
        kernel: str | None,
    ) -> str:
        filters = width.maximum
        out = y
        if self.bypass:
            bypass = Bypass(
                name=name, inputs=(y, x), filters=filters, stride=stride, residual=residual
            )
            # C and M both vary, so no single choice names this width any more
            out = self.add(bypass, Width(filters))
        elif residual:
            out = self.add(Add(name=name, inputs=(y, x)), width)
        self._unit(
            name,
            width,
            stride,
            residual=residual,
            bypass=self.bypass,
            expansion=expansion,
            kernel=kernel,
        )
        return out

    def _unit(
        self,
        name: str,
        width: Width,
        stride: int,
        *,
        residual: bool,
        bypass: bool,
        expansion: str | None = None,
        kernel: str | None = None,
    ) -> None:
        assert width.choice is not None
        self.units.append(
            Unit(
                name=name,
                width=width.choice,
                filters=width.maximum,
                stride=stride,
                residual=residual,
                bypass=bypass,
                expansion=expansion,
                kernel=kernel,
            )
        )


def _above_zero(what: str, value: int) -> None:
    if value < 1:
        raise UserError(f"{what} = {value}: must be 1 or more")
