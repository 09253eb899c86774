"""People: the same key gives the same person in any process, other keys give others."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from people import person

from facecycle.synthetic.assets import load_assets
from facecycle.synthetic.person import PersonCache, create_person
from facecycle.synthetic.seeds import PersonKey
from facecycle.synthetic.shape import controls

FINGERPRINT = """
import hashlib
from facecycle.synthetic.clip import Clip
from facecycle.synthetic.person import create_person
from facecycle.synthetic.seeds import PersonKey
person = create_person(PersonKey("held-out", 3, 5))
mesh = person.mesh
picture = Clip(person, (1,)).frame(2.0).picture
parts = [mesh.rest, mesh.tint, mesh.occlusion, person.skin.texture, person.eye_texture, picture]
print(hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest())
"""


def fingerprint(threads: int) -> str:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    environment = {**os.environ, **{name: str(threads) for name in names}}
    return subprocess.run(
        [sys.executable, "-c", FINGERPRINT], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_person_is_the_same_in_every_process_and_for_any_number_of_threads():
    assert len({fingerprint(1), fingerprint(2)}) == 1


def test_different_keys_are_different_people():
    people = [person(k) for k in range(4)]
    for k, one in enumerate(people):
        for other in people[k + 1 :]:
            apart = np.linalg.norm(one.body.vertices - other.body.vertices, axis=1)[load_assets().landmarks]
            assert apart.mean() > 0.02  # decimetres
            assert not np.array_equal(one.skin.texture, other.skin.texture)


def test_the_other_split_is_other_people():
    twin = create_person(PersonKey("held-out", 7, 0))
    assert np.abs(twin.body.vertices - person(0).body.vertices).max() > 0.05


def test_about_134_tied_controls():
    assert 120 <= len(controls()) <= 140
    names = [target for pairs in controls().values() for pair in pairs for target in pair if target]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("index", range(4))
def test_a_person_is_well_formed(index):
    someone = person(index)
    mesh = someone.mesh
    assert np.isfinite(mesh.rest).all()
    assert mesh.triangles.max() < len(mesh)
    assert (mesh.occlusion >= 0).all()
    assert (mesh.occlusion <= 1).all()
    assert (someone.skin.tone > 0.01).all()
    assert np.isfinite(someone.vector()).all()
    # Nothing of the head or its hair floats a hand's breadth away.
    assert np.abs(mesh.rest).max() < 4.5


def test_teeth_stay_behind_closed_lips():
    assets, someone = load_assets(), person(1)
    lips = someone.body.vertices[assets.landmarks[60:68], 2].min()
    teeth = someone.mesh.rest[someone.eyes[2] : someone.eyes[2] + 100]
    assert teeth[:, 2].mean() < lips


def test_the_cache_keeps_the_last_people():
    cache = PersonCache(capacity=1)
    first = cache.get(PersonKey("train", 7, 0))
    assert cache.get(PersonKey("train", 7, 0)) is first
    cache.get(PersonKey("train", 7, 1))
    assert cache.get(PersonKey("train", 7, 0)) is not first
    assert hashlib.sha256(first.skin.texture.tobytes()).digest()
