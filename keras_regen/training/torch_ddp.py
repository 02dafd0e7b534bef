"""Data parallelism over the processes of `torchrun`, on PyTorch."""

import contextlib
import os

import keras
import torch
from torch.nn.parallel import DistributedDataParallel


@contextlib.contextmanager
def scope():
    """Connects the processes of `torchrun`, through NCCL on GPUs and Gloo on CPUs."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    if torch.cuda.is_available():
        # Keras places its tensors on the current device, as "cuda".
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "nccl"
    else:
        backend = "gloo"
    torch.distributed.init_process_group(backend)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


class _LatentsAndLoss(torch.nn.Module):
    """Computes latents and loss in one forward pass.

    Keras's train step first calls the model and then its loss, where the decoder or the
    latent transformer runs. If `DistributedDataParallel` wrapped the model alone, it
    would not average their gradients over the processes.
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
    """Makes `model.fit` train with the mean of the gradients of all processes.

    All processes start from the weights of the first. For this model, the train step of
    Keras is replaced by one whose forward pass is in `DistributedDataParallel`.
    """
    parallel = DistributedDataParallel(_LatentsAndLoss(model))

    def train_step(data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        model.zero_grad()
        y_pred, loss = parallel(x, y, sample_weight)
        # The mean over the processes, so that callbacks decide the same on each.
        mean_loss = loss.detach().clone()
        torch.distributed.all_reduce(mean_loss)
        mean_loss /= torch.distributed.get_world_size()
        batch_size = keras.tree.flatten(x)[0].shape[0]
        model._loss_tracker.update_state(mean_loss, sample_weight=batch_size)
        model.optimizer.scale_loss(loss).backward()
        weights = model.trainable_weights[:]
        with torch.no_grad():
            model.optimizer.apply([v.value.grad for v in weights], weights)
        return model.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    model.train_step = train_step


def replica_states(state):
    """Returns the replicas of a seed generator's state: one in each process."""
    return [state]
