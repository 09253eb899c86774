"""Every number of a run: frozen dataclasses, read from and written to TOML, changed by ``--set section.key=value``.

Each section checks its own ranges, so that a wrong value is refused before anything is built.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from facecycle.errors import FaceCycleError
from facecycle.section import Section, check_range, choice, convert, number

HIGHEST_RATE = 1e30  # far beyond use, and within single precision
MOST_BLOCKS = 8


@dataclass(frozen=True)
class ModelConfig(Section):
    """The networks' sizes; `facecycle.model.networks.build_networks` is the only reader."""

    image_size: int = number(64, 32, 256)
    code_dim: int = number(256, 8, 4096)
    code_norm: bool = False  # hold the code's strength before its tanh; not in the paper, see docs/method.md
    encoder_width: float = number(1.0, 0.0625, 4)  # of 64, 128, 256 channels
    flow_width: float = number(1.0, 0.0625, 4)  # of 256, 128, 64 channels
    flow_inverse: str = choice("velocity", "velocity", "fixed-point", "published")
    generator_width: float = number(1.0, 0.0625, 4)  # of 64, 128, 256 channels
    generator_blocks: int = number(8, 1, 32)
    generator_paint: int = number(128, 8, 512)  # channels at full resolution, where a channel costs most
    generator_noise: bool = True
    transfer_blocks: int = number(7, 1, 32)
    encoder: str = choice("published", "published", "gabor")  # gabor: see facecycle.model.gabor_encoder
    generator_skip: bool = False  # keep or mirror pixels that the flow brings; not in the paper
    generator_adjust: bool = False  # correct the flow of those pixels by what the moved face shows; likewise
    mirrored: bool = False  # identity, flow and neutral face are made of a face and its mirror image; likewise
    equivariant: bool = False  # the motion code is made of a face and its mirror image too; likewise
    expression_code: bool = False  # after the motion stage, find a code that says more of expressions; likewise
    expression: bool = False  # after the motion stage, find out which part of the flow is expression; likewise
    identity_blocks: int = number(1, 1, MOST_BLOCKS)  # of each level of the identity encoder, gabor only; likewise
    discriminants: int = number(0, 0, 256)  # directions that the identity code keeps, 0: all; likewise
    erase: int = number(0, 0, 256)  # directions in which the identity code is kept from telling of motion; likewise

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size % 16:
            raise FaceCycleError(f"model.image_size = {self.image_size}: must be a multiple of 16, such as 64 or 128")
        if self.identity_blocks > 1 and self.encoder != "gabor":
            raise FaceCycleError(
                f"model.identity_blocks = {self.identity_blocks}: only model.encoder = gabor has levels of several "
                "blocks; set it, or model.identity_blocks=1"
            )
        if self.discriminants > self.code_dim:
            raise FaceCycleError(
                f"model.discriminants = {self.discriminants}: a code of model.code_dim = {self.code_dim} has no more "
                "directions to keep; give fewer, or 0 for all"
            )
        if self.erase >= (kept := self.discriminants or self.code_dim):
            raise FaceCycleError(
                f"model.erase = {self.erase}: the identity code varies in {kept} directions (model.discriminants, or "
                "model.code_dim), and nothing would be left of it; erase fewer"
            )


@dataclass(frozen=True)
class DataConfig(Section):
    """What is drawn from a face set."""

    source: str = ""  # a face set (a folder or a URL), several with commas between them, or "synthetic"
    cache: str = ""  # folder to keep the shards of URLs in; empty: each picture is read from there when it is wanted
    frames_per_clip: int = number(2, 2, 16)
    cycle_frames: int = number(16, 2, 16)  # of these, how many go round the cycle; all are compared by their codes
    cycle_stride: int = number(1, 1, 64)  # one clip in so many goes round the cycle
    across_clips: bool = False  # the identity stage takes frames of one person from any clip
    min_gap: float = number(0.4, 0, 3600)  # seconds between two frames of a pair
    held_out: float = number(0.1, 0, 0.5)  # share of people kept for validation
    workers: int = number(1, 0, 64)


@dataclass(frozen=True)
class AugmentConfig(Section):
    """Changes made to the batch; every frame of a clip gets the same mirroring, but its own jitter."""

    mirror: float = number(0.5, 0, 1)  # probability
    shift: float = number(0.03, 0, 0.25)  # of the crop's side, each way
    scale: float = number(0.05, 0, 0.25)  # of the crop's side, each way
    brightness: float = number(0.0, 0, 1)
    contrast: float = number(0.0, 0, 1)
    grey: float = number(0.0, 0, 1)  # probability


