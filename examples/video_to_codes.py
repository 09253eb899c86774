"""From a video to codes: prepare, train a little, embed, and look for the most alike frames.

    python examples/video_to_codes.py [VIDEO...]

Without a video it films two synthetic people. A real run trains longer: `facecycle train --preset compact`.
"""

import shutil
import sys
from pathlib import Path

import av
import numpy as np

from facecycle.apply.embed import embed
from facecycle.data.faceset import FaceSet
from facecycle.data.prepare import prepare
from facecycle.synthetic.clip import Clip
from facecycle.synthetic.person import create_person
from facecycle.synthetic.seeds import PersonKey
from facecycle.train import start

OUT = Path("runs/examples/video")


def film(index: int, path: Path, seconds: float = 3, fps: int = 8) -> Path:
    """Write a synthetic person's clip as mp4."""
    clip = Clip(create_person(PersonKey("train", 0, index)), (0,))
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=fps)
        stream.width = stream.height = 320
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 2_000_000
        for k in range(round(seconds * fps)):
            frame = av.VideoFrame.from_ndarray(clip.picture(k / fps, size=320), format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def main(videos: list[Path]) -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    videos = videos or [film(index, OUT / f"person{index}.mp4") for index in (3, 4)]

    report = prepare(videos, OUT / "faces", workers=1)
    faces = FaceSet.open(OUT / "faces")
    print(f"{report.count('frames')} frames read, {len(faces)} faces of {len(faces.clips())} clips")

    quick = ["motion.steps=20", "identity.steps=10", "motion.batch_size=4", "identity.batch_size=4"]
    start(run=OUT / "run", data=str(OUT / "faces"), preset="smoke", assignments=quick)

    codes = embed([OUT / "faces"], weights=OUT / "run")
    motion = codes.motion / np.linalg.norm(codes.motion, axis=1, keepdims=True)
    alike = motion @ motion.T - 2 * np.eye(len(motion))
    a, b = np.unravel_index(alike.argmax(), alike.shape)
    print(f"codes {codes.motion.shape} and {codes.identity.shape}")
    print(f"most alike in motion: {codes.names[a]} and {codes.names[b]}")


if __name__ == "__main__":
    main([Path(word) for word in sys.argv[1:]])
