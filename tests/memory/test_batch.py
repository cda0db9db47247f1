"""Drawing latents anew for each batch."""

from __future__ import annotations

import numpy as np
import torch

from reverie.memory.batch import Batch, draw_batch
from reverie.memory.sequences import Sequences, Streams

from .orbits import ACTIONS, Orbits


def window() -> Sequences:
    return Streams(Orbits([30, 50]), ACTIONS, batch_size=3, sequence_length=8, seed=0).sequences(1)


def same(first: Batch, second: Batch) -> bool:
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in vars(first))


def test_a_batch_is_a_function_of_the_noise_seed() -> None:
    assert same(draw_batch(window(), 1), draw_batch(window(), 1))
    assert not torch.equal(draw_batch(window(), 1).z, draw_batch(window(), 2).z)


def test_latents_follow_their_gaussians() -> None:
    mu, logvar = np.full((50, 40, 2), [1.0, -2.0], np.float32), np.full((50, 40, 2), np.log([0.25, 9.0]), np.float32)
    flat = np.zeros((50, 40), np.float32)
    actions = np.zeros((50, 40, 1), np.float32)
    batch = draw_batch(Sequences(mu, logvar, mu, logvar, actions, actions, *(flat,) * 6, True), 5)
    for z in (batch.z, batch.next_z):
        np.testing.assert_allclose(z.mean((0, 1)), [1.0, -2.0], atol=0.25)
        np.testing.assert_allclose(z.std((0, 1)), [0.5, 3.0], rtol=0.06)
    assert abs(np.corrcoef(batch.z[..., 0].flatten(), batch.next_z[..., 0].flatten())[0, 1]) < 0.08


def test_time_stands_first() -> None:
    source = window()
    batch = draw_batch(source, 0)
    np.testing.assert_array_equal(batch.action.numpy(), source.action.swapaxes(0, 1))
    np.testing.assert_array_equal(batch.restart.numpy(), source.restart.T)
    assert repr(batch) == "Batch(steps=8, streams=3, latent_size=4, device=cpu)"


def test_cut_loses_nothing() -> None:
    batch = draw_batch(window(), 0)
    first, rest = batch.cut(3)
    assert len(first.z) == 3
    assert same(Batch(*(torch.cat([vars(first)[name], vars(rest)[name]]) for name in vars(batch))), batch)
