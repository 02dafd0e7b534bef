"""Distributed data parallelism on PyTorch."""

import contextlib
import os

import keras
import torch
from torch.nn.parallel import DistributedDataParallel


@contextlib.contextmanager
def process_group():
    """The processes that `torchrun` has started, joined: NCCL on GPUs, else Gloo."""
    if torch.cuda.is_available():
        # What Keras calls "cuda" is this one.
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "nccl"
    else:
        backend = "gloo"
    torch.distributed.init_process_group(backend)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


class LatentsAndLoss(torch.nn.Module):
    """Latents and loss in one forward pass, as `DistributedDataParallel` needs it.

    Keras's train step calls the model and then its loss, which the decoder is a part
    of: were the model wrapped alone, the decoder's gradients would be its own.
    """

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x, y, sample_weight):
        y_pred = self.model(x, training=True)
        loss = self.model._compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True
        )
        return y_pred, loss


def train_in_step(model):
    """Has `model.fit` train with the mean of the gradients of all processes.

    The weights become those of the first process. Keras's train step is replaced, for
    this model alone, by the same one with the forward pass in
    `DistributedDataParallel`.
    """
    parallel = DistributedDataParallel(LatentsAndLoss(model))

    def train_step(data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        model.zero_grad()
        y_pred, loss = parallel(x, y, sample_weight)
        # The mean of all processes: callbacks decide alike on each.
        mean_loss = loss.detach().clone()
        torch.distributed.all_reduce(mean_loss)
        mean_loss /= torch.distributed.get_world_size()
        model._loss_tracker.update_state(mean_loss, sample_weight=x.shape[0])
        model.optimizer.scale_loss(loss).backward()
        weights = model.trainable_weights[:]
        with torch.no_grad():
            model.optimizer.apply([v.value.grad for v in weights], weights)
        return model.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    model.train_step = train_step


def replica_states(state):
    """The variables of this process's replicas: one, the state of a seed generator."""
    return [state]
