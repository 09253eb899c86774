"""`SyntheticFaces`: frames of synthetic clips, drawn when asked for, in the form that training takes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, UInt8

from facecycle.data.crop import CROP_NAME
from facecycle.data.faceset import stored_size
from facecycle.errors import FaceCycleError
from facecycle.synthetic.clip import Clip, ClipOptions, Frame
from facecycle.synthetic.person import shared_people
from facecycle.synthetic.seeds import PersonKey, stream

LICENCE = "CC0-1.0"
COMPANY = 16  # people at hand at a time, so that a batch shows many and each is created once
LEAST_SIZE, GREATEST_SIZE = 32, 512


class SyntheticFaces:
    """Clips of synthetic people without a disk; a `facecycle.data.pairs.ClipDataset`.

    Everything follows from (seed, epoch, index): each epoch shows the same people in new clips and another order,
    whatever the number of loader workers.

    Args:
        people: how many, or their indices, or their keys.
        clips_per_person: clips of each person in an epoch. They stay close together: a person is created once (by each
            worker of a loader) and then serves ``clips_per_person`` rounds of a slowly changing company of 16.
        frames_per_item: K, frames drawn of each clip, in order of time and spread over it.
        size: pixels of a crop as the networks see it, 32 to 512.
        margin: how much larger the stored picture is.
        seed: of the people, of the clips and of the order.
        split: "train" or "held-out"; the people of one are never those of the other.
        options: what clips may show.

    Raises:
        FaceCycleError: a value out of range, or people of the other split.
    """

    crop = CROP_NAME
    licence = LICENCE

    def __init__(
        self,
        people: int | range | Sequence[PersonKey] = 2000,
        clips_per_person: int = 64,
        frames_per_item: int = 2,
        size: int = 64,
        margin: float = 0.25,
        seed: int = 0,
        split: str = "train",
        options: ClipOptions | None = None,
    ) -> None:
        check_size(size, margin)
        for name, value in (("clips_per_person", clips_per_person), ("frames_per_item", frames_per_item)):
            if value < 1:
                raise FaceCycleError(f"{name}={value}: at least 1")
        self.people = name_people(people, seed, split)
        self.clips_per_person, self.frames_per_item = clips_per_person, frames_per_item
        self.size, self.margin, self.seed, self.split = size, margin, seed, split
        self.stored = stored_size(size, margin)
        self.options = options or ClipOptions()
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, int))

    def __len__(self) -> int:
        """Items in an epoch."""
        return len(self.people) * self.clips_per_person

    def person_key(self, key: tuple[int, int]) -> PersonKey:
        """Who item ``(epoch, index)`` shows."""
        return self.people[self._who(key)]

    def whose(self, keys: Sequence[tuple[int, int]]) -> Int[np.ndarray, " b"]:
        """Which of `people` each item shows."""
        return np.array([self._who(key) for key in keys])

    def _who(self, key: tuple[int, int]) -> int:
        epoch, index = key
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        if self._order[0] != epoch:
            self._order = (epoch, self._shuffle(epoch))
        return int(self._order[1][index])

    def _shuffle(self, epoch: int) -> Int[np.ndarray, " n"]:
        """Who each item of an epoch shows.

        People take turns in the company: each stays for ``clips_per_person`` rounds, and they come and go one after
        the other, so that every round shows the whole company and the cost of new people is spread evenly.
        """
        count, rounds = len(self.people), self.clips_per_person
        company = min(COMPANY, count)
        arrival = np.arange(count)[:, None] * rounds / company
        when = (arrival + np.arange(rounds)) % (count * rounds / company)
        who = stream(self.seed, self.split, epoch, "order").permutation(count)
        return who[np.argsort(when.ravel(), kind="stable") // rounds]

    def clip(self, key: tuple[int, int]) -> Clip:
        """The clip behind item ``(epoch, index)``, for its ground truth."""
        return Clip(shared_people().get(self.person_key(key)), key, self.options)

    def frames(self, key: tuple[int, int]) -> list[Frame]:
        """The frames of item ``(epoch, index)`` with their labels."""
        clip = self.clip(key)
        return [clip.frame(float(t), self.stored, self.margin) for t in clip.times(self.frames_per_item)]

    def __getitem__(self, key: tuple[int, int]) -> UInt8[np.ndarray, "k 3 s s"]:
        """K frames of one clip, RGB, with their margin."""
        return np.stack([frame.picture.transpose(2, 0, 1) for frame in self.frames(key)])


def check_size(size: int, margin: float) -> None:
    """Refuse sizes at which the drawings make no sense.

    Raises:
        FaceCycleError: with the reason.
    """
    if size < LEAST_SIZE:
        raise FaceCycleError(
            f"size={size}: below {LEAST_SIZE} pixels eyes and mouth are a pixel or two; use a larger one"
        )
    if size > GREATEST_SIZE:
        raise FaceCycleError(
            f"size={size}: skin and mesh carry no detail beyond {GREATEST_SIZE} pixels; use a smaller one"
        )
    if not 0 <= margin <= 1:
        raise FaceCycleError(f"margin={margin}: between 0 and 1")


def name_people(people: int | range | Sequence[PersonKey], seed: int, split: str) -> list[PersonKey]:
    """Keys of the people asked for.

    Raises:
        FaceCycleError: nobody, or somebody of the other split.
    """
    if isinstance(people, int):
        people = range(people)
    keys = [PersonKey(split, seed, index) for index in people] if isinstance(people, range) else list(people)
    if not keys:
        raise FaceCycleError("people: nobody asked for; name at least one")
    strangers = [key for key in keys if key.split != split]
    if strangers:
        raise FaceCycleError(
            f"person {strangers[0]} is of split {strangers[0].split!r}, this stream is for {split!r}: "
            "training and held-out people are never mixed"
        )
    return keys
