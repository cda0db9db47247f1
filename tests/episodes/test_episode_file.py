from __future__ import annotations

import zlib

import blosc2
import numpy as np
import pytest

from reverie.episodes.episode_file import CHUNK_FRAMES, FRAME_BYTES, chunk_count, compress, decompress_into
from reverie.errors import DamagedFileError

from .episodes import make_episode

REMEDY = "; delete the file and run `reverie collect` again"


@pytest.mark.parametrize(("frames", "chunks"), [(1, 1), (31, 1), (32, 1), (33, 2), (64, 2), (65, 3)])
def test_every_frame_comes_back_bit_for_bit(frames: int, chunks: int) -> None:
    original = make_episode(frames - 1).frames
    packed = compress(original)
    assert chunk_count(frames) == chunks == len(packed.checksums) == len(packed.offsets) - 1
    assert packed.offsets[-1] == len(packed.data)
    for i in range(chunks):
        expected = original[i * CHUNK_FRAMES : (i + 1) * CHUNK_FRAMES]
        found = np.empty_like(expected)
        chunk = packed.data[packed.offsets[i] : packed.offsets[i + 1]]
        decompress_into(found, chunk, int(packed.checksums[i]), "e")
        np.testing.assert_array_equal(found, expected)


def test_frames_that_are_not_contiguous_are_taken_as_they_read() -> None:
    original = make_episode(40).frames[:, :, ::-1]
    packed = compress(original)
    found = np.empty((CHUNK_FRAMES, 64, 64, 3), np.uint8)
    decompress_into(found, packed.data[: packed.offsets[1]], int(packed.checksums[0]), "e")
    np.testing.assert_array_equal(found, original[:CHUNK_FRAMES])


def test_the_same_frames_give_the_same_bytes() -> None:
    frames = make_episode(70).frames
    np.testing.assert_array_equal(compress(frames).data, compress(frames.copy()).data)


def test_a_chunk_that_promises_too_much_is_refused_before_it_is_expanded() -> None:
    """A megabyte of zeros in a few bytes, with a checksum that is right."""
    bomb = blosc2.compress2(np.zeros(1 << 30, np.uint8), nthreads=1)
    assert len(bomb) < 1 << 16
    out = np.full((2, 64, 64, 3), 7, np.uint8)
    with pytest.raises(DamagedFileError) as error:
        decompress_into(out, bomb, zlib.crc32(bomb), "run/e")
    assert str(error.value) == (
        f"run/e is damaged: a chunk of frames holds {len(bomb)} bytes for 1073741824, "
        f"expected {len(bomb)} for {2 * FRAME_BYTES}{REMEDY}"
    )
    assert (out == 7).all()


def test_a_flipped_bit_is_seen() -> None:
    packed = compress(make_episode(20).frames)
    data = bytearray(packed.data)
    data[len(data) // 2] ^= 1
    with pytest.raises(DamagedFileError) as error:
        decompress_into(np.empty((21, 64, 64, 3), np.uint8), data, int(packed.checksums[0]), "run/e")
    assert str(error.value) == f"run/e is damaged: a chunk of frames does not match its checksum{REMEDY}"


def test_a_chunk_shorter_than_a_header_is_refused() -> None:
    with pytest.raises(DamagedFileError) as error:
        decompress_into(np.empty((1, 64, 64, 3), np.uint8), b"abc", zlib.crc32(b"abc"), "run/e")
    assert str(error.value) == f"run/e is damaged: a chunk of frames has 3 bytes, too few for its header{REMEDY}"


def test_a_body_that_is_no_compressed_data_is_refused() -> None:
    """Header right, checksum right, body nonsense."""
    packed = compress(make_episode(5).frames)
    nonsense = bytes(packed.data[:40]) + bytes(255 - b for b in bytes(packed.data[40:]))
    with pytest.raises(DamagedFileError) as error:
        decompress_into(np.empty((6, 64, 64, 3), np.uint8), nonsense, zlib.crc32(nonsense), "run/e")
    assert str(error.value) == f"run/e is damaged: a chunk of frames cannot be decompressed{REMEDY}"
