"""Several processes that train one model together, as torchrun starts them; alone, every call here does nothing.

    torchrun --nproc-per-node=2 -m train.fit --data HAM10000

Every step sees the images, in the order and with the augmentation, that one process would see. Each process
computes its share of them, and DistributedDataParallel averages the gradients; the shares are equal in size, so
that is the gradient of the whole batch. Three things do differ from one process: the draws of dropout and stochastic
depth; mixup, whose pairs are made within a share and whose draws are the same in all of them; and on the CPU batch
norm, whose synchronised form torch has for GPUs only. There each process normalises its own share, of
batch / processes images, and the running statistics are averaged.

Objects travel over gloo, between processors, where waiting for a slow first process costs nothing; gradients over
nccl where there are GPUs. All processes see the same files: the folder of the run and the cache of images.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from timm.layers import convert_sync_batchnorm
from torch.nn.parallel import DistributedDataParallel

from train.options import FitError

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """All processes of this run, as one of them sees it."""

    rank: int = 0  # of this process; 0 is the first, which alone speaks and writes
    size: int = 1
    local_rank: int = 0  # on this machine: the number of its GPU
    local_size: int = 1

    @property
    def share(self) -> slice:
        """What this process computes of a batch."""
        return slice(self.rank, None, self.size)

    def first(self, work: Callable[[], T]) -> T:
        """What work() returns, called by the first process alone; the others wait and get a copy.

        Raises:
            FitError: work() failed. In the first process its own error is raised.
        """
        if self.size == 1:
            return work()
        if self.rank:
            whole, result = self._tell(False)
            if not whole:
                raise FitError("The first process stopped, and says why.")
            return result
        try:
            result = work()
        except Exception:
            self._tell(False)
            raise
        self._tell(True, result)
        return result

    def _tell(self, whole: bool, result: Any = None) -> list:
        """What the first process calls this with, in every process."""
        outcome = [whole, result]
        dist.broadcast_object_list(outcome, src=0, device=torch.device("cpu"))
        return outcome

    def mean(self, value: float) -> float:
        """Mean of every process's value."""
        if self.size == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(total)
        return total.item() / self.size

    def parallel(self, model: torch.nn.Module, device: torch.device) -> torch.nn.Module:
        """What to call in place of `model` in training, so that backward() averages the gradients.

        Turns batch norm on a GPU into its synchronised form, within `model`. Parameters stay the same objects.
        """
        if self.size == 1:
            return model
        if device.type == "cuda":
            convert_sync_batchnorm(model)  # timm's, because torch's would drop the activation in timm's batch norm
        ids = [device.index] if device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=ids)

    @torch.no_grad()
    def average_statistics(self, model: torch.nn.Module) -> None:
        """Average batch norm's running statistics, where each process has those of its own share."""
        learning = [module for module in model.modules() if module.training]  # frozen ones keep theirs to the bit
        buffers = [b for module in learning for b in module.buffers(recurse=False) if b.is_floating_point()]
        if self.size == 1 or buffers[0].is_cuda:
            return
        flat = torch.cat([buffer.flatten() for buffer in buffers])  # one message
        dist.all_reduce(flat)
        for buffer, mean in zip(buffers, (flat / self.size).split([b.numel() for b in buffers]), strict=True):
            buffer.copy_(mean.view_as(buffer))


@contextmanager
def processes() -> Iterator[Processes]:
    """Connect this process with those that torchrun started beside it, until the block ends."""
    size = int(os.environ.get("WORLD_SIZE", 1)) if "LOCAL_RANK" in os.environ else 1
    if size == 1:
        yield Processes()
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    yield Processes(
        rank=dist.get_rank(),
        size=size,
        local_rank=int(os.environ["LOCAL_RANK"]),
        local_size=int(os.environ.get("LOCAL_WORLD_SIZE", size)),
    )
    # not after an error: the others may wait for this process, until torchrun sees it end and ends them
    dist.destroy_process_group()
