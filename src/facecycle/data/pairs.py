"""From a face set to training batches: several frames of one clip per item, in an order that a seed decides.

Every draw is keyed by (seed, epoch, index), so the batches do not depend on the number of loader workers, on the
number of processes, or on where a run was interrupted.
"""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import DataLoader

from facecycle.data.faceset import FaceSet
from facecycle.data.people import clips_by_person, clips_of
from facecycle.data.truth import LANDMARKS, Scale, has_values, neutral_rows, true_landmarks, true_values
from facecycle.errors import FaceCycleError
from facecycle.processes import leave_with_parent

Key = tuple[int, int]  # (epoch, index)
ORDER, PARTNERS = 0, 1  # what a generator is for


@runtime_checkable
class ClipDataset(Protocol):
    """What the loader needs of a source of clips: `FacePairs` from disk, or the synthetic stream.

    Attributes:
        size: pixels of a crop as the networks see it.
        margin: how much larger the stored picture is.
        stored: pixels of a stored picture.
        licence: terms of the pictures.
        crop: name of the crop convention.
    """

    @property
    def size(self) -> int: ...
    @property
    def margin(self) -> float: ...
    @property
    def stored(self) -> int: ...
    @property
    def licence(self) -> str: ...
    @property
    def crop(self) -> str: ...

    def __len__(self) -> int:
        """Items in an epoch."""
        ...

    def __getitem__(self, key: Key, /) -> UInt8[np.ndarray, "k 3 s s"]:
        """Item ``index`` of epoch ``epoch``: K frames of one clip, RGB, with their margin."""
        ...

    def whose(self, keys: Sequence[Key]) -> Int[np.ndarray, " b"]:
        """A number for each item, the same for those that are known to belong together."""
        ...


