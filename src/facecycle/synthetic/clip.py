"""A clip: a person, what the person does, and the surroundings, drawn at any moment with its ground truth."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, UInt8

from facecycle.data.crop import Crop, fit_crop, landmarks5_from_68
from facecycle.data.faceset import decode, encode
from facecycle.synthetic.background import OUTDOORS, cut_background, sample_background
from facecycle.synthetic.camera import PICTURE, Camera
from facecycle.synthetic.develop import develop
from facecycle.synthetic.light import Clothes, Light, direction, sample_light
from facecycle.synthetic.mesh import Mesh
from facecycle.synthetic.occluders import OCCLUDERS, add_occluder
from facecycle.synthetic.person import Person
from facecycle.synthetic.posing import Posed, State, pose_person
from facecycle.synthetic.render import Drawing, draw
from facecycle.synthetic.seeds import PersonKey, stream
from facecycle.synthetic.tracks import PoseRange, Tracks, wander

SECONDS = 8.0  # length of a clip
OCCLUDED = 0.06  # share of clips in which something comes before the face


@dataclass(frozen=True)
class ClipOptions:
    """What a clip may show.

    Attributes:
        pose: how far the head turns.
        emotion: one emotion throughout instead of changing ones.
        occluder: "none", or one of `facecycle.synthetic.occluders.OCCLUDERS`; None draws one for some clips.
        factor: samples along a pixel's side.
    """

    pose: PoseRange = field(default_factory=PoseRange)
    emotion: str | None = None
    occluder: str | None = None
    factor: int = 3


@dataclass(frozen=True)
class Frame:
    """A picture and everything that is true of it.

    Attributes:
        picture: RGB, ``size`` pixels, the crop grown by the margin.
        time: seconds since the clip began.
        state: face units and pose.
        emotion, strength: the strongest emotion.
        landmarks: 68 iBUG points, pixels of the nominal picture (`facecycle.synthetic.camera.PICTURE`).
        crop: the ``facecycle-v1`` square in that picture, without margin.
        box: x, y, width, height of the landmarks.
        mask: where the person is, 0 .. 255, in the pixels of ``picture``.
    """

    picture: UInt8[np.ndarray, "s s 3"]
    time: float
    state: State
    emotion: str
    strength: float
    landmarks: Float[np.ndarray, "68 2"]
    crop: Crop
    box: Float[np.ndarray, "4"]
    mask: UInt8[np.ndarray, "s s"]


class Clip:
    """One clip of a person; the same person and number are the same clip everywhere.

    Args:
        person: who.
        number: which clip, any integers.
        options: what it may show.

    Attributes:
        seconds: its length.
        light, camera, clothes, background, background_kind: what stays the same throughout.
        occluder: "none" or what comes before the face.
        mesh: the person's, with what the clip adds to it.
    """

    def __init__(self, person: Person, number: tuple[int, ...], options: ClipOptions | None = None) -> None:
        self.person, self.number, self.options = person, number, options or ClipOptions()
        self.seconds = SECONDS
        self.tracks = Tracks(self._stream("tracks"), SECONDS, self.options.pose, self.options.emotion)
        self.background_kind, self.background = sample_background(self._stream("background"))
        self.light = sample_light(self._stream("light"), self.background_kind in OUTDOORS)
        self.clothes = sample_clothes(self._stream("clothes"))
        self.camera = replace(
            sample_camera(self._stream("camera"), person.body.scale),
            gain=exposure(person, self.light, float(self._stream("exposure").normal(0, 0.12))),
        )
        self.occluder, self.mesh = self._occluder()
        self._sway = wander(self._stream("sway"), SECONDS, 1.5, 5.0, 2)

    def _stream(self, part: str) -> np.random.Generator:
        return stream(self.person.key, "clip", *self.number, part)

    def _occluder(self) -> tuple[str, Mesh]:
        rng, kind = self._stream("occluder"), self.options.occluder
        if kind is None:
            kind = str(rng.choice(list(OCCLUDERS))) if rng.random() < OCCLUDED else "none"
            if kind == "hat" and self.person.hair.style in ("afro", "curly"):
                kind = "strand"  # hats do not hold that much hair
        return kind, self.person.mesh if kind == "none" else add_occluder(rng, self.person, kind)

    def times(self, count: int) -> Float[np.ndarray, " count"]:
        """``count`` moments spread over the clip, one at random within each equal part."""
        return (np.arange(count) + self._stream("times").random(count)) * (self.seconds / count)

    def state(self, time: float) -> State:
        """What the person does at a moment."""
        return self.tracks.at(time)

    def view(self, posed: Posed, time: float) -> Camera:
        """The camera at a moment: it follows the head loosely."""
        x, y = self._sway(time)
        cx, cy = self.camera.centre
        return replace(self.camera, centre=(cx + float(x), cy + float(y)), target=tuple(float(v) for v in posed.aim))

    def frame(
        self, time: float, size: int = 80, margin: float = 0.25, clean: bool = False, at_rest: bool = False
    ) -> Frame:
        """The crop of a moment, grown by ``margin``, drawn at ``size`` pixels.

        Args:
            time: seconds since the clip began.
            size, margin: see `facecycle.data.faceset`.
            clean: without camera faults.
            at_rest: the person without expression, looking straight ahead, nothing before the face, instead of what is
                done then.
        """
        state = self.state(time).neutral(frontal=True) if at_rest else self.state(time)
        # A hat is worn; whatever else comes before the face hides what the neutral face is wanted for.
        mesh = self.person.mesh if at_rest and self.occluder != "hat" else self.mesh
        posed = pose_person(self.person, state, mesh)
        camera = self.view(posed, time)
        landmarks = camera.project(posed.landmarks)[:, :2]
        crop = fit_crop(landmarks5_from_68(landmarks))
        picture, drawing = self.shoot(posed, camera, crop.expand(margin), size, time, clean, mesh)
        low, high = landmarks.min(0), landmarks.max(0)
        emotion, strength = ("neutral", 0.0) if at_rest else self.tracks.emotion_at(time)
        return Frame(
            picture=picture,
            time=time,
            state=state,
            emotion=emotion,
            strength=strength,
            landmarks=landmarks,
            crop=crop,
            box=np.array([*low, *(high - low)], np.float32),
            mask=np.rint(drawing.alpha * 255).astype(np.uint8),
        )

    def picture(self, time: float, size: int = PICTURE) -> UInt8[np.ndarray, "s s 3"]:
        """The whole picture of a moment, for a face detector to find the face in."""
        posed = pose_person(self.person, self.state(time), self.mesh)
        window = Crop(PICTURE / 2, PICTURE / 2, float(PICTURE))
        return self.shoot(posed, self.view(posed, time), window, size, time, False)[0]

    def shoot(
        self, posed: Posed, camera: Camera, window: Crop, size: int, time: float, clean: bool, mesh: Mesh | None = None
    ) -> tuple[UInt8[np.ndarray, "s s 3"], Drawing]:
        """Draw a posed person in this clip's surroundings; ``mesh`` is what was posed, the clip's unless given."""
        drawing = draw(
            self.person,
            posed,
            self.light,
            camera,
            window,
            size,
            mesh=mesh or self.mesh,
            clothes=self.clothes,
            factor=self.options.factor,
        )
        background = cut_background(self.background, window, size)
        if clean:
            return develop(drawing.rgb, drawing.alpha, background, gain=camera.gain), drawing
        rng = stream(self.person.key, "clip", *self.number, "noise", round(time * 1e6))
        picture = develop(
            drawing.rgb,
            drawing.alpha,
            background,
            gain=camera.gain,
            defocus=camera.blur * size / 64,
            noise=camera.noise,
            rng=rng,
        )
        return (decode(encode(picture, camera.jpeg)) if camera.jpeg else picture), drawing


def sample_camera(rng: np.random.Generator, scale: float) -> Camera:
    """A camera 5 to 16 decimetres away whose picture shows head and shoulders, more or less closely."""
    distance = float(rng.uniform(5.5, 16))
    height = float(rng.uniform(3.6, 5.2)) * scale  # decimetres that the picture shows at the head
    return Camera(
        distance=distance,
        focal=PICTURE * distance / height,
        centre=(float(PICTURE / 2 + rng.normal(0, 12)), float(PICTURE / 2 + rng.normal(0, 10))),
        target=(0.0, 0.0, 0.0),
        blur=float(rng.uniform(0.2, 0.5)) if rng.random() < 0.35 else 0.0,
        noise=float(rng.uniform(0.002, 0.018)),
        jpeg=int(rng.integers(50, 92)) if rng.random() < 0.35 else 0,
    )


def sample_clothes(rng: np.random.Generator) -> Clothes:
    """A shirt: dark, light or coloured; plain mostly."""
    base = rng.choice([0.02, 0.08, 0.3, 0.6]) * np.exp(rng.normal(0, 0.3))
    colour = base * np.exp(rng.normal(0, 0.45, 3))
    second = np.clip(colour * rng.uniform(0.3, 2.5), 0, 0.8)
    along = rng.choice([0.0, 0.0, 1.0]) * rng.uniform(60, 160)
    pattern = np.array([0.0, along, 0.8 if along else 0.0], np.float32)
    return Clothes(np.clip(np.stack([colour, second]), 0.004, 0.75).astype(np.float32), pattern)


def exposure(person: Person, light: Light, deviation: float) -> float:
    """What an automatic exposure would choose for this face in this light, within what cameras do."""
    normals = np.array([(0, 0, 1), (0.6, 0.2, 0.75), (-0.6, 0.2, 0.75), (0.3, -0.3, 0.9), (-0.3, -0.3, 0.9)])
    key = np.maximum(normals @ direction(*light.key), 0).mean() * light.key_colour
    fill = np.maximum(normals @ direction(*light.fill), 0).mean() * light.fill_colour
    around = 0.5 * (light.sky + light.ground) * 0.85
    brightness = float((person.skin.tone * (key + fill + around)) @ np.array([0.2126, 0.7152, 0.0722]))
    return float(np.clip((0.22 / brightness) ** 0.7, 0.45, 2.5) * np.exp(deviation))


def clip_name(person: PersonKey, number: tuple[int, ...]) -> str:
    """The clip's name in a face set."""
    return f"{person}/{'-'.join(str(n) for n in number)}"
