"""training_loss.png: how a run went, on one page."""

import io
from collections.abc import Sequence
from typing import Any

SMOOTHING = 0.8  # weight of the past in the running mean; more lags visibly behind a short run


def loss_curve(rows: Sequence[dict[str, Any]], title: str) -> bytes:
    """A PNG of the logged losses, raw and smoothed, the held-out loss and the learning rate (right axis) over steps.

    rows are those of metrics.jsonl; a value that is missing or was not finite leaves a gap.
    """
    from matplotlib.figure import Figure  # not pyplot: no global state, no display

    figure = Figure(figsize=(10, 5.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    steps, losses = _column(rows, "train", "loss")
    axes.plot(steps, losses, color="tab:blue", alpha=0.3, linewidth=1, label="training loss")
    axes.plot(steps, smoothed(losses), color="tab:blue", linewidth=2, label="training loss, running mean")
    eval_steps, eval_losses = _column(rows, "eval", "eval/loss")
    if eval_steps:
        axes.plot(eval_steps, eval_losses, color="tab:orange", marker="o", markersize=4, linewidth=1.5, label="held-out loss")
    axes.set(title=title, xlabel="step", ylabel="loss")
    axes.grid(alpha=0.25)
    rates = axes.twinx()
    rates.plot(*_column(rows, "train", "lr"), color="tab:gray", linestyle=":", linewidth=1.2, label="learning rate")
    rates.set_ylabel("learning rate")
    rates.set_ylim(bottom=0)
    rates.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    handles = [*axes.get_lines(), *rates.get_lines()]
    axes.legend(handles=handles, loc="upper right", framealpha=0.9)
    axes.set_zorder(rates.get_zorder() + 1)  # the legend above both curves
    axes.patch.set_visible(False)
    image = io.BytesIO()
    figure.savefig(image, format="png", metadata={"Software": None})
    return image.getvalue()


def smoothed(values: Sequence[float]) -> list[float]:
    """Running mean with exponentially fading weights that sum to 1 from the first value on."""
    means, total, weight = [], 0.0, 0.0
    for value in values:
        total, weight = SMOOTHING * total + value, SMOOTHING * weight + 1.0
        means.append(total / weight)
    return means


def _column(rows: Sequence[dict[str, Any]], kind: str, name: str) -> tuple[list[int], list[float]]:
    found = [(row["step"], row[name]) for row in rows if row["kind"] == kind and row.get(name) is not None]
    return [step for step, _ in found], [value for _, value in found]
