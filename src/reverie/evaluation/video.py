"""Videos inside the page: frames, what V or M made of them, and the action, as one small film."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from reverie.evaluation.pictures import data_uri

SCALE = 3  # each pixel of a frame becomes SCALE x SCALE, so that the film's halved colour resolution costs nothing
GAP = 6
TRACK = 6  # height of an action's track
QUALITY = "24"  # x264's constant rate factor: 2,100 Doom frames, two panels, take 2.5 MB
BACKGROUND, TRACK_COLOUR, MARK_COLOUR = (24, 24, 30), (58, 57, 70), (232, 197, 118)


@dataclass(frozen=True, repr=False)
class Film:
    """A film that a page can hold. `mime` says which tag shows it: video/* a <video>, image/* an <img>."""

    mime: str
    content: bytes
    frames: int
    frames_per_second: int
    width: int
    height: int

    def __repr__(self) -> str:
        return f"Film({self.mime}, {self.frames} frames of {self.width}x{self.height}, {len(self.content)} bytes)"

    @property
    def source(self) -> str:
        """The film as a data URI."""
        return data_uri(self.mime, self.content)

    @property
    def is_video(self) -> bool:
        """Whether a <video> tag plays it."""
        return self.mime.startswith("video/")


def side_by_side(panels: list[np.ndarray], actions: np.ndarray | None = None) -> np.ndarray:
    """Panels, each uint8 [T, 64, 64, 3], enlarged in a row, with a track for each action dimension below.

    actions: float [T, A] in [-1, 1]; a mark grows from the middle of its track to the action's side.
    """
    large = [panel.repeat(SCALE, axis=1).repeat(SCALE, axis=2) for panel in panels]
    steps, height, width, _ = large[0].shape
    total = width * len(large) + GAP * (len(large) - 1)
    tracks = np.zeros((steps, 0, total, 3), np.uint8) if actions is None else draw_tracks(actions, total)
    film = np.empty((steps, height + tracks.shape[1], total + total % 2, 3), np.uint8)
    film[:] = BACKGROUND
    for index, panel in enumerate(large):
        film[:, :height, index * (width + GAP) : index * (width + GAP) + width] = panel
    film[:, height:, :total] = tracks
    return film


def draw_tracks(actions: np.ndarray, width: int) -> np.ndarray:
    """Actions [T, A] in [-1, 1] as horizontal tracks side by side, uint8 [T, GAP + TRACK, width, 3]."""
    steps, count = actions.shape
    tracks = np.empty((steps, GAP + TRACK, width, 3), np.uint8)
    tracks[:] = BACKGROUND
    edges = np.linspace(0, width + GAP, count + 1).astype(int)
    for index in range(count):
        left, right = edges[index], edges[index + 1] - GAP
        tracks[:, GAP:, left:right] = TRACK_COLOUR
        middle, half = (left + right) / 2, (right - left) / 2
        reach = middle + np.clip(actions[:, index], -1, 1) * half
        columns = np.arange(left, right) + 0.5
        low, high = np.minimum(middle, reach) - 1.5, np.maximum(middle, reach) + 1.5
        marked = (columns >= low[:, None]) & (columns <= high[:, None])  # [T, right - left]
        tracks[:, GAP:, left:right][np.broadcast_to(marked[:, None], (steps, TRACK, right - left))] = MARK_COLOUR
    return tracks


def encode(frames: np.ndarray, frames_per_second: int) -> Film:
    """Frames uint8 [T, H, W, 3] as H.264 in MP4, or an animated WebP where PyAV lacks x264."""
    steps, height, width, _ = frames.shape
    content = _h264(frames, frames_per_second)
    mime = "video/mp4"
    if content is None:
        mime, content = "image/webp", _webp(frames, frames_per_second)
    return Film(mime, content, steps, frames_per_second, width, height)


def _h264(frames: np.ndarray, frames_per_second: int) -> bytes | None:
    import av

    if "libx264" not in av.codecs_available:
        return None
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=frames_per_second)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        stream.options = {"crf": QUALITY, "preset": "medium", "threads": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def _webp(frames: np.ndarray, frames_per_second: int) -> bytes:
    buffer = io.BytesIO()
    first, *rest = (Image.fromarray(frame) for frame in frames)
    first.save(
        buffer, "WEBP", save_all=True, append_images=rest, duration=round(1000 / frames_per_second), loop=0, quality=60
    )
    return buffer.getvalue()
