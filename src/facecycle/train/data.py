"""What ``--data`` names: face sets in folders or at URLs, or ``synthetic``, which is drawn while training."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from facecycle.config import RunConfig
from facecycle.data.faceset import FaceSet
from facecycle.data.mixed import MixedClips
from facecycle.data.pairs import ClipDataset, FacePairs
from facecycle.data.people import split_names
from facecycle.errors import FaceCycleError

SYNTHETIC = "synthetic"


@dataclass(frozen=True)
class Sources:
    """Clips to learn from, and clips of other people to check on."""

    training: ClipDataset
    validation: ClipDataset
    by_person: ClipDataset
    """What the identity stage learns from: ``training``, or the same frames with all clips of a person as one."""
    note: str
    """For people: what was found."""
    fingerprint: str = SYNTHETIC
    """The same for the same frames of the same people, wherever they lie."""


def shows_neutral(config: RunConfig) -> bool:
    """Does the motion stage ask for the true neutral face of every clip?"""
    return config.method == "facecycle" and config.motion_loss.true_neutral > 0


def open_sources(data: str, config: RunConfig) -> Sources:
    """Open the data of a run.

    Raises:
        FaceCycleError: no such face set, or one that holds too little.
    """
    opened = [
        None if name == SYNTHETIC else FaceSet.open(name, config.data.cache) for name in data.split(",") if name.strip()
    ]
    held_out = _held_out([faces for faces in opened if faces], config)
    parts = [_synthetic(config) if faces is None else _faceset(faces, held_out, config) for faces in opened]
    if not parts:
        raise FaceCycleError(f"data {data!r} names no face set: give one, or several as A,B")
    sources = parts[0] if len(parts) == 1 else _mix(parts, config)
    if shows_neutral(config):
        _check_neutral(data, parts, config.motion_loss.true_neutral)
    elif config.method == "facecycle":
        for name, weight in config.motion_loss.by_identity.items():
            raise FaceCycleError(
                f"motion_loss.{name} = {weight} needs motion_loss.true_neutral too: set both, or neither"
            )
    sources = replace(sources, fingerprint=" + ".join(map(_fingerprint, opened)))
    if sources.training.size != config.model.image_size:
        size = sources.training.size
        mend = "the networks need a multiple of 16" if size % 16 else f"use --set model.image_size={size}"
        raise FaceCycleError(
            f"{data}: faces of {sources.training.size} px, model.image_size is {config.model.image_size}; "
            f"{mend}, or make the set at --size {config.model.image_size}"
        )
    return sources


def _fingerprint(faces: FaceSet | None) -> str:
    if faces is None:
        return SYNTHETIC
    digest = hashlib.blake2b(digest_size=8)
    for name in ("key", "person", "clip"):
        for value in faces.columns[name].tolist():
            digest.update(value.encode("utf-8", "surrogateescape") + b"\0")
    return f"{len(faces.columns['key'])} frames, {digest.hexdigest()}"


def _check_neutral(data: str, parts: list[Sources], weight: float) -> None:
    sets = [part.training for part in parts]
    stored = all(isinstance(clips, FacePairs) for clips in sets)
    if not stored or not any(isinstance(clips, FacePairs) and clips.has_neutral for clips in sets):
        raise FaceCycleError(
            f"{data}: motion_loss.true_neutral = {weight} needs a face set that facecycle synth --neutral wrote; "
            "name one, or set motion_loss.true_neutral=0"
        )


def _held_out(sets: list[FaceSet], config: RunConfig) -> set[str]:
    """Who is validated on: split once over all sets, for somebody may be in several."""
    everybody = [set(faces.people()) for faces in sets]
    names = set().union(*everybody)
    held_out = set(split_names(names, config.data.held_out, config.train.seed)[1])
    for people in everybody:
        if people <= held_out:  # a set of which nothing would be left to learn from
            held_out -= people
    return held_out


def _faceset(faces: FaceSet, held: set[str], config: RunConfig) -> Sources:
    wanted, seed = config.data, config.train.seed
    held_in, held_out = (sorted(side) for side in (set(faces.people()) - held, set(faces.people()) & held))
    neutral = shows_neutral(config)
    pairs = FacePairs(faces, wanted.frames_per_clip, wanted.min_gap, seed, held_in, neutral=neutral)
    who = f"{len(held_out)} held out" if held_out else "nobody held out: validation shows the training people"
    try:
        checked = FacePairs(faces, wanted.frames_per_clip, wanted.min_gap, seed + 1, held_out or held_in)
    except FaceCycleError:  # few people: perhaps all who are held out have too few frames in each clip
        checked = FacePairs(faces, wanted.frames_per_clip, wanted.min_gap, seed + 1, held_in)
        who += ", whose clips are too short: validation shows the training people"
    left_out = f"; {pairs.short_clips} clips too short for a pair" if pairs.short_clips else ""
    note = f"{len(pairs)} frames of {len(held_in)} people in {pairs.clips} clips, {who}{left_out}"
    people = pairs
    if wanted.across_clips or neutral:
        people = FacePairs(faces, wanted.frames_per_clip, wanted.min_gap, seed, held_in, wanted.across_clips)
    return Sources(pairs, checked, people, note)


def _mix(parts: list[Sources], config: RunConfig) -> Sources:
    seed, frames = config.train.seed, config.data.frames_per_clip
    training, validation, by_person = (
        MixedClips([getattr(part, role) for part in parts], seed, frames)
        for role in ("training", "validation", "by_person")
    )
    return Sources(training, validation, by_person, " + ".join(part.note for part in parts))


def _synthetic(config: RunConfig) -> Sources:
    from facecycle.synthetic.stream import SyntheticFaces

    size, frames, seed = config.model.image_size, config.data.frames_per_clip, config.train.seed
    training = SyntheticFaces(size=size, frames_per_item=frames, seed=seed, split="train")
    validation = SyntheticFaces(size=size, frames_per_item=frames, seed=seed, split="held-out")
    return Sources(
        training, validation, training, "synthetic people, drawn while training; validation on held-out ones"
    )
