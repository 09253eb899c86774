"""All five networks, built from a `ModelConfig` and nothing else."""

from __future__ import annotations

from torch import nn

from facecycle.config import ModelConfig
from facecycle.errors import FaceCycleError
from facecycle.model.encoder import Encoder, FaceEncoder
from facecycle.model.eraser import Eraser
from facecycle.model.expression import ExpressionField
from facecycle.model.expression_code import ExpressionCode
from facecycle.model.face_generator import FaceGenerator
from facecycle.model.flow import FlowDecoder
from facecycle.model.gabor_encoder import GaborEncoder
from facecycle.model.identity_transfer import IdentityTransfer
from facecycle.model.layers import scaled
from facecycle.model.mirror import CodeMirror


class Networks(nn.Module):
    """The parts that the cycles put together."""

    def __init__(
        self,
        motion_encoder: FaceEncoder,
        flow_decoder: FlowDecoder,
        face_generator: FaceGenerator,
        identity_encoder: FaceEncoder,
        identity_transfer: IdentityTransfer,
        mirrored: bool = False,
        expression: ExpressionField | None = None,
    ) -> None:
        super().__init__()
        self.mirrored = mirrored
        """Whether a face is looked at in the mirror too, see `ModelConfig`."""
        self.motion_encoder = motion_encoder
        self.flow_decoder = flow_decoder
        self.face_generator = face_generator
        self.identity_encoder = identity_encoder
        self.identity_transfer = identity_transfer
        self.expression = expression
        """Which part of the flow is expression, where that was asked to be found out."""
        self.head: nn.Module | None = None
        """What a rival method trains beside its encoder; no part of the weights."""

    def motion_parts(self) -> list[nn.Module]:
        """What the motion stage trains and the identity stage leaves alone."""
        return [self.motion_encoder, self.flow_decoder, self.face_generator]

    def identity_parts(self) -> list[nn.Module]:
        """What the identity stage trains."""
        return [self.identity_encoder, self.identity_transfer]


def build_networks(config: ModelConfig) -> Networks:
    """The one place where a configuration becomes layers; weights are drawn from torch's current random state."""
    flow = scaled((256, 128, 64), config.flow_width)
    generator = scaled((64, 128, 256), config.generator_width)
    return Networks(
        motion_encoder=build_motion_encoder(config),
        flow_decoder=FlowDecoder(flow, config.code_dim, config.image_size, config.flow_inverse),
        face_generator=FaceGenerator(
            generator,
            config.generator_blocks,
            config.generator_paint,
            config.generator_noise,
            config.generator_skip,
            config.generator_adjust,
        ),
        identity_encoder=build_identity_encoder(config),
        identity_transfer=IdentityTransfer(generator, config.transfer_blocks, config.generator_paint, config.code_dim),
        mirrored=config.mirrored,
        expression=ExpressionField(config.code_dim) if config.expression else None,
    )


def build_motion_encoder(config: ModelConfig) -> FaceEncoder:
    """As `build_encoder`, with a `CodeMirror` and an `ExpressionCode` where the configuration asks for them.

    Raises:
        FaceCycleError: the second is asked for without the first.
    """
    if config.expression_code and not config.equivariant:
        raise FaceCycleError(
            "model.expression_code = true needs model.equivariant=true: it is made of a face and its mirror image; "
            "set both, or neither"
        )
    encoder = build_encoder(config)
    if config.equivariant:
        encoder.code_mirror = CodeMirror(config.code_dim)
    if config.expression_code:
        encoder.expression_code = ExpressionCode(config.code_dim, *encoder.described)
    return encoder


def build_identity_encoder(config: ModelConfig) -> FaceEncoder:
    """As `build_encoder`, with an eraser at its end where the configuration asks for one: ``code.eraser``."""
    encoder = build_encoder(config, config.mirrored, config.identity_blocks)
    if config.erase:
        encoder.code.add_module("eraser", Eraser(config.code_dim))
    return encoder


def build_encoder(config: ModelConfig, mirrored: bool = False, blocks: int = 1) -> FaceEncoder:
    """Face -> code, of the kind and size that the configuration names; ``blocks`` of each level, see `GaborEncoder`."""
    widths = scaled((64, 128, 256), config.encoder_width)
    if config.encoder == "gabor":
        return GaborEncoder(widths, config.image_size, config.code_dim, mirrored, blocks)
    return Encoder(widths, config.image_size, config.code_dim, config.code_norm, mirrored)
