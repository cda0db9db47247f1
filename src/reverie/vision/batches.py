"""Batches of single frames for V, drawn from a store of any size in flat memory.

An epoch shows every frame once. The chunks of 32 frames that the files are made of are permuted and cut into blocks,
and a block's frames are shuffled. While one block is used, a thread reads the next, so memory holds two blocks however
long the store is. The stream of frames runs on from one epoch into the next.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from reverie.episodes.episode_file import CHUNK_FRAMES
from reverie.episodes.store import Store
from reverie.errors import ReverieError
from reverie.workers.seeds import generator
from reverie.worlds.spec import FRAME_SHAPE

BLOCK_CHUNKS = 256  # up to 8,192 frames, 100 MB: a batch of 100 draws on about 80 of these chunks


@dataclass(frozen=True)
class EpochOrder:
    """The order of one epoch's frames.

    chunks: int64 [W], the chunks in their order
    block_starts: int64 [blocks + 1], the place in the epoch at which each block's frames begin, and the end
    """

    epoch: int
    chunks: np.ndarray
    block_starts: np.ndarray


@dataclass(frozen=True, repr=False)
class Block:
    """frames uint8 [n, 64, 64, 3]; the means of the chunks that they are of, and each frame's chunk, int64 [n]."""

    frames: np.ndarray
    means: np.ndarray
    chunk: np.ndarray


class FrameBatches:
    """Batch `update` is a pure function of (store, batch_size, seed, mirror, update); in order they come fastest."""

    def __init__(self, store: Store, batch_size: int, seed: int, mirror: bool = False) -> None:
        """mirror: show about half of the frames as in a mirror."""
        self.store = store
        self.mirror = mirror
        self.batch_size = batch_size
        self.seed = seed
        self._entries = store.entries
        if not self._entries:
            raise ReverieError(f"{store.folder} holds no episodes; run `reverie collect` first")
        frames = np.array([entry.steps + 1 for entry in self._entries])
        chunks = -(-frames // CHUNK_FRAMES)
        self.total_frames = int(frames.sum())
        self._first_chunk = np.concatenate([[0], np.cumsum(chunks)])
        self._chunk_frames = np.full(self._first_chunk[-1], CHUNK_FRAMES)
        self._chunk_frames[self._first_chunk[1:] - 1] = frames - (chunks - 1) * CHUNK_FRAMES
        self._orders: dict[int, EpochOrder] = {}
        self._blocks: dict[tuple[int, int], Future[Block]] = {}
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="frames")

    def __repr__(self) -> str:
        return f"FrameBatches({self.store.folder}, frames={self.total_frames}, batch_size={self.batch_size})"

    def batch(self, update: int) -> np.ndarray:
        """Frames uint8 [batch_size, 64, 64, 3] of the update, which counts from 0."""
        return self.batch_with_means(update)[0]

    def batch_with_means(self, update: int) -> tuple[np.ndarray, np.ndarray]:
        """Those frames, and for each of them the mean of its chunk, the up to 32 frames around it; both alike."""
        out, means = (np.empty((self.batch_size, *FRAME_SHAPE), np.uint8) for _ in range(2))
        place, filled = update * self.batch_size, 0
        while filled < self.batch_size:
            epoch, offset = divmod(place + filled, self.total_frames)
            filled += self._fill(epoch, offset, out[filled:], means[filled:])
        if self.mirror:
            turned = generator(self.seed, "mirror", update).random(len(out)) < 0.5
            out[turned], means[turned] = out[turned, :, ::-1], means[turned, :, ::-1]
        return out, means

    def close(self) -> None:
        """Stop the reading thread."""
        self._reader.shutdown(wait=True, cancel_futures=True)
        self._blocks.clear()

    def _fill(self, epoch: int, offset: int, out: np.ndarray, means: np.ndarray) -> int:
        """Fill the heads of `out` and `means` with what the block at `offset` has from there on; returns how many."""
        order = self.order(epoch)
        block = int(np.searchsorted(order.block_starts, offset, side="right")) - 1
        start, stop = order.block_starts[block : block + 2]
        count = min(len(out), int(stop) - offset)
        shuffled = generator(self.seed, "frames", epoch, block).permutation(int(stop - start))
        chosen, source = shuffled[offset - start : offset - start + count], self._block(epoch, block)
        np.take(source.frames, chosen, axis=0, out=out[:count])
        np.take(source.means, source.chunk[chosen], axis=0, out=means[:count])
        return count

    def order(self, epoch: int) -> EpochOrder:
        if epoch not in self._orders:
            chunks = generator(self.seed, "windows", epoch).permutation(len(self._chunk_frames))
            ends = np.cumsum(self._chunk_frames[chunks])
            inner = ends[BLOCK_CHUNKS - 1 : -1 : BLOCK_CHUNKS]
            order = EpochOrder(epoch, chunks, np.concatenate([[0], inner, ends[-1:]]))
            self._orders = {e: o for e, o in self._orders.items() if abs(e - epoch) <= 1} | {epoch: order}
        return self._orders[epoch]

    def _block(self, epoch: int, block: int) -> Block:
        """The block's frames in the chunks' order, and the next block on its way."""
        last = block == len(self.order(epoch).block_starts) - 2
        following = (epoch + 1, 0) if last else (epoch, block + 1)
        wanted = ((epoch, block), following)
        for key in [key for key in self._blocks if key not in wanted]:
            self._blocks.pop(key).cancel()
        for key in wanted:
            if key not in self._blocks:
                self._blocks[key] = self._reader.submit(self._read_block, self.order(key[0]), key[1])
        return self._blocks[wanted[0]].result()

    def _read_block(self, order: EpochOrder, block: int) -> Block:
        first = block * BLOCK_CHUNKS
        start, stop = order.block_starts[block : block + 2]
        frames = np.empty((int(stop - start), *FRAME_SHAPE), np.uint8)
        chunks, filled = order.chunks[first : first + BLOCK_CHUNKS], 0
        means = np.empty((len(chunks), *FRAME_SHAPE), np.uint8)
        for place, chunk in enumerate(chunks):
            episode = int(np.searchsorted(self._first_chunk, chunk, side="right")) - 1
            begin = int(chunk - self._first_chunk[episode]) * CHUNK_FRAMES
            count = int(self._chunk_frames[chunk])
            frames[filled : filled + count] = self.store.entry_frames(self._entries[episode], begin, begin + count)
            means[place] = frames[filled : filled + count].mean(0)
            filled += count
        return Block(frames, means, np.repeat(np.arange(len(chunks)), self._chunk_frames[chunks]))


def shifted(
    drawn: tuple[np.ndarray, np.ndarray], pixels: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A batch's frames and what lies around them, both [B, 64, 64, 3], each pair moved by up to so many `pixels`.

    What comes in at an edge is the edge's own colour.
    """
    moves = rng.integers(-pixels, pixels + 1, (2, len(drawn[0])))
    rows, columns = (
        (np.arange(size) + move[:, None]).clip(0, size - 1) for size, move in zip(FRAME_SHAPE[:2], moves, strict=True)
    )
    frames, around = (
        np.stack([frame[row].take(column, 1) for frame, row, column in zip(each, rows, columns, strict=True)])
        for each in drawn
    )
    return frames, around
