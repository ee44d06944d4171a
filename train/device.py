"""The device and the precision that training computes in; what "auto" means here."""

import torch
from torch import nn

from train.options import FitError
from train.processes import Processes


def pick_device(name: str, group: Processes) -> torch.device:
    """The device called `name` (auto, cpu, cuda, cuda:1 ...); of several processes, each one's own GPU.

    Raises:
        FitError: this machine does not have it, or not one for each process.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if group.size > 1:
        if name.startswith("cuda:"):
            raise FitError(
                f"--device {name!r} is one GPU, but there are {group.size} processes, each of which takes the GPU of "
                "its number. Give auto, cuda or cpu; the variable CUDA_VISIBLE_DEVICES says which GPUs are counted."
            )
        gpus = torch.cuda.device_count()
        if name == "cuda" and 0 < gpus < group.local_size:
            raise FitError(
                f"{group.local_size} processes need a GPU each, and this machine has {gpus}. "
                f"Start at most {gpus} with --nproc-per-node, or give --device cpu."
            )
        if name == "cuda":
            name = f"cuda:{group.local_rank}"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
        if device.type == "meta":
            raise RuntimeError("it holds no numbers")
    except (RuntimeError, AssertionError) as error:
        if group.rank:
            raise  # the first process has one: what ails this one's is worth a traceback
        here = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise FitError(
            f"--device {name!r} cannot be used. Here: {', '.join(here)}. (torch: {str(error).splitlines()[0][:100]})"
        ) from None
    if device.type == "cuda" and group.size > 1:
        torch.cuda.set_device(device)  # nccl works on the current one
    return device


def pick_amp(amp: str, device: torch.device) -> str:
    """bf16, fp16 or off; what auto means on this device."""
    if amp != "auto":
        return amp
    if device.type == "cuda":
        # EfficientNet in fp16 has produced NaN gradients in public reports: bf16 first
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    # emulated bf16 is slower than float32: only where the processor computes in it
    onednn = torch.backends.mkldnn.is_available()
    return "bf16" if onednn and torch.ops.mkldnn._is_mkldnn_bf16_supported() else "off"


def place(model: nn.Module, device: torch.device, amp: str) -> nn.Module:
    """The model on the device that trains it, its weights laid out for that; the same object."""
    if device.type == "cpu" and amp == "bf16":
        for module in model.modules():
            if type(module) is nn.Conv2d and module.groups == module.in_channels > 1:
                module.__class__ = _Float32Conv2d
    return model.to(device).to(memory_format=torch.channels_last)


class _Float32Conv2d(nn.Conv2d):
    """A convolution that computes in float32 also where autocast says bf16.

    On x86 processors the backward pass of a depthwise convolution is slow in bf16: where the stride is 2, by its input
    ten times slower than in float32 and more; at 5×5, by its weight three times. All else gains from bf16.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.float()).to(input.dtype)
