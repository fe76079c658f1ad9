"""Ordered dropout: many sub-networks in one forward-backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from search_spaces import SearchSpace, UserError
from supernet.assignment import Assignment, Statistics
from supernet.share import WHOLE, Share
from supernet.strategies.base import Pass, register
from supernet.strategies.distillation import mixed
from supernet.strategies.drawing import Drawing, check_count, check_share, check_word, in_runs
from supernet.supernet import Supernet


@register("ordered_dropout")
@dataclass(frozen=True)
class OrderedDropout(Drawing):
    """Every group of images its own sub-network (NetAdaptV2, CVPR 2021, section 3.2).

    Beside `Drawing`'s settings:

    Args:
        groups: sub-networks per batch; ``image`` gives every image its own. With their own
            statistics, groups of fewer than 32 images learn worse where maps end at 1×1.
        statistics: whose batch statistics normalise a group: its ``own``, the whole batch's
            (``shared``), or the whole batch's over the images that keep the channel (``kept``).
        largest: groups that are the largest network.
        smallest: groups that are the smallest network of the current range.
        kernels: ``mixed`` draws kernel sizes too; ``largest`` leaves them at their largest.
        distil: weight of the largest network's outputs as targets, beside the labels'; costs
            a second forward pass. The largest network itself learns from the labels alone.
    """

    groups: int | Literal["image"] = 4
    statistics: Statistics = "own"
    largest: int = 1
    smallest: int = 0
    kernels: Literal["mixed", "largest"] = "mixed"
    distil: float = 0.0
    forwards: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("distil", self.distil)
        check_count("largest", self.largest)
        check_count("smallest", self.smallest)
        check_word("statistics", self.statistics, get_args(Statistics))
        check_word("kernels", self.kernels, ("mixed", "largest"))
        if self.groups == "image":
            return
        if type(self.groups) is not int or self.groups < 1:
            raise UserError(f"strategy: groups = {self.groups!r} is neither 'image' nor 1 or more")
        if self.groups < self.largest + self.smallest:
            raise UserError(
                f"strategy: {self.groups} groups cannot hold {self.largest} largest and "
                f"{self.smallest} smallest networks"
            )

    def passes(
        self,
        supernet: Supernet,
        images: Tensor,
        targets: Tensor,
        progress: float,
        source: Random,
        share: Share = WHOLE,
    ) -> Iterator[Pass]:
        """One pass over the batch, and before it the teacher's where it distils."""
        assignment = self.assignment(supernet, len(images), progress, source, share)
        if not self.distil:
            yield Pass(supernet(images, assignment), targets, 1.0)
            return
        full = _largest(supernet.space)
        shares = [0.0 if values == full else self.distil for values in assignment.groups]
        share_of_each = torch.tensor(shares, device=images.device)
        with torch.no_grad():
            teacher = supernet(images)
            size = len(images) // len(shares)
            taught = mixed(targets, teacher, share_of_each.repeat_interleave(size))
        yield Pass(supernet(images, assignment), taught, 1.0)

    def assignment(
        self,
        supernet: Supernet,
        images: int,
        progress: float,
        source: Random,
        share: Share = WHOLE,
    ) -> Assignment:
        """The sub-networks of a part of a batch, which has ``images`` images.

        Raises:
            UserError: the batch is not a multiple of the groups, the groups are none of its
                parts, or it has too few images.
        """
        batch = images * share.count
        groups = batch if self.groups == "image" else self.groups
        if batch % groups:
            raise UserError(f"a batch of {batch} images is not a multiple of {groups} groups")
        if groups % share.count:
            raise UserError(
                f"strategy: {groups} groups cannot be dealt to the {share.count} parts of a batch "
                "(ranks times accumulate); set strategy.settings.groups to a multiple of that"
            )
        if groups < self.largest + self.smallest:
            raise UserError(
                f"a batch of {batch} images cannot hold {self.largest} largest and "
                f"{self.smallest} smallest networks"
            )
        space = supernet.space
        full = _largest(space)
        drawn = [
            self.draw(space, progress, source) for _ in range(groups - self.largest - self.smallest)
        ]
        least = self.smallest_of(space, progress)
        if self.kernels == "largest":
            kernels = {n: full[n] for n, c in space.choices.items() if c.kind == "kernel"}
            drawn = [{**values, **kernels} for values in drawn]
            least |= kernels
        else:
            drawn = in_runs(space, drawn, source)
        chosen = [full] * self.largest + drawn + [least] * self.smallest
        return Assignment(tuple(share.of(chosen)), self.statistics)


def _largest(space: SearchSpace) -> dict[str, int]:
    return {name: choice.largest for name, choice in space.choices.items()}
