"""Inputs of recomputed layers, kept in the host's memory instead of the card's and copied on a stream of their own.

    run_again = host.checkpoints(layers)         # for one forward
    x = run_again(layer, x, tables, attend)      # `layers` times, first layer first

A layer's input leaves while the layer runs and comes back while the layer behind it runs again; the last layer's stays, its turn comes
first. Copied bytes are the same bytes, so nothing else changes. On the CPU the copies are made at once, to no use but tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint


class Copies:
    """Copies between a device and the host that the device's other work does not wait for, until `wait`."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def start(self, target: Tensor, source: Tensor) -> torch.cuda.Event | None:
        """Begins to copy when the work given so far is done: it made the source, and may still use the target's memory."""
        if self._stream is None:
            target.copy_(source)
            return None
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            target.copy_(source, non_blocking=True)
            return self._stream.record_event()

    def wait(self, done: torch.cuda.Event | None) -> None:
        """Work given from here on begins when the copy is done; the host goes on."""
        if done is not None:
            torch.cuda.current_stream(self._device).wait_event(done)


class HostMemory:
    """Page-locked rooms for layers' inputs, used again in every forward; they grow to the largest input."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.copies = Copies(device)
        self.free: list[Tensor] = []  # (bytes,) uint8 each

    def checkpoints(self, layers: int) -> Callable[..., Tensor]:
        """torch's `checkpoint` for the `layers` layers of one forward, in their order; x is the layer's only tensor argument."""
        before: Parked | None = None
        left = layers

        def run_again(layer: Callable[..., Tensor], x: Tensor, *rest: Any) -> Tensor:
            nonlocal before, left
            left -= 1
            parked = before = Parked(x.detach(), self, before, stays=left == 0)  # detached: what leads to x would hold itself alive
            shape = x.shape  # torch before 2.13 saves an empty tensor of its own beside x
            with saved_tensors_hooks(lambda saved: parked if saved.shape == shape else saved, unpark):
                result: Tensor = checkpoint(layer, x, *rest, use_reentrant=False)
            return result

        return run_again

    def room(self, size: int) -> Tensor:
        """At least `size` bytes; copies into and out of a room are on one stream, so a room may be given while an old copy runs."""
        room = self.free.pop() if self.free else None
        if room is None or room.numel() < size:
            room = torch.empty(size, dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        return room


class Parked:
    """A tensor on its way to the host, there, or on its way back.

    Device memory is let go only after the device's own stream was told to wait for the copy, so the allocator may give it away at once.
    With record_stream it could not, as far as the host runs ahead of the card, and every input would be there at the same time.
    """

    def __init__(self, tensor: Tensor, host: HostMemory, before: Parked | None, *, stays: bool) -> None:
        self._here: Tensor | None = tensor  # on the device
        self._host, self._before = host, before
        self._room: Tensor | None = None
        self._done: torch.cuda.Event | None = None  # of the last copy
        if before is not None:
            before._leave()
        if not stays:
            self._room = host.room(tensor.nbytes)
            self._there = self._room[: tensor.nbytes].view(tensor.dtype).view(tensor.shape)
            self._done = host.copies.start(self._there, tensor)

    def take(self) -> Tensor:
        """The tensor on the device; the one before it begins to come back."""
        self._fetch()
        self._host.copies.wait(self._done)
        tensor = self._here
        assert tensor is not None
        if self._room is not None:
            self._here = None
        if self._before is not None:
            self._before._fetch()
        return tensor

    def _leave(self) -> None:
        self._host.copies.wait(self._done)
        self._here = None

    def _fetch(self) -> None:
        if self._here is None:
            self._here = torch.empty_like(self._there, device=self._host.device)
            self._done = self._host.copies.start(self._here, self._there)

    def __del__(self) -> None:
        if self._here is not None:  # a pass was given up: the copy into this memory may still run
            self._host.copies.wait(self._done)
        if self._room is not None:
            self._host.free.append(self._room)


def unpark(kept: Parked | Tensor) -> Tensor:
    return kept.take() if isinstance(kept, Parked) else kept
