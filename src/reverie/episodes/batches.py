"""Batches of single frames for V, drawn from a store of any size in flat memory.

An epoch shows every frame once. Its windows (the chunks of 32 frames that the files are made of) are permuted and cut
into blocks; a block's frames are shuffled and dealt out. While one block is dealt, a thread reads the next, so
memory holds two blocks however long the store is. The stream of frames runs on from one epoch into the next.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from reverie.episodes.chunks import CHUNK_FRAMES
from reverie.episodes.store import Store
from reverie.errors import ReverieError
from reverie.workers.seeds import generator
from reverie.worlds.spec import FRAME_SHAPE

BLOCK_WINDOWS = 256  # up to 8,192 frames, 100 MB: a batch of 100 draws on about 80 of these windows


@dataclass(frozen=True)
class EpochOrder:
    """How one epoch deals its frames.

    windows: int64 [W], the windows in their order
    block_starts: int64 [blocks + 1], the place in the epoch at which each block's frames begin, and the end
    """

    epoch: int
    windows: np.ndarray
    block_starts: np.ndarray


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
        windows = -(-frames // CHUNK_FRAMES)
        self.total_frames = int(frames.sum())
        self._first_window = np.concatenate([[0], np.cumsum(windows)])
        self._window_frames = np.full(self._first_window[-1], CHUNK_FRAMES)
        self._window_frames[self._first_window[1:] - 1] = frames - (windows - 1) * CHUNK_FRAMES
        self._orders: dict[int, EpochOrder] = {}
        self._blocks: dict[tuple[int, int], Future[np.ndarray]] = {}
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="frames")

    def __repr__(self) -> str:
        return f"FrameBatches({self.store.folder}, frames={self.total_frames}, batch_size={self.batch_size})"

    def batch(self, update: int) -> np.ndarray:
        """Frames uint8 [batch_size, 64, 64, 3] of the update, which counts from 0."""
        out = np.empty((self.batch_size, *FRAME_SHAPE), np.uint8)
        place, filled = update * self.batch_size, 0
        while filled < self.batch_size:
            epoch, offset = divmod(place + filled, self.total_frames)
            filled += self._deal(epoch, offset, out[filled:])
        if self.mirror:
            turned = generator(self.seed, "mirror", update).random(len(out)) < 0.5
            out[turned] = out[turned, :, ::-1]
        return out

    def close(self) -> None:
        """Stop the reading thread."""
        self._reader.shutdown(wait=True, cancel_futures=True)
        self._blocks.clear()

    def _deal(self, epoch: int, offset: int, out: np.ndarray) -> int:
        """Fill the head of `out` with what the block at `offset` of the epoch has from there on; returns how many."""
        order = self._order(epoch)
        block = int(np.searchsorted(order.block_starts, offset, side="right")) - 1
        start, stop = order.block_starts[block : block + 2]
        count = min(len(out), int(stop) - offset)
        shuffled = generator(self.seed, "frames", epoch, block).permutation(int(stop - start))
        frames = self._block(epoch, block)
        np.take(frames, shuffled[offset - start : offset - start + count], axis=0, out=out[:count])
        return count

    def _order(self, epoch: int) -> EpochOrder:
        if epoch not in self._orders:
            windows = generator(self.seed, "windows", epoch).permutation(len(self._window_frames))
            ends = np.cumsum(self._window_frames[windows])
            inner = ends[BLOCK_WINDOWS - 1 : -1 : BLOCK_WINDOWS]
            order = EpochOrder(epoch, windows, np.concatenate([[0], inner, ends[-1:]]))
            self._orders = {e: o for e, o in self._orders.items() if abs(e - epoch) <= 1} | {epoch: order}
        return self._orders[epoch]

    def _block(self, epoch: int, block: int) -> np.ndarray:
        """The block's frames in the windows' order, and the next block on its way."""
        last = block == len(self._order(epoch).block_starts) - 2
        following = (epoch + 1, 0) if last else (epoch, block + 1)
        wanted = ((epoch, block), following)
        for key in [key for key in self._blocks if key not in wanted]:
            self._blocks.pop(key).cancel()
        for key in wanted:
            if key not in self._blocks:
                self._blocks[key] = self._reader.submit(self._read_block, self._order(key[0]), key[1])
        return self._blocks[wanted[0]].result()

    def _read_block(self, order: EpochOrder, block: int) -> np.ndarray:
        first = block * BLOCK_WINDOWS
        start, stop = order.block_starts[block : block + 2]
        frames = np.empty((int(stop - start), *FRAME_SHAPE), np.uint8)
        filled = 0
        for window in order.windows[first : first + BLOCK_WINDOWS]:
            episode = int(np.searchsorted(self._first_window, window, side="right")) - 1
            begin = int(window - self._first_window[episode]) * CHUNK_FRAMES
            count = int(self._window_frames[window])
            frames[filled : filled + count] = self.store.entry_frames(self._entries[episode], begin, begin + count)
            filled += count
        return frames
