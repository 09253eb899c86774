"""What the shipped weights make of faces: of yours, or of synthetic people that they have never seen.

python examples/shipped_weights.py [PICTURE...]
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from facecycle import FaceCycle
from facecycle.draw import save_picture, sheet
from facecycle.synthetic.clip import Clip, ClipOptions
from facecycle.synthetic.person import create_person
from facecycle.synthetic.seeds import PersonKey

OUT = Path("runs/examples/verbs.png")
SIZE = 160


def held_out_people(count: int, size: int) -> list[np.ndarray]:
    """Crops of people where their expression is strongest, with nothing before their faces."""
    crops = []
    for index in range(count):
        clip = Clip(create_person(PersonKey("held-out", 12, index)), (0,), ClipOptions(occluder="none"))
        times = [float(time) for time in clip.times(12)]
        strongest = max(times, key=lambda time: clip.state(time).units.sum())
        crops.append(clip.frame(strongest, size, margin=0.0).picture)
    return crops


def main(pictures: list[str]) -> None:
    fc = FaceCycle.from_pretrained()
    cropped = not pictures
    faces: list[Any] = [*pictures] or [*held_out_people(6, SIZE)]
    pairs = list(zip(faces, faces[1:] + faces[:1], strict=True))
    how: dict[str, Any] = {"size": SIZE, "cropped": cropped}
    columns = {
        "face": [next(iter(fc.read(face, cropped=cropped, fine=SIZE))).fine for face in faces],
        "no expression": fc.deexpress(faces, **how).faces,
        "next one's": [fc.translate(a, b, keep_pose=True, **how).faces[0] for a, b in pairs],
        "and pose": [fc.translate(a, b, **how).faces[0] for a, b in pairs],
        "frontal": fc.frontalize(faces, **how).faces,
        "mean face": fc.mean_face(faces, **how).faces,
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    save_picture(sheet({name: np.stack(list(column)) for name, column in columns.items()}), OUT)
    print(OUT)


if __name__ == "__main__":
    main(sys.argv[1:])