class FacePairs:
    """K different frames of one clip (or photos of one person) per item.

    An epoch visits every frame of every usable clip once, in a shuffled order; that frame comes first in its item.
    Its partners are drawn among the frames at least ``min_gap_seconds`` away (photos carry no time: any of them); a
    clip too short for that gives the frames farthest away.

    Args:
        faces: an opened face set.
        frames_per_item: K.
        min_gap_seconds: distance in time from the first frame to its partners.
        seed: of the order and of the partners.
        people: use these only; None means all.
        across_clips: frames of one person belong together, whatever the clip.
        neutral: end each item with the neutral face of the visited frame's clip; a black picture where it has none.

    Attributes:
        clips: how many clips are used.
        short_clips: how many were left out because they hold fewer than K frames.

    Raises:
        FaceCycleError: nobody of that name, or no usable clip.
    """

    def __init__(
        self,
        faces: FaceSet,
        frames_per_item: int = 2,
        min_gap_seconds: float = 0.4,
        seed: int = 0,
        people: Collection[str] | None = None,
        across_clips: bool = False,
        neutral: bool = False,
    ) -> None:
        self.faces, self.frames_per_item, self.min_gap_seconds, self.seed = (
            faces,
            frames_per_item,
            min_gap_seconds,
            seed,
        )
        self._neutral, self.across_clips = neutral_rows(faces) if neutral else None, across_clips
        self.size, self.margin, self.stored = faces.size, faces.margin, faces.stored
        self.licence, self.crop = faces.licence, faces.crop
        clips = clips_by_person(faces, people) if across_clips else clips_of(faces, people)
        usable = [clip for clip in clips if len(clip) >= frames_per_item]
        if not usable:
            drawn = faces.meta["origin"] == "synthetic"
            photos = not drawn and bool(np.isnan(faces.columns["time"]).all())
            mend = "draw it with more --frames" if drawn else "prepare it with a higher --fps or a lower --min-change"
            mend = "name a set with several photos of a person, in a folder for each" if photos else mend
            lower = ", or lower data.frames_per_clip" if frames_per_item > 2 else ""
            raise FaceCycleError(
                f"{faces.path}: none of {len(clips)} clips holds {frames_per_item} frames; {mend}{lower}"
            )
        self.clips, self.short_clips = len(usable), len(clips) - len(usable)
        self._rows = np.concatenate(usable)  # anchors, clip after clip
        times = faces.columns["time"][self._rows]
        self._times = np.full_like(times, np.nan) if across_clips else times
        lengths = np.array([len(clip) for clip in usable])
        ends = np.cumsum(lengths)
        self._first, self._last = np.repeat(ends - lengths, lengths), np.repeat(ends, lengths)
        self._order: tuple[int, np.ndarray] = (-1, self._rows)
        self._found: tuple[tuple[Key, ...], np.ndarray] = ((), self._rows)
        self.scale: Scale | None = None  # of `truth`; its own
        self._truth: np.ndarray | None = None
        self._landmarks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, key: Key) -> Int[np.ndarray, " k"]:
        """Which rows of the face set make up item ``(epoch, index)``: the visited frame, then its partners."""
        epoch, index = key
        anchor = self._anchor(key)
        first, wanted = int(self._first[anchor]), self.frames_per_item - 1
        gaps = np.abs(self._times[first : self._last[anchor]] - self._times[anchor])
        gaps[np.isnan(gaps)] = np.inf
        gaps[anchor - first] = -1  # never its own partner
        far = np.flatnonzero(gaps >= self.min_gap_seconds)
        if len(far) < wanted:
            far = np.argsort(-gaps, kind="stable")[:wanted]
        partners = far[_generator(self.seed, epoch, index, PARTNERS).permutation(len(far))[:wanted]]
        return self._rows[np.concatenate([[anchor], first + partners])]

    def whose(self, keys: Sequence[Key]) -> Int[np.ndarray, " b"]:
        """Of which clip each item is; of which person, if clips of one are joined."""
        return np.array([self._first[self._anchor(key)] for key in keys])

    def clips_within(self, keys: Sequence[Key]) -> Int[np.ndarray, "b k"]:
        """The clips of the frames of each item, numbered; photos, which have no time, are of no clip but their own."""
        rows = self._all_rows(keys)
        _, numbers = np.unique(self.faces.columns["clip"][rows], return_inverse=True)
        alone = np.isnan(self.faces.columns["time"][rows])
        return np.where(alone, -1 - np.arange(rows.size).reshape(rows.shape), numbers.reshape(rows.shape))

    def named_people(self) -> dict[int, str]:
        """What `whose` says of each person -> the person's name; of single clips nothing."""
        if not self.across_clips:
            return {}
        firsts = np.unique(self._first)
        return dict(zip(firsts.tolist(), self.faces.columns["person"][self._rows[firsts]].tolist(), strict=True))

    def _all_rows(self, keys: Sequence[Key]) -> Int[np.ndarray, "b k"]:
        if self._found[0] != tuple(keys):  # truth and landmarks are asked for the same batch
            self._found = tuple(keys), np.stack([self.rows(key) for key in keys])
        return self._found[1]

    def _anchor(self, key: Key) -> int:
        epoch, index = key
        if self._order[0] != epoch:
            self._order = (epoch, _generator(self.seed, epoch, 0, ORDER).permutation(len(self)))
        return int(self._order[1][index])

    def __getitem__(self, key: Key) -> UInt8[np.ndarray, "k 3 s s"]:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[Key]) -> UInt8[np.ndarray, "b k 3 s s"]:
        """A whole batch at once: what the loader's workers call."""
        rows = self._all_rows(keys)
        if self._neutral is not None:
            rows = np.concatenate([rows, self._neutral[rows[:, :1]]], 1)
        batch = np.zeros((*rows.shape, 3, self.stored, self.stored), np.uint8)
        there = rows >= 0
        for place, picture in zip(np.argwhere(there), self.faces.images(rows[there].tolist()), strict=True):
            batch[tuple(place)] = picture.transpose(2, 0, 1)
        return batch

    @property
    def has_truth(self) -> bool:
        """Were the faces generated, and written with what is true of them?"""
        return has_values(self.faces)

    @property
    def has_landmarks(self) -> bool:
        """Do its items end with a neutral face, and are the landmarks of all known?"""
        return self.has_neutral and LANDMARKS in self.faces.columns

    @property
    def has_neutral(self) -> bool:
        """Do its items end with a neutral face, of one clip at least?"""
        return self._neutral is not None and bool((self._neutral >= 0).any())

    def truth(self, keys: Sequence[Key]) -> Float[np.ndarray, "b k 55"]:
        """What the generator says of the frames of a batch: 52 units and the pose.

        See `facecycle.data.truth.true_values`; only where `has_truth`.
        """
        if self._truth is None:
            self._truth = true_values(self.faces, self.scale)
        return self._truth[self._all_rows(keys)]

    def landmarks(self, keys: Sequence[Key]) -> Float[np.ndarray, "b k1 68 2"]:
        """Where the generator put the landmarks of the frames of a batch, last those of the clip's neutral face.

        See `facecycle.data.truth.true_landmarks`; not a number for a neutral face that is not there. Only where
        `has_landmarks`.
        """
        if self._landmarks is None:
            self._landmarks = true_landmarks(self.faces)
        rows = self._all_rows(keys)
        assert self._neutral is not None  # `has_landmarks`
        last = self._neutral[rows[:, :1]]
        found = self._landmarks[np.concatenate([rows, last], 1)]
        found[:, -1][last[:, 0] < 0] = np.nan
        return found

    def __getstate__(self) -> dict[str, Any]:
        # A worker process only needs to know where the pictures lie, not the names of a million frames.
        columns = {name: self.faces.columns[name] for name in ("key", "shard", "offset", "nbytes")}
        return {
            **self.__dict__,
            "_truth": None,
            "_landmarks": None,
            "faces": FaceSet(self.faces.store, self.faces.meta, columns),
        }


