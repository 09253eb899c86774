"""The same figures by skin tone and by sex: a mean over everybody can hide whom the codes serve badly."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from facecycle.evaluate.crossed import Crossed
from facecycle.synthetic.person import create_person
from facecycle.synthetic.seeds import PersonKey

THIRDS = ("lightest third", "middle third", "darkest third")
LEAST = 4  # people that a group needs to be reported


def groups_of(crossed: Crossed, seed: int) -> dict[str, Bool[np.ndarray, " p"]]:
    """Which people belong to which group: thirds by depth of skin tone, and women and men.

    Args:
        crossed: the faces, drawn with ``seed``.
        seed: of the held-out people.

    Returns:
        For each group with at least `LEAST` people, one truth value for each person.
    """
    people = [create_person(PersonKey("held-out", seed, who)) for who in range(crossed.counts[0])]
    depth = np.array([person.skin.depth for person in people])
    rank = depth.argsort().argsort() * len(THIRDS) // len(people)
    male = np.array([person.body.gender for person in people]) > 0.5
    groups = {name: rank == k for k, name in enumerate(THIRDS)} | {"women": ~male, "men": male}
    return {name: members for name, members in groups.items() if members.sum() >= LEAST}


def within(
    members: Bool[np.ndarray, " p"], features: Float[np.ndarray, "n d"], crossed: Crossed
) -> tuple[Float[np.ndarray, "m d"], Crossed]:
    """The features and the faces of some people alone."""
    kept = members[crossed.levels[:, 0]]
    part = dataclasses.replace(crossed, pictures=crossed.pictures[kept], levels=crossed.levels[kept])
    return features[kept], part
