from __future__ import annotations

import io

import av
import numpy as np
import pytest
from PIL import Image

from reverie.report.video import (
    BACKGROUND,
    GAP,
    MARK_COLOUR,
    SCALE,
    TRACK,
    TRACK_COLOUR,
    compose,
    draw_tracks,
    film,
)


def frames(steps: int) -> np.ndarray:
    film = np.zeros((steps, 64, 64, 3), np.uint8)
    for t in range(steps):
        film[t] = (10 * t, 200 - 10 * t, 90)
    return film


def test_panels_stand_enlarged_side_by_side() -> None:
    left, right = frames(3)[1], frames(3)[2]
    picture = compose([left, right])
    size = 64 * SCALE
    assert picture.shape == (size, 2 * size + GAP, 3)
    np.testing.assert_array_equal(picture[::SCALE, :size:SCALE], left)
    np.testing.assert_array_equal(picture[SCALE - 1 :: SCALE, size + GAP :: SCALE], right)
    assert (picture[:, size : size + GAP] == BACKGROUND).all()


def test_the_action_stands_below_the_panels() -> None:
    frame, action = frames(1)[0], np.array([0.3, -1.0])
    picture, size = compose([frame], action), 64 * SCALE
    np.testing.assert_array_equal(picture[:size], compose([frame]))
    assert (picture[size : size + GAP] == BACKGROUND).all()
    np.testing.assert_array_equal(picture[size + GAP :], np.repeat(draw_tracks(action, size)[None], TRACK, axis=0))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("action", [None, np.zeros(3)])
def test_sizes_are_even_as_h264_wants_them(count: int, action: np.ndarray | None) -> None:
    height, width, _ = compose([frames(1)[0]] * count, action).shape
    assert (height % 2, width % 2) == (0, 0)


@pytest.mark.parametrize(
    ("action", "first", "last"), [(-1.0, 0, 51), (0.0, 48, 51), (0.5, 48, 76), (1.0, 48, 99), (7.0, 48, 99)]
)
def test_a_track_is_filled_from_its_middle_to_the_actions_side(action: float, first: int, last: int) -> None:
    track = draw_tracks(np.array([action]), 100)
    marked = (track == MARK_COLOUR).all(-1)
    assert (marked | (track == TRACK_COLOUR).all(-1)).all()
    assert marked.nonzero()[0].tolist() == list(range(first, last + 1))


def test_each_action_has_its_own_track() -> None:
    tracks = draw_tracks(np.array([1.0, -1.0, 0.0]), 120)
    assert (tracks == BACKGROUND).all(-1).nonzero()[0].tolist() == [*range(36, 42), *range(78, 84)]
    marked = (tracks == MARK_COLOUR).all(-1)
    assert marked.nonzero()[0].tolist() == [*range(16, 36), *range(42, 62), *range(100, 104)]


def test_the_film_plays_back_as_it_was() -> None:
    panels, actions = [frames(12), frames(12)], np.zeros((12, 1))
    made = film(panels, 35, actions)
    assert (made.mime, made.is_video, made.frames, made.frames_per_second) == ("video/mp4", True, 12, 35)
    assert made.source.startswith("data:video/mp4;base64,")
    with av.open(io.BytesIO(made.content)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"  # the one that every browser plays
        assert stream.average_rate == 35
        played = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
    shown = np.stack([compose([frame, frame], action) for frame, action in zip(panels[0], actions, strict=True)])
    assert played.shape == shown.shape
    assert np.abs(played.astype(int) - shown).mean() < 4


def test_the_same_frames_give_the_same_file() -> None:
    assert film([frames(5)], 20).content == film([frames(5)], 20).content


def test_without_x264_the_film_is_an_animated_webp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", set())
    made = film([frames(6)], 20)
    assert (made.mime, made.is_video) == ("image/webp", False)
    with Image.open(io.BytesIO(made.content)) as picture:
        assert picture.n_frames == 6  # type: ignore[attr-defined]
        assert picture.size == (made.width, made.height) == (64 * SCALE, 64 * SCALE)
        picture.load()
        assert picture.info["duration"] == 50


def test_a_still_of_noise_costs_little_more_than_one_picture() -> None:
    still = np.random.default_rng(0).integers(256, size=(1, 64, 64, 3), dtype=np.uint8)
    once, often = (len(film([still.repeat(count, axis=0)], 35).content) for count in (1, 60))
    assert often < 3 * once
