"""From a face set to training batches: several frames of one clip per item, in an order that a seed decides.

Every draw is keyed by (seed, epoch, index), so the batches do not depend on the number of loader workers, on the
number of processes, or on where a run was interrupted.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import DataLoader

from facecycle.data.faceset import FaceSet
from facecycle.errors import FaceCycleError

Key = tuple[int, int]  # (epoch, index)
ORDER, PARTNERS = 0, 1  # what a generator is for
TRUTH = {"label/units", "label/pose"}  # columns of a generated face set
TRUE_VALUES = 55


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


def split_people(faces: FaceSet, held_out: float = 0.1, seed: int = 0) -> tuple[list[str], list[str]]:
    """Split by person into (training, validation).

    A person's side follows from a hash of seed and name, so it stays the same when others join the set. Both sides
    get at least one person.

    Args:
        faces: the face set.
        held_out: expected share of people held out, in [0, 1); 0 holds out nobody.
        seed: another seed, another split.

    Raises:
        FaceCycleError: people are to be held out of a set with one person.
    """
    people = faces.people()
    if held_out <= 0:
        return people, []
    if len(people) < 2:
        raise FaceCycleError(f"{faces.path}: one person only, nobody can be held out; set data.held_out to 0")

    def place(name: str) -> float:
        return int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()) / 2**64

    ranked = sorted(people, key=place)
    count = min(max(sum(place(name) < held_out for name in people), 1), len(people) - 1)
    return sorted(ranked[count:]), sorted(ranked[:count])


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
    ) -> None:
        self.faces, self.frames_per_item, self.min_gap_seconds, self.seed = (
            faces,
            frames_per_item,
            min_gap_seconds,
            seed,
        )
        self.size, self.margin, self.stored = faces.size, faces.margin, faces.stored
        self.licence, self.crop = faces.licence, faces.crop
        clips = _of_people(faces, _clips_of(faces, people)) if across_clips else _clips_of(faces, people)
        usable = [clip for clip in clips if len(clip) >= frames_per_item]
        if not usable:
            raise FaceCycleError(
                f"{faces.path}: none of {len(clips)} clips holds {frames_per_item} frames; prepare it with a higher "
                "--fps or a lower --min-change, or lower data.frames_per_clip"
            )
        self.clips, self.short_clips = len(usable), len(clips) - len(usable)
        self._rows = np.concatenate(usable)  # anchors, clip after clip
        times = faces.columns["time"][self._rows]
        self._times = np.full_like(times, np.nan) if across_clips else times
        lengths = np.array([len(clip) for clip in usable])
        ends = np.cumsum(lengths)
        self._first, self._last = np.repeat(ends - lengths, lengths), np.repeat(ends, lengths)
        self._order: tuple[int, np.ndarray] = (-1, self._rows)
        self._truth: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, key: Key) -> Int[np.ndarray, " k"]:
        """Which rows of the face set make up item ``(epoch, index)``: the visited frame, then its partners."""
        epoch, index = key
        if self._order[0] != epoch:
            self._order = (epoch, _generator(self.seed, epoch, 0, ORDER).permutation(len(self)))
        anchor = int(self._order[1][index])
        first, wanted = int(self._first[anchor]), self.frames_per_item - 1
        gaps = np.abs(self._times[first : self._last[anchor]] - self._times[anchor])
        gaps[np.isnan(gaps)] = np.inf
        gaps[anchor - first] = -1  # never its own partner
        far = np.flatnonzero(gaps >= self.min_gap_seconds)
        if len(far) < wanted:
            far = np.argsort(-gaps, kind="stable")[:wanted]
        partners = far[_generator(self.seed, epoch, index, PARTNERS).permutation(len(far))[:wanted]]
        return self._rows[np.concatenate([[anchor], first + partners])]

    def __getitem__(self, key: Key) -> UInt8[np.ndarray, "k 3 s s"]:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[Key]) -> UInt8[np.ndarray, "b k 3 s s"]:
        """A whole batch at once: what the loader's workers call."""
        batch = np.empty((len(keys), self.frames_per_item, 3, self.stored, self.stored), np.uint8)
        for item, key in zip(batch, keys, strict=True):
            for frame, row in zip(item, self.rows(key), strict=True):
                frame[:] = self.faces.image(int(row)).transpose(2, 0, 1)
        return batch

    @property
    def has_truth(self) -> bool:
        """Were the faces generated, and written with what is true of them?"""
        return self.faces.columns.keys() >= TRUTH

    def truth(self, keys: Sequence[Key]) -> Float[np.ndarray, "b k 55"]:
        """What the generator says of the frames of a batch: 52 units and the pose.

        Each is given less its mean over the set, and in units of its deviation. Only where `has_truth`.
        """
        table = self._truth
        if table is None:
            table = np.concatenate([self.faces.columns[name] for name in sorted(TRUTH, reverse=True)], 1)
            table = self._truth = ((table - table.mean(0)) / (table.std(0) + 0.02)).astype(np.float32)
        return table[np.stack([self.rows(key) for key in keys])]

    def __getstate__(self) -> dict[str, Any]:
        # A worker process only needs to know where the pictures lie, not the names of a million frames.
        columns = {name: self.faces.columns[name] for name in ("key", "shard", "offset", "nbytes")}
        return {**self.__dict__, "_truth": None, "faces": FaceSet(self.faces.path, self.faces.meta, columns)}


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
        self._loader = DataLoader(
            dataset,  # pyright: ignore[reportArgumentType]  (keys are pairs)
            batch_sampler=self.plan,
            num_workers=workers,
            collate_fn=_to_tensor,
            pin_memory=pin_memory,
            # A fork would copy the locks of the threads that torch and numba run; a fork server is forked before them.
            multiprocessing_context=_context() if workers else None,
            generator=torch.Generator(),  # the loader draws from the global one otherwise
        )

    def __iter__(self) -> Iterator[UInt8[Tensor, "b k 3 s s"]]:
        return iter(self._loader)


def _clips_of(faces: FaceSet, people: Collection[str] | None) -> list[np.ndarray]:
    clips = faces.clips()
    if people is None:
        return clips
    unknown = set(people) - set(faces.people())
    if unknown:
        raise FaceCycleError(f"{faces.path}: nobody there is called {min(unknown)!r}; `facecycle inspect` lists people")
    return [clip for clip in clips if faces.columns["person"][clip[0]] in people]


def _of_people(faces: FaceSet, clips: list[np.ndarray]) -> list[np.ndarray]:
    together: dict[str, list[np.ndarray]] = {}
    for clip in clips:
        together.setdefault(str(faces.columns["person"][clip[0]]), []).append(clip)
    return [np.concatenate(parts) for parts in together.values()]


def _generator(seed: int, epoch: int, index: int, purpose: int) -> np.random.Generator:
    # Philox counts blocks of numbers in the first word of its counter; the others name the stream.
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, index, epoch, purpose]))


def _to_tensor(items: Any) -> Tensor:
    return torch.from_numpy(items if isinstance(items, np.ndarray) else np.stack([np.asarray(item) for item in items]))


def _context() -> Any:
    methods = multiprocessing.get_all_start_methods()
    return multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
