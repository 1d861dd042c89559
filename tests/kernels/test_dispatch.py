"""Who computes: the choice, and what is refused in one line."""

import pytest
import torch

import kernels.dispatch as dispatch
from kernels.dispatch import uses_triton


def test_on_the_cpu_the_reference_computes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(dispatch.VARIABLE, raising=False)
    assert not uses_triton(torch.ones(2))


@pytest.mark.parametrize("value", ["", "cuda", "Triton", "x" * 300])
def test_a_wrong_choice_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, value: str):
    monkeypatch.setenv(dispatch.VARIABLE, value)
    with pytest.raises(ValueError, match=r"^VGPT2_KERNELS: '.*' is no choice; take auto, triton or reference$") as caught:
        uses_triton(torch.ones(2))
    assert len(str(caught.value)) <= 200


@pytest.mark.parametrize("installed, message", [(True, "only with TRITON_INTERPRET=1"), (False, "triton is not installed here")])
def test_what_cannot_be_had_is_refused_with_the_cure(monkeypatch: pytest.MonkeyPatch, installed: bool, message: str):
    monkeypatch.setenv(dispatch.VARIABLE, "triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(dispatch, "has_triton", lambda: installed)
    with pytest.raises(ValueError, match=message):
        uses_triton(torch.ones(2))


@pytest.mark.parametrize("tensor", [torch.ones(2, dtype=torch.float64), torch.ones(2, device="meta")], ids=["fp64", "meta"])
def test_what_no_kernel_takes_goes_to_the_reference_whatever_is_chosen(monkeypatch: pytest.MonkeyPatch, tensor: torch.Tensor):
    monkeypatch.setenv(dispatch.VARIABLE, "triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert not uses_triton(tensor)


def test_interpreted_kernels_can_be_chosen_on_the_cpu_and_references_everywhere(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dispatch, "has_triton", lambda: True)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    for value, expected in (("triton", True), ("reference", False), ("auto", False)):
        monkeypatch.setenv(dispatch.VARIABLE, value)
        assert uses_triton(torch.ones(2)) is expected