@dataclass(frozen=True)
class ViewsConfig(Section):
    """How a second view of each frame is disturbed for the contrast terms: what neither code should tell."""

    shift: float = number(0.06, 0, 0.25)  # of the crop's side, each way
    scale: float = number(0.1, 0, 0.5)  # of the crop's side, each way
    colour: float = number(0.4, 0, 1)  # brightness, contrast and each channel's gain, each way
    grey: float = number(0.4, 0, 1)  # probability
    blur: float = number(0.5, 0, 1)  # seven tenths of it: probability of half (five) or a third (two) of the resolution
    erase: float = number(0.3, 0, 1)  # probability of a covered rectangle
    noise: float = number(0.03, 0, 1)  # greatest standard deviation
    temperature: float = number(0.1, 0.005, 10)  # of the contrast terms


@dataclass(frozen=True)
class PerceptualConfig(Section):
    """The fixed network whose features the style term compares."""

    name: str = choice("mobilenetv2", "none", "mobilenetv2", "vgg19", "vgg16")
    weights: str = ""  # a file; empty: where the back-end looks by itself
    shrink: int = number(1, 1, 4)  # look at pictures this many times smaller


@dataclass(frozen=True)
class MotionLossConfig(Section):
    """Weights of the motion stage, as published (Chang et al. 2021, section 3.1 and its released settings)."""

    restored: float = number(1.0, 0)
    redrawn: float = number(1.0, 0)
    neutral_to_face: float = number(1.0, 0)
    round_trip: float = number(1.5, 0)
    ssim: float = number(5.0, 0)
    symmetry: float = number(1.5, 0)
    warped_symmetry: float = number(0.5, 0)  # within symmetry: of W(I, F) beside the neutral face
    drift: float = number(10.0, 0)  # of the average flow from none; not in the paper, see docs/method.md
    perceptual: float = number(0.01, 0)
    contrast: float = number(0.0, 0)  # a frame among the frames of its clip; not in the paper, see docs/method.md
    truth: float = number(0.0, 0)  # of synthetic frames: their units and pose, read from the code; docs/method.md
    true_neutral: float = number(0.0, 0)  # of the neutral face from the one that the generator drew; likewise
    likeness: float = number(0.0, 0)  # of the neutral face's identity code to that of the true one; likewise
    features: float = number(0.0, 0)  # of the neutral and the restored face from the true ones, by an encoder's layers
    agreement: float = number(0.0, 0)  # of the neutral faces of a clip with each other, likewise
    landmarks: float = number(0.0, 0)  # of the flow at the landmarks from where the generator moved them; likewise

    @property
    def compares_codes(self) -> bool:
        """Does any term want the codes of disturbed views?"""
        return self.contrast > 0

    @property
    def by_identity(self) -> dict[str, float]:
        """The terms that are asked for and compare faces by an identity encoder, which must have learnt: weights."""
        return {name: weight for name in ("likeness", "features", "agreement") if (weight := getattr(self, name))}


@dataclass(frozen=True)
class IdentityLossConfig(Section):
    """Weights of the identity stage, as published (section 3.2)."""

    restored: float = number(1.0, 0)
    warped: float = number(0.8, 0)
    neutral: float = number(1.0, 0)
    ssim: float = number(5.0, 0)
    symmetry: float = number(1.5, 0)
    perceptual: float = number(0.01, 0)
    mean_face: float = number(1.0, 0)  # the hinge
    anchor: float = number(5.0, 0)  # of the mean face to the average neutral face; not in the paper, see docs/method.md
    mean_face_slack: float = number(0.1, 0, 1)
    contrast: float = number(0.0, 0)  # a clip among other clips; not in the paper, see docs/method.md
    independence: float = number(0.0, 0)  # of the identity code from the motion code within a person; likewise
    swap: bool = False  # restore each frame by the identity code of the clip's other frame

    @property
    def compares_codes(self) -> bool:
        """Does any term want the codes of disturbed views?"""
        return max(self.contrast, self.independence) > 0


@dataclass(frozen=True)
class StageConfig(Section):
    """How one stage is optimised; for the schedule ``steps`` the rates ``lr`` begin at the shares ``lr_at``."""

    steps: int = number(20_000, 0)  # 0: nothing learns; what is solved for at the end of a stage is found anew
    batch_size: int = number(16, 1, 65536)  # clips in the whole batch, over all processes
    schedule: str = choice("steps", "steps", "cosine")
    lr: tuple[float, ...] = (1e-5, 5e-5, 1e-5)  # cosine falls from the first of them
    lr_at: tuple[float, ...] = (0.0, 0.025, 0.5)  # shares of `steps` at which each rate begins
    code_lr: float = number(0.05, 0, 1)  # share of the rate for the linear layers that make the code
    warmup: int = number(0, 0)  # steps of linear warm-up (cosine only); of a short stage, its first half at most
    beta1: float = number(0.5, 0, 0.9999)
    beta2: float = number(0.999, 0, 0.99999)
    rest: tuple[str, ...] = ()  # networks of the stage that stay as they are, such as ["motion_encoder"]

    def check_rates(self, stage: str) -> None:
        """Do the rates make a schedule?

        Raises:
            FaceCycleError: they do not; it names the ``stage``.
        """
        if not self.lr or not all(0 < rate <= HIGHEST_RATE for rate in self.lr):
            raise FaceCycleError(
                f"{stage}.lr = {list(self.lr)}: give at least one rate, all above 0 and at most {HIGHEST_RATE:g}"
            )
        if self.schedule != "steps":
            return
        if len(self.lr) != len(self.lr_at):
            raise FaceCycleError(
                f"{stage}.lr has {len(self.lr)} values, {stage}.lr_at {len(self.lr_at)}: give as many shares"
            )
        rising = list(self.lr_at) == sorted(self.lr_at)
        if self.lr_at[0] != 0 or not rising or not all(0 <= share < 1 for share in self.lr_at):
            raise FaceCycleError(
                f"{stage}.lr_at = {list(self.lr_at)}: give rising shares of the steps, the first 0, all below 1"
            )


