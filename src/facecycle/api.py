"""`FaceCycle`: everything that trained weights can do, for photos, folders and videos, behind one object.

>>> fc = FaceCycle.from_pretrained("runs/first")
>>> codes = fc.embed("photos/")
>>> fc.frontalize("portrait.jpg").images()[0].save("frontal.png")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facecycle.apply.compare import BY, THRESHOLD, Comparison, Hits, cosine, nearest
from facecycle.apply.embed import Codes, embed_all, embed_batches, encode_rows
from facecycle.apply.encoders import About, Encoders, load_encoders
from facecycle.apply.faces import OK, PASTED, SIZE, FaceReader, one_crop
from facecycle.errors import FaceCycleError
from facecycle.hub import DEFAULT, find_weights

if TYPE_CHECKING:  # these load torch
    from facecycle.apply.remake import Faces
    from facecycle.apply.torch_networks import TorchNetworks
    from facecycle.apply.transfer import Puppet

BATCH = 64
NUMBER = int | float | np.integer | np.floating
MOST_STEPS = 1000  # of an interpolation, which is held in memory


class FaceCycle:
    """Trained weights, ready for use. Inputs may be anything that `facecycle.apply.inputs` knows.

    What reads pictures takes ``cropped``: they are face crops already. What reads many takes ``face``
    (``largest``, ``all``, or a number counted from the left, from 0) and ``batch_size``; a bad input among several
    becomes a row whose ``status`` says what is wrong, a single bad one raises `FaceCycleError`. Where one face is
    wanted (the ``query`` of a search, the ``source`` of a translation, ``a`` and ``b``) it is the largest of a single
    picture, and an input of several pictures raises `FaceCycleError`.

    Those that make faces take ``size``, the pixels of a face: what the networks do not show at their own resolution is
    fetched from the picture, as far as it is there (`facecycle.model.detail`). With ``paste`` all but `interpolate`
    give whole pictures too.

    Args:
        encoders: the networks; see `from_pretrained`.
        detector_weights: file of the face detector, where the installed one is not wanted.
    """

    def __init__(self, encoders: Encoders, detector_weights: str | None = None) -> None:
        self.encoders, self.detector_weights = encoders, detector_weights

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = DEFAULT,
        device: str = "auto",
        download: bool = False,
        detector_weights: str | None = None,
    ) -> FaceCycle:
        """Load weights.

        Args:
            name_or_path: a run folder, a ``.safetensors`` file, an exported ``encoders.onnx`` (embed, compare and
                search only, without torch), a name of `facecycle.list_weights`, or a Hub repository ``owner/name``.
            device: ``cpu``, ``cuda``, ``mps``, or ``auto``.
            download: fetch a Hub repository that is not on this machine yet.
            detector_weights: file of the face detector, where the installed one is not wanted.

        Raises:
            FaceCycleError: found nowhere (says where it looked), damaged, or of another version.
        """
        return cls(load_encoders(find_weights(name_or_path, download), device), detector_weights)

    @property
    def about(self) -> About:
        """What the weights say of themselves: picture size, crop, licence, training."""
        return self.encoders.about

    def read(
        self,
        inputs: Any,
        *,
        cropped: bool = False,
        face: str | int = "largest",
        whole: bool = False,
        fine: int | None = None,
    ) -> FaceReader:
        """The faces of ``inputs`` as the networks see them, and at ``fine`` pixels too if asked, one at a time."""
        return FaceReader(inputs, self.about.image_size, cropped, self.detector_weights, face, whole, fine)

    def read_fine(self, inputs: Any, size: int, paste: bool, **reading: Any) -> FaceReader:
        """`read` for faces that are made anew, ``size`` pixels large.

        Raises:
            FaceCycleError: a size out of bounds, or a face set that shall be pasted into its pictures.
        """
        if not isinstance(size, int | np.integer) or not 16 <= size <= 2048:
            raise FaceCycleError(f"size {size!r}: give between 16 and 2048 whole pixels")
        return self.read(inputs, whole=paste, fine=PASTED if paste else size, **reading)

    def embed_batches(self, inputs: Any, *, batch_size: int = BATCH, **reading: Any) -> Iterator[Codes]:
        """`embed` batch by batch, for more faces than memory holds."""
        return embed_batches(self.encoders, self.read(inputs, **reading), batch_size)

    def embed(
        self,
        inputs: Any,
        *,
        out: str | Path | None = None,
        batch_size: int = BATCH,
        cropped: bool = False,
        face: str | int = "largest",
    ) -> Codes:
        """Motion, identity and expression codes; with ``out`` they are written to .npz, .csv or .parquet besides."""
        return embed_all(self.encoders, self.read(inputs, cropped=cropped, face=face), batch_size, out)

    def compare(self, a: Any, b: Any, *, threshold: float | None = None, cropped: bool = False) -> Comparison:
        """How alike two faces are, and whether they are one person's.

        ``threshold``: similarity of identity from which they are; by default the one measured for these weights
        (`Comparison.of_drawn_people` says on whom), or 0.5 where none was.

        Raises:
            FaceCycleError: a threshold out of [-1, 1], or an input that is not one picture with a face.
        """
        if threshold is not None and not (isinstance(threshold, NUMBER) and -1 <= threshold <= 1):
            raise FaceCycleError(f"threshold {threshold!r}: similarities lie between -1 and 1")
        return self.compare_codes(self._embed_one(a, cropped), self._embed_one(b, cropped), threshold)

    def compare_codes(self, one: Codes, other: Codes, threshold: float | None = None) -> Comparison:
        """`compare` for codes that are there already, a row each.

        Raises:
            FaceCycleError: codes of several faces or none, or of a picture that shows no face.
        """
        for codes in (one, other):
            if len(codes) != 1:
                raise FaceCycleError(
                    f"codes of {len(codes)} faces: exactly one face is needed here; give a row of them"
                )
            if codes.status[0] != OK:
                raise FaceCycleError(f"{codes.names[0]}: {codes.status[0]}")
        measured = self.about.trained.get("identity_threshold")
        limit = threshold if threshold is not None else measured if measured is not None else THRESHOLD
        identity = float(cosine(one.identity, other.identity)[0, 0])
        motion = float(cosine(one.motion, other.motion)[0, 0])
        drawn = threshold is None and measured is not None and self.about.trained.get("data") == "synthetic"
        return Comparison(identity, motion, float(limit), threshold is not None or measured is not None, drawn)

    def search(
        self,
        query: Any,
        inputs: Any,
        *,
        by: str = "identity",
        top: int = 10,
        batch_size: int = BATCH,
        on_bad: Callable[[str, str], Any] = lambda name, status: None,
        **reading: Any,
    ) -> list[tuple[str, float]]:
        """The names of ``inputs`` most similar to ``query``, best first, with their cosine similarity.

        ``by``: ``identity`` (the same person) or ``motion`` (the same expression and pose). ``on_bad`` is told the name
        and the status of what holds no face.

        Raises:
            FaceCycleError: another ``by``, a ``top`` below 1, a query that is not one picture with a face, or no face
                in ``inputs``.
        """
        if by not in BY:
            raise FaceCycleError(f"by {by!r}: give identity or motion")
        if not isinstance(top, int | np.integer) or top < 1:
            raise FaceCycleError(f"top {top!r}: at least 1")
        code = getattr(self._embed_one(query, reading.get("cropped", False)), by)[0]
        names: list[str] = []
        codes: list[np.ndarray] = []
        for batch in self.embed_batches(inputs, batch_size=batch_size, **reading):
            names += batch.names
            for name, status in zip(batch.names, batch.status, strict=True):
                if status != OK:
                    on_bad(name, status)
            codes.append(getattr(batch, by))
        hits: Hits = nearest(code, np.concatenate(codes), top)
        return [(names[i], float(s)) for i, s in zip(hits.indices, hits.similarity, strict=True)]

    def frontalize(self, inputs: Any, *, size: int = SIZE, paste: bool = False, **options: Any) -> Faces:
        """Without expression and pose: the person's neutral frontal face."""
        return self._collect(self.remake_batches("frontalize", inputs, size=size, paste=paste, **options))

    def deexpress(
        self, inputs: Any, *, keep: float = 0.0, size: int = SIZE, paste: bool = False, **options: Any
    ) -> Faces:
        """Without expression, in the pose it has.

        ``keep``: how much of the expression stays, in [-1, 2]: at 0.5 half of it, at 2 it is twice as strong.
        """
        return self._collect(self.remake_batches("deexpress", inputs, keep=keep, size=size, paste=paste, **options))

    def mean_face(self, inputs: Any, *, size: int = SIZE, paste: bool = False, **options: Any) -> Faces:
        """Without motion and identity: nobody in particular, and soft at any size."""
        return self._collect(self.remake_batches("mean_face", inputs, size=size, paste=paste, **options))

    def translate(
        self,
        source: Any,
        driver: Any,
        *,
        identity: float = 1.0,
        motion: float = 1.0,
        keep_pose: bool = False,
        size: int = SIZE,
        paste: bool = False,
        **options: Any,
    ) -> Faces:
        """The face of ``source`` with the expression and pose of each of ``driver``'s faces.

        Args:
            source: one picture.
            driver: pictures or a video; a row for each.
            identity: how much of the source's identity, in [0, 1]; at 0 the mean face moves.
            motion: how much of the driver's motion, in [0, 1]; at 0 the face stays neutral and frontal.
            keep_pose: take the driver's expression alone; at ``motion=0`` the face has none. Needs the whole identity.
            size: pixels of a face.
            paste: also give the source's picture with the new face in it; faces then have 512 pixels.
            options: ``cropped`` for all pictures; ``face`` and ``batch_size`` for the driver's.

        Raises:
            FaceCycleError: a source that is not one picture with a face, or a strength out of bounds.
        """
        strength: dict[str, Any] = {"identity": identity, "motion": motion, "keep_pose": keep_pose}
        return self._collect(self.translate_batches(source, driver, **strength, size=size, paste=paste, **options))

    def interpolate(self, a: Any, b: Any, *, steps: int = 9, size: int = SIZE, cropped: bool = False) -> Faces:
        """``steps`` faces from ``a`` to ``b``, both codes changing evenly.

        Raises:
            FaceCycleError: too few steps or too many, or an input that is not one picture with a face.
        """
        from facecycle.apply.transfer import interpolate_pair

        if not isinstance(steps, int | np.integer) or not 2 <= steps <= MOST_STEPS:
            raise FaceCycleError(f"steps {steps!r}: at least 2, the two ends, and at most {MOST_STEPS:,}")
        rows = [one_crop(self.read_fine(x, size, False, cropped=cropped)) for x in (a, b)]
        return interpolate_pair(self.networks("interpolate"), rows[0], rows[1], steps)

    def remake_batches(
        self,
        verb: str,
        inputs: Any,
        *,
        keep: float = 0.0,
        size: int = SIZE,
        paste: bool = False,
        batch_size: int = BATCH,
        **reading: Any,
    ) -> Iterator[Faces]:
        """``frontalize``, ``deexpress`` or ``mean_face`` batch by batch; ``keep`` is `deexpress`'s."""
        from facecycle.apply.remake import remake_batches, verb_of

        if not isinstance(keep, NUMBER):
            raise FaceCycleError(f"keep {keep!r}: give a share of the expression between -1 and 2")
        networks = self.networks(verb)
        change = verb_of(networks, verb, keep)
        return remake_batches(networks, self.read_fine(inputs, size, paste, **reading), change, batch_size)

    def translate_batches(
        self,
        source: Any,
        driver: Any,
        *,
        identity: float = 1.0,
        motion: float = 1.0,
        keep_pose: bool = False,
        size: int = SIZE,
        paste: bool = False,
        batch_size: int = BATCH,
        **reading: Any,
    ) -> Iterator[Faces]:
        """`translate` batch by batch: a video drives a picture in memory that does not grow."""
        puppet = self.puppet(
            source,
            identity=identity,
            motion=motion,
            keep_pose=keep_pose,
            size=size,
            paste=paste,
            cropped=reading.get("cropped", False),
        )
        return puppet.follow(self.read(driver, **reading), batch_size)

    def puppet(
        self,
        source: Any,
        *,
        identity: float = 1.0,
        motion: float = 1.0,
        keep_pose: bool = False,
        size: int = SIZE,
        paste: bool = False,
        cropped: bool = False,
    ) -> Puppet:
        """The source of `translate`, with its arguments and errors, read once for any number of drivers."""
        from facecycle.apply.transfer import Puppet, check_strengths

        check_strengths(identity, motion, keep_pose)
        networks = self.networks("translate")
        row = one_crop(self.read_fine(source, size, paste, cropped=cropped))
        return Puppet(networks, row, identity, motion, keep_pose)

    def networks(self, verb: str) -> TorchNetworks:
        """All five networks.

        Raises:
            FaceCycleError: the weights hold the encoders only, or a rival method trained them.
        """
        from facecycle.apply.torch_networks import TorchNetworks

        if not isinstance(self.encoders, TorchNetworks):
            raise FaceCycleError(
                f"{self.about.source}: holds the encoders only, which {verb} is not made with; give the run folder or "
                ".safetensors file that it was exported from"
            )
        self.encoders.check_pictures(verb)
        return self.encoders

    def _embed_one(self, picture: Any, cropped: bool) -> Codes:
        """`embed` for what shows exactly one face; anything else raises `FaceCycleError`."""
        return encode_rows(self.encoders, [one_crop(self.read(picture, cropped=cropped))])

    def _collect(self, batches: Iterator[Faces]) -> Faces:
        from facecycle.apply.remake import concatenate_faces

        faces = concatenate_faces(list(batches))
        if len(faces) == 1 and faces.status[0] != OK:
            raise FaceCycleError(f"{faces.names[0]}: {faces.status[0]}")
        return faces
