"""One person's face in another's motion, and what lies between two faces."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Real

import numpy as np
import torch
from jaxtyping import UInt8

from facecycle.apply import transform
from facecycle.apply.faces import OK, FaceReader, PictureFace
from facecycle.apply.paste import paste
from facecycle.apply.remake import Faces, fitting, remake_rows
from facecycle.apply.torch_networks import TorchNetworks
from facecycle.draw import to_uint8
from facecycle.errors import FaceCycleError
from facecycle.types import Face, Fine


class Puppet:
    """A source face that takes on the motion of drivers; its neutral face is made once.

    Args:
        networks: all five.
        source: its crop; a finer one too, if the result shall be as large as that; its whole picture, if the result
            shall be pasted into it.
        identity: strength, in [0, 1]; see `facecycle.apply.transform.translate`.
        motion: likewise.
        keep_pose: take the drivers' expression alone; see `facecycle.apply.transform.express`.
    """

    @torch.inference_mode()
    def __init__(
        self,
        networks: TorchNetworks,
        source: PictureFace,
        identity: float = 1.0,
        motion: float = 1.0,
        keep_pose: bool = False,
    ) -> None:
        assert source.crop is not None
        self.networks, self.source, self.motion = networks, source, motion
        self._face = networks.tensor(source.crop[None])
        self._fine = None if source.fine is None else networks.tensor(source.fine[None])
        self._still = None if keep_pose else transform.person(networks.networks, self._face, identity, self._fine)
        self.size = len(source.crop if source.fine is None else source.fine)

    def move(self, driver: Face) -> Fine:
        """The source in the motion of each driver."""
        parts = self.networks.networks
        if self._still is None:
            return transform.express(parts, self._face, driver, self.motion, self._fine)
        flow = self.motion * transform.flows(parts, driver).to_face
        return transform.move(parts, self._still.repeated(len(driver)), flow)

    @torch.inference_mode()
    def picture(self, driver: PictureFace) -> UInt8[np.ndarray, "h w 3"]:
        """The source in the motion of one driver: a crop, or the source's whole picture where that was kept."""
        assert driver.crop is not None
        face = to_uint8(self.move(self.networks.tensor(driver.crop[None])))[0]
        whole, square = self.source.picture, self.source.square
        return face if whole is None or square is None else paste(whole, face, square)

    def follow(self, drivers: FaceReader, batch_size: int) -> Iterator[Faces]:
        """A row for each of the drivers' faces."""
        batches = drivers.batches(fitting(batch_size, self.size))
        whole, square = self.source.picture, self.source.square
        for batch in (remake_rows(self.networks, rows, self.move, self.size) for rows in batches):
            if whole is None or square is None:
                yield batch
                continue
            pictures: list[np.ndarray | None] = [
                paste(whole, face, square) if status == OK else whole
                for face, status in zip(batch.faces, batch.status, strict=True)
            ]
            yield Faces(
                batch.names, batch.status, batch.faces, batch.boxes, batch.times, [square] * len(batch), pictures
            )


def check_strengths(identity: float, motion: float, keep_pose: bool) -> None:
    """Can a face be moved like that?

    Raises:
        FaceCycleError: a strength that is no number in [0, 1], or less than the whole identity where the pose is kept.
    """
    for name, value in (("identity", identity), ("motion", motion)):
        if not (isinstance(value, Real) and 0 <= value <= 1):
            raise FaceCycleError(f"{name} {value!r}: give a strength between 0 and 1")
    if keep_pose and identity != 1:
        raise FaceCycleError(
            f"identity {identity:g}: only a frontal face can lose a part of it; give 1, or do not keep the pose"
        )


@torch.inference_mode()
def interpolate_pair(networks: TorchNetworks, a: PictureFace, b: PictureFace, steps: int) -> Faces:
    """From one face to another, as large as their finer crops; ``times`` holds the share of the way."""
    crops, fine = ([x for x in both if x is not None] for both in ((a.crop, b.crop), (a.fine, b.fine)))
    ends, large = (networks.tensor(np.stack(both)) for both in (crops, fine))
    parts = transform.interpolate(networks.networks, ends, steps, large, fitting(steps, large.shape[-1]))
    faces = np.concatenate([to_uint8(part) for part in parts])
    share = np.linspace(0, 1, steps)
    return Faces(
        [f"{a.name} -> {b.name} {part:.2f}" for part in share],
        [OK] * steps,
        faces,
        np.full((steps, 4), np.nan),
        share,
        [None] * steps,
        [None] * steps,
    )
