"""The output layer's first weights where the task knows what its targets look like."""

from __future__ import annotations

import torch
from torch import nn

from supernet.compact import CompactNetwork
from supernet.supernet import Supernet


@torch.no_grad()
def set_output_prior(module: Supernet | CompactNetwork, mean: float, deviation: float) -> None:
    """Let an untrained network's outputs have this mean and standard deviation, in place.

    Only where the output comes from a normalised layer; others are left as they are. A network
    that regresses metres would otherwise spend its first epochs on reaching their mean.
    """
    outputs = module.network.outputs if isinstance(module, CompactNetwork) else module.space.outputs
    for name in outputs:
        try:
            layer = module.layer(name)
        except KeyError:
            continue
        norm = getattr(layer, "norm", None)
        weight, bias = getattr(norm, "weight", None), getattr(norm, "bias", None)
        if isinstance(weight, nn.Parameter) and isinstance(bias, nn.Parameter):
            weight.fill_(deviation)
            bias.fill_(mean)
