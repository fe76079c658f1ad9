"""Batch normalisation where every group of images has its own statistics.

The mask of ordered dropout is folded into scale and shift: a channel with both at zero leaves
zero behind any activation with f(0) = 0, at no cost.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


class _GroupBatchNorm(Function):
    """One fused normalisation per group, written straight into the batch's output."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, bias: Tensor, mask: Tensor | None, eps: float, *chunks: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        groups = len(chunks)
        channels = weight.shape[0]
        scale = weight.expand(groups, channels) if mask is None else weight * mask
        shift = bias.expand(groups, channels) if mask is None else bias * mask
        size = len(chunks[0])
        first = chunks[0]
        memory = (
            torch.channels_last
            if first.is_contiguous(memory_format=torch.channels_last)
            else torch.contiguous_format
        )
        shape = (groups * size, *first.shape[1:])
        out = torch.empty(shape, dtype=first.dtype, device=first.device, memory_format=memory)
        mean = first.new_empty((groups, channels), dtype=weight.dtype)
        inverse = torch.empty_like(mean)
        for g, chunk in enumerate(chunks):
            torch.ops.aten.native_batch_norm.out(
                chunk,
                scale[g],
                shift[g],
                None,
                None,
                True,
                0.0,
                eps,
                out=out[g * size : (g + 1) * size],
                save_mean=mean[g],
                save_invstd=inverse[g],
            )
        ctx.save_for_backward(scale, mean, inverse, mask, *chunks)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, inverse)
        return out, mean, inverse

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        scale, mean, inverse, mask, *chunks = ctx.saved_tensors
        size = len(chunks[0])
        inputs, weights, biases = [], [], []
        for g, chunk in enumerate(chunks):
            dx, dw, db = torch.ops.aten.native_batch_norm_backward(
                grad[g * size : (g + 1) * size],
                chunk,
                scale[g],
                None,
                None,
                mean[g],
                inverse[g],
                True,
                ctx.eps,
                [True, True, True],
            )
            inputs.append(dx)
            weights.append(dw)
            biases.append(db)
        dw, db = torch.stack(weights), torch.stack(biases)
        if mask is not None:
            dw, db = dw * mask, db * mask
        return dw.sum(0), db.sum(0), None, None, *inputs


def group_batch_norm(
    chunks: list[Tensor], weight: Tensor, bias: Tensor, mask: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise every group by its own statistics and join the groups.

    Args:
        chunks: G tensors (n, C, H, W), one per group, equally large.
        weight: (C,). bias: (C,).
        mask: (G, C) of zeros and ones, or None.
        eps: added to the variance.

    Returns:
        The batch (G · n, C, H, W), and the groups' means (G, C) and variances (G, C), biased.
    """
    out, mean, inverse = _GroupBatchNorm.apply(weight, bias, mask, eps, *chunks)  # type: ignore[no-untyped-call]
    return out, mean, inverse.pow(-2) - eps


def kept_batch_norm(
    x: Tensor, weight: Tensor, bias: Tensor, kept: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise by statistics over only the images that keep the channel.

    Args:
        x: (N, C, H, W). weight: (C,). bias: (C,).
        kept: (N, C) of zeros and ones; a channel that no image keeps uses all of them.
        eps: added to the variance.

    Returns:
        The batch, zero where a channel is dropped, and mean and biased variance (C,).
    """
    share = kept + (kept.sum(0, keepdim=True) == 0).to(kept.dtype)
    share = share / share.sum(0, keepdim=True)
    mean = (x.mean((2, 3)) * share).sum(0)
    centred = x - mean[:, None, None]
    variance = (centred.square().mean((2, 3)) * share).sum(0)
    scale = (weight * (variance + eps).rsqrt()) * kept
    out = centred * scale[:, :, None, None] + (bias * kept)[:, :, None, None]
    return out, mean, variance
