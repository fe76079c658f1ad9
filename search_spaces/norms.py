"""Normalisations whose statistics are each image's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from search_spaces.choices import Values
from search_spaces.nodes import REMOVED, Inputs, Lowered, Lowering, Node, _present


@dataclass(frozen=True, kw_only=True)
class LayerNorm(Node):
    """Normalisation by the mean and variance over the channels that are there.

    ``over`` says what statistics are taken over: ``channels``, at every position (Ba et al.,
    2016; ConvNeXt's), or ``all``, channels and positions (group normalisation with one group).
    """

    eps: float = 1e-5
    over: Literal["channels", "all"] = "channels"

    def lower(self, inputs: Inputs, values: Values, lowering: Lowering) -> Lowered:
        if self.removed(values) or inputs[0] is None:
            return REMOVED
        x = _present(inputs)
        operation = self.operation(
            x, x.shape, type="layer_norm", norm=True, norm_eps=self.eps, mode=self.over
        )
        return (operation,), x._replace(name=self.name)
