"""PyTorch: one process per device, started by `torchrun`. Gradients are averaged."""

import contextlib
import os

import keras
import torch
from torch import distributed

from keras_crate.distributed.devices import Devices, check_no_loss_scale
from keras_crate.keras_internals import changed_gradients, changed_moments, changed_results

_active: list["TorchProcesses"] = []  # the innermost open scope is last


def process() -> tuple[int, int]:
    """Returns this process's number and the number of processes, in `TorchProcesses.scope`."""
    return (_active[-1].process, _active[-1].processes) if _active else (0, 1)


def check_alone() -> None:
    """Refuses several processes without `distribute`, each of which would train alone."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1 and "TORCHELASTIC_RUN_ID" in os.environ:
        raise ValueError(
            "`distribute` must be given if torchrun starts several processes. Received: None, in "
            f"{os.environ['WORLD_SIZE']} processes.\n"
            'Pass distribute="data" (`--distribute data` on the command line).'
        )


def open_devices(parts: int) -> Devices:
    """Connects the processes that torchrun has started."""
    if not distributed.is_initialized():
        if "WORLD_SIZE" not in os.environ:
            count = torch.cuda.device_count()
            if count > 1:
                raise ValueError(
                    f"PyTorch needs one process for each of the {count} GPUs. Start them with:\n"
                    f"torchrun --nproc-per-node={count} -m keras_crate ..."
                )
            return Devices()
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))  # Keras' device "cuda"
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return TorchProcesses()


class TorchProcesses(Devices):
    """Processes that each compute their rows of a batch, and average their gradients."""

    def __init__(self):
        self.process, self.processes = distributed.get_rank(), distributed.get_world_size()
        self.replicas = self.processes
        self.shard = (self.process, self.processes)

    @contextlib.contextmanager
    def scope(self):
        _active.append(self)
        try:
            yield
        finally:
            _active.remove(self)

    def check(self, model, images, pipeline, accumulate):
        super().check(model, images, pipeline, accumulate)
        check_no_loss_scale(model)

    @contextlib.contextmanager
    def prepared(self, model):
        for variable in model.variables:
            distributed.broadcast(variable.value.data, 0)
        with (
            changed_gradients(model.optimizer, _mean),
            changed_results(model, lambda: _add_up(model)),
            changed_moments(model, _moments),
        ):
            yield

    def seed_global(self, value):
        super().seed_global(value)  # those of Python and NumPy order batches: all do it alike
        torch.manual_seed(self._seed(value))  # units are dropped by it

    def seed(self, state, value):
        super().seed(state, self._seed(value))

    def _seed(self, value: int) -> int:
        return (value + 7919 * self.process) % 2**31

    def wait(self):
        distributed.barrier()


def _mean(gradients: list) -> list:
    """Averages gradients over the processes, in one all-reduce per dtype."""
    means = list(gradients)
    for dtype in {gradient.dtype for gradient in gradients}:
        chosen = [k for k, gradient in enumerate(gradients) if gradient.dtype == dtype]
        flat = torch.cat([gradients[k].reshape(-1) for k in chosen])
        distributed.all_reduce(flat)
        flat /= distributed.get_world_size()
        sizes = [gradients[k].numel() for k in chosen]
        for k, part in zip(chosen, flat.split(sizes), strict=True):
            means[k] = part.reshape(gradients[k].shape)
    return means


def _add_up(model: keras.Model) -> None:
    """Adds up the states of a model's metrics over the processes."""
    for metric in model.metrics:
        for variable in metric.variables:
            distributed.all_reduce(variable.value.data)


class RowsOfAll(torch.autograd.Function):
    """The rows of all processes, in order. A row gets the sum of its gradients of all processes."""

    @staticmethod
    def forward(context, rows):
        found = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
        distributed.all_gather(found, rows.contiguous())
        return torch.cat(found)

    @staticmethod
    def backward(context, gradient):
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(gradient)
        return gradient.chunk(distributed.get_world_size())[distributed.get_rank()]


class _MeanOfAll(torch.autograd.Function):
    """The mean of a tensor over the processes."""

    @staticmethod
    def forward(context, x):
        [mean] = _mean([x])
        return mean

    @staticmethod
    def backward(context, gradient):
        [mean] = _mean([gradient])
        return mean


def _moments(inputs, axes):
    """The mean and the variance of a batch normalisation, over the rows of all processes."""
    mean = _MeanOfAll.apply(inputs.mean(axes, keepdim=True))
    variance = _MeanOfAll.apply((inputs - mean).square().mean(axes))
    return mean.reshape(variance.shape), variance