@dataclass(frozen=True)
class TrainConfig(Section):
    """What both stages share."""

    seed: int = number(0, 0, 2**63 - 1)
    precision: str = choice("auto", "auto", "32-true", "bf16-mixed", "16-mixed")
    compile: bool = False
    capture: bool = True  # on a GPU, in one process: record a step once and replay it; not with 16-mixed
    channels_last: bool = False
    mirror: bool = False  # see each face in the mirror too, as networks with model.mirrored do in use; half as fast
    clip_gradient: float = number(1.0, 0)  # norm; 0 leaves gradients alone
    ema: float = number(0.999, 0, 0.99999)  # 0: no averaging
    log_every: int = number(20, 1)
    validate_every: int = number(1000, 1)
    validation_clips: int = number(64, 2, 4096)
    checkpoint_every: int = number(1000, 1)
    keep: int = number(2, 1, 1000)


@dataclass(frozen=True)
class RunConfig(Section):
    """A whole run."""

    preset: str = "paper"
    method: str = choice("facecycle", "facecycle", "simclr", "fabnet", "tcae")
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    views: ViewsConfig = ViewsConfig()
    perceptual: PerceptualConfig = PerceptualConfig()
    motion_loss: MotionLossConfig = MotionLossConfig()
    identity_loss: IdentityLossConfig = IdentityLossConfig()
    motion: StageConfig = StageConfig()
    identity: StageConfig = StageConfig()
    train: TrainConfig = TrainConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.motion.check_rates("motion")
        self.identity.check_rates("identity")
        if self.train.mirror and not self.model.mirrored:
            raise FaceCycleError(
                "train.mirror = true needs networks that look into the mirror: set model.mirrored=true, "
                "or train.mirror=false"
            )


def from_dict(values: dict[str, Any], kind: type[Any] = RunConfig, where: str = "") -> Any:
    """Build a configuration from nested plain values; an unknown key is an error that names its neighbours."""
    hints, entries = get_type_hints(kind), {entry.name: entry for entry in dataclasses.fields(kind)}
    built = {}
    for key, value in values.items():
        label = f"{where}{key}"
        if key not in hints:
            close = difflib.get_close_matches(key, hints, n=1)
            hint = f"did you mean {where}{close[0]}?" if close else f"known keys: {', '.join(hints)}"
            raise FaceCycleError(f"unknown key {label}: {hint}")
        nested = dataclasses.is_dataclass(hints[key]) and isinstance(value, dict)
        limits = entries[key].metadata
        if nested:
            built[key] = from_dict(value, hints[key], f"{label}.")
        else:
            built[key] = convert(value, hints[key], label, limits.get("choices", ()))
        check_range(built[key], limits, label)  # here its full name is known
    return kind(**built)


def to_dict(config: Section) -> dict[str, Any]:
    """The configuration as nested plain values, the inverse of `from_dict`."""
    return dataclasses.asdict(config)


def override(config: RunConfig, assignments: list[str]) -> RunConfig:
    """Apply ``section.key=value`` assignments, read as TOML values (``--set motion.steps=500``).

    Raises:
        FaceCycleError: an unknown key, a value of the wrong type or out of range, or no ``=``.
    """
    values = to_dict(config)
    for assignment in assignments:
        path, sign, text = assignment.partition("=")
        *sections, key = path.strip().split(".")
        if not sign or not key:
            raise FaceCycleError(f"--set {assignment}: write it as section.key=value, such as motion.steps=500")
        place = values
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise FaceCycleError(f"--set {assignment}: {section} is a value, not a section")
        place[key] = _read_value(text.strip())
    return from_dict(values)


def load(path: Path) -> RunConfig:
    """Read a configuration written by `save`."""
    try:
        return from_dict(tomllib.loads(path.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FaceCycleError(f"{path}: not TOML ({error})") from None
    except OSError as error:
        raise FaceCycleError(f"{path}: {str(error.strerror).lower()}; name the config.toml of a run") from None


def save(config: RunConfig, path: Path) -> None:
    """Write the configuration as TOML; reading it back gives an equal one."""
    import tomli_w

    path.write_text(tomli_w.dumps(to_dict(config)), "utf-8")


def _read_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # a bare word: --set perceptual.name=none
