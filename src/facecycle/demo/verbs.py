"""What the page does with a picture: each verb, from a file to pictures for people."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from facecycle.api import FaceCycle
from facecycle.apply.faces import SIZE, resized
from facecycle.data.pictures import UploadLimits, picture_size
from facecycle.errors import FaceCycleError

LIMITS = UploadLimits()
Titled = tuple[Image.Image, str]


def check_picture(path: str | None, name: str = "picture") -> Path:
    """A picture that the page may open, its size known before any pixel is decoded.

    Raises:
        FaceCycleError: none given, no picture, or too large.
    """
    if path is None:
        raise FaceCycleError(f"{name}: drop one first")
    picture_size(path, name, LIMITS.pixels)
    return Path(path)


def undo(fc: FaceCycle, path: str | None) -> list[Titled]:
    """The face, and what is left of it step by step."""
    import torch

    from facecycle.apply import transform
    from facecycle.apply.remake import one_crop
    from facecycle.draw import flow_to_color, to_uint8

    row = one_crop(fc.read(check_picture(path), fine=SIZE))
    networks = fc.networks("undo")
    assert row.crop is not None
    assert row.fine is not None
    with torch.inference_mode():
        face, fine = (networks.tensor(crop[None]) for crop in (row.crop, row.fine))
        parts = networks.networks
        made = {
            "face": fine,
            "no expression": transform.deexpress(parts, face, fine),
            "neutral, frontal": transform.frontalize(parts, face, fine),
            "mean face": transform.mean_face(parts, face, fine),
        }
        flow = transform.flows(parts, face).to_neutral
    pictures = {name: to_uint8(picture)[0] for name, picture in made.items()}
    pictures["flow"] = resized(flow_to_color(flow)[0], SIZE)
    return [(Image.fromarray(picture), name) for name, picture in pictures.items()]


def express(fc: FaceCycle, path: str | None, keep: float) -> Image.Image:
    """The face with so much of its expression, in its own pose."""
    return Image.fromarray(fc.deexpress(check_picture(path), keep=keep).faces[0])


def transfer(
    fc: FaceCycle, source: str | None, driver: str | None, identity: float, motion: float, keep_pose: bool
) -> Image.Image:
    """The source's face with the driver's expression and, unless its own is kept, pose."""
    one, other = check_picture(source, "source"), check_picture(driver, "driver")
    made = fc.translate(one, other, identity=identity, motion=motion, keep_pose=keep_pose)
    return Image.fromarray(made.faces[0])


def compare(fc: FaceCycle, a: str | None, b: str | None) -> str:
    """How alike two faces are, in words."""
    found = fc.compare(check_picture(a, "first"), check_picture(b, "second"))
    verdict = "the same person" if found.same_person else "different people"
    return (
        f"**Identity {found.identity:.3f}**, motion {found.motion:.3f}. "
        f"At or above {found.threshold:.3f} counts as one person: {verdict}{found.reservation}."
    )


def draw_examples(folder: Path, people: int = 4, size: int = 448) -> list[str]:
    """Pictures of synthetic held-out people, one each, turned and with an expression."""
    from facecycle.synthetic.clip import Clip
    from facecycle.synthetic.person import create_person
    from facecycle.synthetic.seeds import PersonKey

    files = []
    for index in range(people):
        clip = Clip(create_person(PersonKey("held-out", 5, index)), (0,))
        moment = float(clip.times(4)[index % 4])
        file = folder / f"synthetic-{index}.png"
        Image.fromarray(clip.frame(moment, size, margin=1.0).picture).save(file)
        files.append(str(file))
    return files
