from __future__ import annotations

import base64
import io

import numpy as np
import torch
from PIL import Image

from reverie.report.pictures import (
    COLUMNS,
    GAP,
    REACH,
    TRAVERSED,
    png,
    reconstructions,
    spread_frames,
    strip,
    traversals,
)
from reverie.vision.encode import decode_frames, encode_frames
from tests.evaluation.parts import make_episode, make_vision


def opened(uri: str) -> np.ndarray:
    head, body = uri.split(",", 1)
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))


def test_a_png_keeps_every_pixel() -> None:
    pixels = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(opened(png(pixels)), pixels)


def test_a_strip_shows_its_frames_between_transparent_gaps() -> None:
    frames = np.random.default_rng(0).integers(256, size=(3, 5, 4, 3), dtype=np.uint8)
    picture = strip(frames)
    assert picture.shape == (5, 3 * 4 + 2 * GAP, 4)
    for index, frame in enumerate(frames):
        left = index * (4 + GAP)
        np.testing.assert_array_equal(picture[:, left : left + 4, :3], frame)
        assert (picture[:, left : left + 4, 3] == 255).all()
    assert (picture[:, 4 : 4 + GAP, 3] == 0).all()


def test_frames_are_spread_over_all_episodes() -> None:
    episodes = [np.full((length, 1, 1, 3), 0, np.uint8) for length in (6, 2, 4)]
    for frames, first in zip(episodes, (0, 6, 8), strict=True):
        frames[:] = np.arange(first, first + len(frames))[:, None, None, None]
    assert spread_frames(episodes, 4)[:, 0, 0, 0].tolist() == [1, 4, 7, 10]
    assert spread_frames(episodes, 12)[:, 0, 0, 0].tolist() == list(range(12))
    assert spread_frames(episodes[1:2], 5)[:, 0, 0, 0].tolist() == [6, 6, 7, 7, 7]


def test_reconstructions_stand_beside_their_frames() -> None:
    vision, frames = make_vision(), make_episode(3).frames
    pairs = reconstructions(vision, frames)
    seen = decode_frames(vision, encode_frames(vision, frames)[0])
    assert len(pairs) == 4
    for (frame_uri, seen_uri), frame, decoded in zip(pairs, frames, seen, strict=True):
        np.testing.assert_array_equal(opened(frame_uri), frame)
        np.testing.assert_array_equal(opened(seen_uri), decoded)


def test_traversals_move_the_latents_that_say_most_and_nothing_else() -> None:
    vision, frames = make_vision(), make_episode(7).frames
    rows = traversals(vision, frames, start=2)
    mu, logvar = (latents.double().numpy() for latents in encode_frames(vision, frames))
    nats = -0.5 * (1 + logvar - mu**2 - np.exp(logvar)).mean(0)  # KL to the prior, appendix A.1
    order = np.argsort(-nats)[:TRAVERSED]
    assert [row.latent for row in rows] == order.tolist()
    np.testing.assert_allclose([row.nats for row in rows], nats[order], rtol=1e-4)
    z = np.repeat(mu[2:3], COLUMNS, axis=0)
    z[:, order[0]] = np.linspace(-REACH, REACH, COLUMNS)
    wanted = strip(decode_frames(vision, torch.tensor(z, dtype=torch.float32)))
    assert np.abs(opened(rows[0].strip).astype(int) - wanted).max() <= 1  # the last bit of a pixel may round otherwise