class BatchPlan:
    """The keys of every batch, without end: epochs follow each other, and a batch may run across their border.

    Args:
        length: items in an epoch.
        batch_size: items in a batch, over all processes.
        start_step: the first batch to give.
        rank, world: this process and how many there are; each gets an equal, contiguous part of every batch.

    Raises:
        FaceCycleError: the batch cannot be split evenly.
    """

    def __init__(self, length: int, batch_size: int, start_step: int = 0, rank: int = 0, world: int = 1) -> None:
        if batch_size < 1 or batch_size % world:
            raise FaceCycleError(f"batch_size={batch_size}: must be a positive multiple of the {world} processes")
        self.length, self.batch_size, self.start_step = length, batch_size, start_step
        self.rank, self.world = rank, world

    def keys(self, step: int) -> list[Key]:
        """``(epoch, index)`` of this process's items in batch ``step``."""
        share = self.batch_size // self.world
        start = step * self.batch_size + self.rank * share
        return [divmod(item, self.length) for item in range(start, start + share)]

    def __iter__(self) -> Iterator[list[Key]]:
        step = self.start_step
        while True:
            yield self.keys(step)
            step += 1


class PairLoader:
    """Endless batches of a `ClipDataset`, decoded in worker processes.

    Args:
        dataset: where the clips come from; its seed decides the order.
        batch_size, start_step, rank, world: see `BatchPlan`.
        workers: loader processes; 0 decodes in this one. The batches are the same for any number.
        pin_memory: for faster copies to a GPU.

    Yields:
        uint8 tensors ``(batch_size / world, k, 3, stored, stored)``.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        batch_size: int,
        workers: int = 0,
        start_step: int = 0,
        rank: int = 0,
        world: int = 1,
        pin_memory: bool = False,
    ) -> None:
        self.plan = BatchPlan(len(dataset), batch_size, start_step, rank, world)
        with _any_number_of_workers():
            self._loader = DataLoader(
                dataset,  # pyright: ignore[reportArgumentType]  (keys are pairs)
                batch_sampler=self.plan,
                num_workers=workers,
                collate_fn=_to_tensor,
                pin_memory=pin_memory,
                # A fork would copy the locks of the threads that torch and numba run; a fork server begins before them.
                multiprocessing_context=_context() if workers else None,
                generator=torch.Generator(),  # the loader draws from the global one otherwise
                worker_init_fn=leave_with_parent,  # torch's own watch is over the fork server, which would live on
            )

    def __iter__(self) -> Iterator[UInt8[Tensor, "b k 3 s s"]]:
        with _any_number_of_workers():
            batches = iter(self._loader)
        return _in_one_line(batches)


@contextmanager
def _any_number_of_workers() -> Iterator[None]:
    """Without a warning of more workers than cores: on a GPU a core waits more than it works."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")
        yield


def _in_one_line(batches: Iterator[Tensor]) -> Iterator[Tensor]:
    """The batches; of an error in a worker process, to which torch adds that process's traceback, its last line."""
    try:
        yield from batches
    except FaceCycleError as error:
        raise FaceCycleError(str(error).rstrip().rpartition(f"{FaceCycleError.__name__}: ")[2]) from None
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise FaceCycleError(
            "a process that reads faces was killed (is memory short? lower data.workers); "
            "go on from the last checkpoint with --resume"
        ) from error


def _generator(seed: int, epoch: int, index: int, purpose: int) -> np.random.Generator:
    # Philox counts blocks of numbers in the first word of its counter; the others name the stream.
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, index, epoch, purpose]))


def _to_tensor(items: Any) -> Tensor:
    return torch.from_numpy(items if isinstance(items, np.ndarray) else np.stack([np.asarray(item) for item in items]))


def _context() -> Any:
    methods = multiprocessing.get_all_start_methods()
    return multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
