"""Several processes that train one network, one per device, as torchrun starts them.

Every rank computes its own part of each batch with its own sub-networks; gradients are averaged
by DistributedDataParallel, so all ranks hold the same weights and take the same decisions. Only
the first rank writes files and speaks.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nas.runs.folder import difference
from search_spaces import UserError
from supernet.share import Share

T = TypeVar("T")

PATIENCE = timedelta(hours=1)
"""How long ranks wait for one another: the first one scores and writes while the others wait."""


@dataclass(frozen=True)
class Ranks:
    """The processes of a training; this one is number ``rank`` of ``count``."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """True for the one that writes files and speaks."""
        return self.rank == 0

    @property
    def share(self) -> Share:
        """The part of every batch that this rank computes."""
        return Share(self.rank, self.count)

    def gathered(self, value: Any) -> list[Any]:
        """The JSON value of every rank, in order."""
        if self.count == 1:
            return [value]
        data = torch.tensor(list(json.dumps(value).encode()), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
        dist.all_gather(sizes, torch.tensor([len(data)]))
        longest = max(int(size) for size in sizes)
        parts = [torch.zeros(longest, dtype=torch.uint8) for _ in range(self.count)]
        dist.all_gather(parts, torch.cat([data, data.new_zeros(longest - len(data))]))
        return [
            json.loads(bytes(part[: int(size)].tolist()))
            for part, size in zip(parts, sizes, strict=True)
        ]

    def everywhere(self, action: Callable[[], T]) -> T:
        """Run an action on every rank; where it fails on one, all of them end.

        Raises:
            UserError: on the first rank, with the words of the rank that failed.
            SystemExit: on the others.
        """
        try:
            value, error = action(), None
        except UserError as failure:
            if self.count == 1:
                raise
            error = str(failure)
        for rank, text in enumerate(self.gathered(error)):
            if text is not None:
                self._refuse(text if rank == 0 else f"rank {rank}: {text}")
        return value

    def on_first(self, action: Callable[[], Any]) -> Any:
        """Run an action on the first rank; all get the JSON value that it returns.

        Raises:
            UserError, SystemExit: as `everywhere`.
        """
        return self.gathered(self.everywhere(lambda: action() if self.first else None))[0]

    def same(self, values: Mapping[str, Any]) -> None:
        """Refuse ranks that do not agree on these named JSON values.

        Raises:
            UserError, SystemExit: as `everywhere`; the first difference is named.
        """
        own, *others = self.gathered(values)
        for rank, theirs in enumerate(others, 1):
            differences = (difference(name, theirs[name], own[name]) for name in own)
            found = next((text for text in differences if text is not None), None)
            if found is not None:
                text = found.replace(" there and ", f" on rank {rank} and ")
                self._refuse(f"{text.removesuffix(' here')} on rank 0; start all ranks alike")

    def _refuse(self, text: str) -> None:
        if self.first:
            raise UserError(text)
        raise SystemExit(2)  # the first rank tells

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all ranks, in place."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over all ranks: running batch statistics.

        Their updates are linear, so this gives what one process with all groups has.
        """
        if self.count == 1 or not tensors:
            return
        flat = self.sum(torch.cat([t.flatten() for t in tensors])) / self.count
        start = 0
        for tensor in tensors:
            tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()


ALONE = Ranks()
"""One process."""


class Averaged:
    """Runs forward passes so that the last one's backward pass averages gradients over ranks.

    Args:
        module: on its device.
        ranks: the processes; with one alone nothing is added.
        partial: some passes do not use all parameters.
    """

    def __init__(self, module: nn.Module, ranks: Ranks, *, partial: bool) -> None:
        self._wrapped: DistributedDataParallel | None = None
        if ranks.count > 1:
            # 1×1 kernels have gradients of the same memory, but other strides: nothing is lost
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # the name of broadcast_buffers
                self._wrapped = DistributedDataParallel(
                    _Pass(module), broadcast_buffers=False, find_unused_parameters=partial
                )

    def run(self, forward: Callable[[], T], *, last: bool) -> T:
        """The result of ``forward``, whose tensors are differentiated before the next one."""
        if self._wrapped is None:
            return forward()
        with nullcontext() if last else self._wrapped.no_sync():
            result: T = self._wrapped(forward)
        return result


class _Pass(nn.Module):
    """A strategy's pass as the forward pass of a module, which is where DDP takes part."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, forward: Callable[[], T]) -> T:
        return forward()


def started_by_torchrun() -> bool:
    """True in one of several processes that torchrun, or a Slurm script, started."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def local_rank() -> int:
    """The number of this process on its machine: which of its devices is ours."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def refuse_ranks(what: str, instead: str) -> None:
    """Refuse to run under torchrun what has its own way of using several devices.

    Raises:
        UserError: on the first rank.
        SystemExit: on the others.
    """
    if started_by_torchrun():
        if int(os.environ.get("RANK", "0")) == 0:
            raise UserError(f"{what} does not run under torchrun; {instead}")
        raise SystemExit(2)


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Meet the other ranks of this training; alone where torchrun did not start us.

    NCCL between accelerators, gloo between CPUs.

    Raises:
        UserError: another rank has ended.
    """
    if not started_by_torchrun():
        yield ALONE
        return
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    except RuntimeError as error:
        if not _peer_lost(error):
            raise
        raise UserError(
            "another rank has ended, its own message says why; go on with --resume"
        ) from error
    # not after an error: it could wait for a rank that is gone, and the process ends anyway
    dist.destroy_process_group()


def _peer_lost(error: RuntimeError) -> bool:
    text = str(error)
    return isinstance(error, dist.DistError) or any(
        words in text for words in ("by peer", "Timed out waiting", "Broken pipe", "Socket closed")
    )
