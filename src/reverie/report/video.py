"""Videos inside the page: frames, what V or M made of them, and the action, as one small film."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from reverie.report.pictures import data_uri

SCALE = 3  # each pixel of a frame becomes SCALE x SCALE, so that the film's halved colour resolution costs nothing
GAP = 6
DIMMED = 0.35  # brightness of the last frame once an episode is over
TRACK = 6  # height of an action's track
MARK = 1.5  # half the width of the mark of 0
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


def film(panels: Sequence[np.ndarray], frames_per_second: int, actions: np.ndarray | None = None) -> Film:
    """Panels, each uint8 [T, 64, 64, 3], side by side, as H.264 in MP4, or an animated WebP where PyAV lacks x264.

    actions: float [T, A] in [-1, 1], drawn as a track for each action dimension below the panels.
    """

    def picture(t: int) -> np.ndarray:
        return compose([panel[t] for panel in panels], None if actions is None else actions[t])

    steps = len(panels[0])
    height, width, _ = picture(0).shape
    pictures = (picture(t) for t in range(steps))  # one at a time: all of a long film would take a gigabyte
    content, mime = _h264(pictures, frames_per_second, width, height), "video/mp4"
    if content is None:
        content, mime = _webp(pictures, frames_per_second), "image/webp"
    return Film(mime, content, steps, frames_per_second, width, height)


def prolonged(frames: np.ndarray, length: int) -> np.ndarray:
    """The first `length` of frames uint8 [T, 64, 64, 3]; where they are fewer, the last one stays, dimmed."""
    dark = (frames[-1] * DIMMED).astype(np.uint8)
    missing = max(0, length - len(frames))
    return np.concatenate([frames[:length], np.repeat(dark[None], missing, axis=0)])


def compose(frames: Sequence[np.ndarray], action: np.ndarray | None = None) -> np.ndarray:
    """One picture of a film: frames uint8 [64, 64, 3] enlarged in a row, the action's tracks below; of even sizes."""
    large = [frame.repeat(SCALE, axis=0).repeat(SCALE, axis=1) for frame in frames]
    height, width, _ = large[0].shape
    total = width * len(large) + GAP * (len(large) - 1)
    below = 0 if action is None else GAP + TRACK
    picture = np.empty((height + below, total + total % 2, 3), np.uint8)
    picture[:] = BACKGROUND
    for index, frame in enumerate(large):
        left = index * (width + GAP)
        picture[:height, left : left + width] = frame
    if action is not None:
        picture[height + GAP :, :total] = draw_tracks(action, total)
    return picture


def draw_tracks(action: np.ndarray, width: int) -> np.ndarray:
    """Tracks side by side, one for each number of the action [A]: uint8 [width, 3].

    A mark grows from the middle of its track to the side of the number, which is in [-1, 1].
    """
    line = np.empty((width, 3), np.uint8)
    line[:] = BACKGROUND
    gap = GAP if len(action) * 2 * GAP <= width else 0  # many numbers stand close together
    edges = np.linspace(0, width + gap, len(action) + 1).astype(int)
    for value, left, right in zip(np.clip(action, -1, 1), edges[:-1], edges[1:] - gap, strict=True):
        middle, columns = (left + right) / 2, np.arange(left, right) + 0.5
        reach = middle + value * (right - left) / 2
        marked = (columns >= min(middle, reach) - MARK) & (columns <= max(middle, reach) + MARK)
        line[left:right] = np.where(marked[:, None], MARK_COLOUR, TRACK_COLOUR)
    return line


def _h264(pictures: Iterable[np.ndarray], frames_per_second: int, width: int, height: int) -> bytes | None:
    import av

    if "libx264" not in av.codecs_available:
        return None
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=frames_per_second)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": QUALITY, "preset": "medium", "threads": "1"}
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def _webp(pictures: Iterable[np.ndarray], frames_per_second: int) -> bytes:
    buffer = io.BytesIO()
    first, *rest = (Image.fromarray(picture) for picture in pictures)
    milliseconds = round(1000 / frames_per_second)
    first.save(buffer, "WEBP", save_all=True, append_images=rest, duration=milliseconds, loop=0, quality=60)
    return buffer.getvalue()
