"""A picture of a training."""

from keras_regen.figures import new_figure, save_figure


def plot_history(history, steps_per_epoch, path):
    """Draws the loss, the losses by diffusion time, the PSNR and the learning rate.

    Args:
        history: list of dict, the logs of every epoch, as `Checkpoint.history`.
        steps_per_epoch: int.
        path: path of the picture, `.png`.

    Raises:
        ImportError: without matplotlib.
    """
    names = list(dict.fromkeys(name for logs in history for name in logs))
    panels = {
        "loss": ["loss"],
        "loss at a diffusion time": [n for n in names if n.startswith("loss_at_")],
        "PSNR in one step, dB": ["psnr"],
        "learning rate": ["learning_rate"],
    }
    panels = {t: [n for n in ns if n in names] for t, ns in panels.items()}
    panels = {title: names for title, names in panels.items() if names}
    figure = new_figure(5 * len(panels), 3.5)
    for axes, (title, curves) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for name in curves:
            points = [
                (steps_per_epoch * (epoch + 1), logs[name])
                for epoch, logs in enumerate(history)
                if name in logs
            ]
            axes.plot(*zip(*points, strict=True), label=name.removeprefix("loss_at_"))
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        if title.startswith("loss"):
            axes.set_yscale("log")
        if len(curves) > 1:
            axes.legend(title="t", fontsize="small")
    save_figure(figure, path)
