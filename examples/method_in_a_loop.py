"""The motion stage in one plain loop, on faces drawn as it goes: what `facecycle train` does, without the comfort.

    python examples/method_in_a_loop.py [STEPS]

Two frames of one clip go in; each is rebuilt from the *other* one's neutral face and its own motion code.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from facecycle.cycles.motion import MotionCycle, motion_cycle
from facecycle.draw import flow_to_color, save_picture, sheet, to_uint8
from facecycle.losses.objective import motion_objective
from facecycle.model.networks import build_networks
from facecycle.presets import preset
from facecycle.synthetic.stream import SyntheticFaces
from facecycle.types import Clip

OUT = Path("runs/examples/method.png")


def batches(faces: SyntheticFaces, size: int):
    """Endless batches: b k 3 h w, range [0, 1]."""
    index = 0
    while True:
        clips = [faces[divmod(index + i, len(faces))] for i in range(size)]
        index += size
        yield torch.from_numpy(np.stack(clips)).float() / 255


def draw(cycle: MotionCycle) -> None:
    """Faces, their flow, their neutral faces, and the faces rebuilt from the other frame's neutral face."""
    columns = {
        "face": to_uint8(cycle.face),
        "flow": flow_to_color(cycle.flow.to_neutral),
        "neutral": to_uint8(cycle.neutral),
        "restored": to_uint8(cycle.restored),
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    save_picture(sheet(columns), OUT)


def main(steps: int = 50) -> None:
    torch.manual_seed(0)
    config = preset("smoke")
    networks = build_networks(config.model)
    optimizer = torch.optim.Adam([p for part in networks.motion_parts() for p in part.parameters()], lr=1e-3)
    faces = SyntheticFaces(people=4, clips_per_person=8, margin=0.0)
    clips: Clip
    losses = []
    for step, clips in zip(range(steps), batches(faces, size=4), strict=False):
        cycle = motion_cycle(networks, clips)
        objective = motion_objective(cycle, config.motion_loss, perceptual=None)
        optimizer.zero_grad()
        objective.total.backward()
        optimizer.step()
        losses.append(objective.total.item())
        if step % 10 == 0:
            parts = "  ".join(f"{name} {value.item():.3f}" for name, value in objective.parts.items())
            print(f"step {step}: loss {losses[-1]:.3f}  {parts}")
    draw(cycle)
    first, last = np.mean(losses[:10]), np.mean(losses[-10:])
    print(f"loss {first:.3f} -> {last:.3f}; see {OUT}")
    if steps >= 50 and last > first:
        raise SystemExit("the loss did not fall")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
