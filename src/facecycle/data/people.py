"""Whose frames are whose, and who is trained on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection

import numpy as np

from facecycle.data.faceset import FaceSet
from facecycle.data.truth import is_neutral
from facecycle.errors import FaceCycleError

TRACK = "#"  # between the name of a video and the number of a face that was followed in it


def split_people(faces: FaceSet, held_out: float = 0.1, seed: int = 0) -> tuple[list[str], list[str]]:
    """Split by person into (training, validation); see `split_names`.

    Args:
        faces: the face set.
        held_out: expected share of people held out, in [0, 1); 0 holds out nobody.
        seed: another seed, another split.

    Raises:
        FaceCycleError: people are to be held out of a set with one person.
    """
    people = faces.people()
    if held_out > 0 and len(people) < 2:
        raise FaceCycleError(f"{faces.path}: one person only, nobody can be held out; set data.held_out to 0")
    return split_names(people, held_out, seed)


def split_names(people: Collection[str], held_out: float, seed: int) -> tuple[list[str], list[str]]:
    """Split names into (training, validation), each sorted.

    A name's side follows from a hash of seed and name, so it stays the same when others join. But both sides get at
    least one of two and more names: where the hashes of few would leave one side empty, the nearest name changes sides.
    """
    if held_out <= 0 or len(people) < 2:
        return sorted(people), []

    def place(name: str) -> float:
        seeded = f"{seed}:{name}".encode("utf-8", "surrogateescape")  # not every folder's name is UTF-8
        return int.from_bytes(hashlib.blake2b(seeded, digest_size=8).digest()) / 2**64

    ranked = sorted(people, key=place)
    count = min(max(sum(place(name) < held_out for name in people), 1), len(people) - 1)
    return sorted(ranked[count:]), sorted(ranked[:count])


def clips_of(faces: FaceSet, people: Collection[str] | None = None) -> list[np.ndarray]:
    """Row indices of each clip of ``people`` (None: of all), in the order of its frames; clips by name.

    Raises:
        FaceCycleError: nobody of that name.
    """
    marked = is_neutral(faces)
    clips = [clip[~marked[clip]] for clip in faces.clips()]
    if people is None:
        return clips
    people = set(people)
    unknown = people - set(faces.people())
    if unknown:
        raise FaceCycleError(f"{faces.path}: nobody there is called {min(unknown)!r}; `facecycle inspect` lists people")
    return [clip for clip in clips if faces.columns["person"][clip[0]] in people]


def clips_by_person(faces: FaceSet, people: Collection[str] | None = None) -> list[np.ndarray]:
    """The same, all clips of a person as one.

    Of a video in which several faces were followed nobody knows who is who: each of its clips stays by itself.
    """
    clips = clips_of(faces, people)
    videos = [str(faces.columns["clip"][clip[0]]).rpartition(TRACK)[0] for clip in clips]
    tracks = Counter(videos)
    together: dict[tuple[str, int], list[np.ndarray]] = {}
    for number, (clip, video) in enumerate(zip(clips, videos, strict=True)):
        alone = number if video and tracks[video] > 1 else -1
        together.setdefault((str(faces.columns["person"][clip[0]]), alone), []).append(clip)
    return [np.concatenate(parts) for parts in together.values()]
