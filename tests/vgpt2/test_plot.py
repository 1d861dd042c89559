"""The curve of a run."""

import pytest

from vgpt2.plot import loss_curve, smoothed


def test_smoothing_by_hand():
    # weights .8 and 1, then .64, .8 and 1
    assert smoothed([2.0]) == [2.0]
    assert smoothed([2.0, 4.0, 0.0]) == pytest.approx([2.0, (0.8 * 2 + 4) / 1.8, (0.64 * 2 + 0.8 * 4) / 2.44])


def test_a_constant_stays_constant():
    assert smoothed([3.0] * 50) == pytest.approx([3.0] * 50)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"kind": "train", "step": 1, "loss": None, "lr": 1e-4}],
        [{"kind": "eval", "step": 1, "eval/loss": 0.5}],
        [{"kind": "train", "step": step, "loss": 1 / step, "lr": 1e-4} for step in range(1, 30)],
    ],
    ids=["nothing", "not finite", "evaluation alone", "training alone"],
)
def test_every_run_can_be_drawn(rows: list[dict]):
    image = loss_curve(rows, "run")
    assert image.startswith(b"\x89PNG")
    assert image == loss_curve(rows, "run")
