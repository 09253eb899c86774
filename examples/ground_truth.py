"""What no photograph comes with: the same person neutral, frontal, in another's motion, and the exact flow.

python examples/ground_truth.py [PERSON]
"""

import sys
from pathlib import Path

import numpy as np
import torch

from facecycle.draw import flow_to_color, save_picture, sheet
from facecycle.synthetic import truth
from facecycle.synthetic.clip import Clip
from facecycle.synthetic.expression import unit_index
from facecycle.synthetic.person import create_person
from facecycle.synthetic.seeds import PersonKey

OUT = Path("runs/examples/ground_truth.png")
SIZE = 96


def main(index: int = 0) -> None:
    clip, other = (Clip(create_person(PersonKey("held-out", 0, index + i)), (0,)) for i in (0, 1))
    names = list(unit_index())
    columns: dict[str, list[np.ndarray]] = {}
    for time in clip.times(5):
        time = float(time)
        frame = clip.frame(time, SIZE, margin=0.0)
        flow = truth.flow(clip, time, SIZE, margin=0.0)
        row = {
            "frame": frame.picture,
            "neutral": truth.neutral(clip, time, SIZE, margin=0.0),
            "frontal": truth.frontal(clip, time, SIZE, margin=0.0),
            "in the other's motion": truth.transfer(clip, other.state(time), time, SIZE, margin=0.0),
            "flow to neutral": flow_to_color(torch.from_numpy(flow.to_neutral)[None])[0],
        }
        for name, picture in row.items():
            columns.setdefault(name, []).append(picture)
        strongest = frame.state.units.argsort()[:-4:-1]
        units = ", ".join(f"{names[k]} {frame.state.units[k]:.2f}" for k in strongest)
        print(f"{time:.2f} s: yaw, pitch, roll {np.round(frame.state.pose, 1)}; {frame.emotion} {frame.strength:.2f}")
        print(f"        {units}")
        print(f"        {flow.to_face_visible.mean():.0%} of the pixels have a counterpart in the neutral render")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    save_picture(sheet({name: np.stack(pictures) for name, pictures in columns.items()}), OUT)
    print(OUT)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
