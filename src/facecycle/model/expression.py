"""The part of a flow that is expression: what tells a smile from a turn of the head, found in closed form."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from facecycle.model.flow import DECODED, both_ways
from facecycle.model.warp import pixel_grid
from facecycle.types import Code, Field

RIDGE = 1e-3  # on the face units, of their mean variance
CODE_RIDGE = 1e-2  # on the code, of its mean variance
ACROSS, ALONG = 0.75, 0.95  # half-axes of the face in the crop; beyond it nothing moves with an expression
ROUNDS = 30  # of reweighting


class ExpressionField(nn.Module):
    """Motion code -> the part of the `FlowDecoder`'s field that expression has in it; the rest is pose.

    Linear in the code, and fitted, not learnt. It begins as zeros, and `fitted` says that there is nothing yet.

    Args:
        code_dim: length of the motion code.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, code_dim: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(2 * DECODED**2, code_dim))
        self.register_buffer("bias", torch.zeros(2 * DECODED**2))

    @property
    def fitted(self) -> bool:
        """Was it found? Waits for the device."""
        return bool(self.weight.any())

    def forward(self, motion: Code, mirrored: Code | None = None) -> Field:
        """16 x 16, as `FlowDecoder.draw`, from the code of a face and, if given, that of the mirrored face."""
        return both_ways(self._draw, motion, mirrored)

    def _draw(self, motion: Code) -> Field:
        field = nn.functional.linear(motion.float(), self.weight, self.bias)
        return field.float().unflatten(1, (2, DECODED, DECODED))

    @torch.no_grad()
    def forget(self) -> None:
        """Begin anew: nothing is found."""
        self.weight.zero_()
        self.bias.zero_()

    @torch.no_grad()
    def fit(
        self,
        codes: Float[Tensor, "n d"],
        fields: Float[Tensor, "n 2 s s"],
        units: Float[Tensor, "n u"],
        pose: Float[Tensor, "n p"],
    ) -> None:
        """Find what the face units put into the fields, and how it is read from the codes.

        Fields are regressed on the units beside a quadratic in the pose. Each unit's share is then freed of the shift
        and scale that most of the picture has in common: crops follow the landmarks, so that an open mouth moves the
        crop, and that is no expression. What is left within the face is regressed on the codes.

        Args:
            codes: motion codes of ``n`` faces, of each face by itself.
            fields: what the decoder draws from them, 16 x 16.
            units: their face units, from 0 (a face without expression) to 1.
            pose: their yaw, pitch and roll, in any unit.
        """
        codes, units, pose = codes.double(), units.double(), pose.double()
        by_pose = _quadratic((pose - pose.mean(0)) / (pose.std(0) + 1e-6))
        of_units = _ridge(torch.cat([by_pose, units], 1), fields.double().flatten(1), units, len(by_pose[0]))
        wanted = units @ _local(of_units)
        centre, middle = codes.mean(0), wanted.mean(0)
        weight = _ridge(codes - centre, wanted - middle, codes, 0, CODE_RIDGE)
        self.weight.copy_(weight.T)
        self.bias.copy_(middle - centre @ weight)


def _quadratic(pose: Float[Tensor, "n p"]) -> Float[Tensor, "n q"]:
    row, column = torch.triu_indices(pose.shape[1], pose.shape[1])
    return torch.cat([torch.ones_like(pose[:, :1]), pose, pose[:, row] * pose[:, column]], 1)


def _ridge(
    x: Float[Tensor, "n q"], y: Float[Tensor, "n f"], scale: Float[Tensor, "n u"], free: int, ridge: float = RIDGE
) -> Float[Tensor, "u f"]:
    """Least squares with a ridge of so many mean variances of ``scale``; the first ``free`` columns have hardly any,
    and their coefficients are left out."""
    penalty = torch.full((x.shape[1],), ridge * float(scale.var(0).mean()) + 1e-9, dtype=x.dtype)
    penalty[:free] = 1e-6
    return torch.linalg.solve(x.T @ x + len(x) * penalty.diag(), x.T @ y)[free:]


def _local(fields: Float[Tensor, "u f"]) -> Float[Tensor, "u f"]:
    """Fields less the shift and scale that most of their points share, by iteratively reweighted least squares for
    absolute distances; and nothing beyond the face, with a soft edge."""
    grid = pixel_grid(DECODED, DECODED, fields.device)[0].to(fields).flatten(0, 1)
    one, none = torch.ones_like(grid[:, 0]), torch.zeros_like(grid[:, 0])
    basis = torch.stack([torch.cat([one, none]), torch.cat([none, one]), grid.T.flatten()], 1)
    weight = torch.ones_like(fields)
    rest = fields
    for _ in range(ROUNDS):
        weighted = basis * weight[:, :, None]
        shared = torch.linalg.solve(basis.T @ weighted, weighted.transpose(1, 2) @ fields[:, :, None])
        rest = fields - (basis @ shared)[..., 0]
        distance = rest.unflatten(1, (2, -1)).norm(dim=1)
        floor = 0.1 * distance.median(1, keepdim=True).values + 1e-5
        weight = (1 / distance.maximum(floor)).repeat(1, 2)
        weight = weight / weight.mean(1, keepdim=True)
    radius = ((grid[:, 0] / ACROSS) ** 2 + (grid[:, 1] / ALONG) ** 2).sqrt()
    return rest * ((1.15 - radius) / 0.3).clamp(0, 1).repeat(2)
