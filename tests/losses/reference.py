"""The formulas once more, in float64 and the plainest way there is: loops, explicit windows, explicit bilinear reads.

Nothing here is taken from the package: what the two have in common is the paper.
"""

from __future__ import annotations

import numpy as np

Picture = np.ndarray  # b c h w


def bilinear(x: Picture, flow: np.ndarray) -> Picture:
    """x(p + flow(p)): positions where the picture spans [-1, 1] from edge to edge; outside, the border is repeated."""
    batch, _, height, width = x.shape
    out = np.empty_like(x)
    for b in range(batch):
        for i in range(height):
            for j in range(width):
                u = ((2 * j + 1) / width - 1 + flow[b, 0, i, j] + 1) * width / 2 - 0.5
                v = ((2 * i + 1) / height - 1 + flow[b, 1, i, j] + 1) * height / 2 - 0.5
                u, v = min(max(u, 0.0), width - 1.0), min(max(v, 0.0), height - 1.0)
                left, top = min(int(u), width - 2), min(int(v), height - 2)
                a, c = u - left, v - top
                out[b, :, i, j] = (
                    (1 - c) * ((1 - a) * x[b, :, top, left] + a * x[b, :, top, left + 1])
                    + c * ((1 - a) * x[b, :, top + 1, left] + a * x[b, :, top + 1, left + 1])
                )  # fmt: skip
    return out


def blur(x: Picture) -> Picture:
    """Means under an 11 x 11 Gaussian window of standard deviation 1.5, zeros outside the picture."""
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    height, width = x.shape[-2:]
    padded = np.pad(x, [(0, 0), (0, 0), (5, 5), (5, 5)])
    return sum(window[i, j] * padded[..., i : i + height, j : j + width] for i in range(11) for j in range(11))


def ssim(x: Picture, y: Picture) -> float:
    """Wang et al. 2004, equation 13, averaged over the picture; pixels in [0, 1]."""
    c1, c2 = 0.01**2, 0.03**2
    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    return float(np.mean((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))))


def distance(x: Picture, y: Picture) -> float:
    return float(np.mean(np.abs(x - y)))


def asymmetry(x: Picture) -> float:
    half = x.shape[-1] // 2
    return distance(x[..., :half], x[..., ::-1][..., :half])


def style(features: list[list[np.ndarray]], wanted: list[np.ndarray]) -> float:
    """Sum over layers of the mean squared difference of Gram matrices; features: one list of layers a picture set."""

    def gram(f: np.ndarray) -> np.ndarray:
        return np.einsum("bchw,bdhw->bcd", f, f) / (f.shape[-2] * f.shape[-1])

    return float(
        sum(
            np.mean([np.mean((gram(layers[at]) - gram(right)) ** 2) for layers in features])
            for at, right in enumerate(wanted)
        )
    )


def swap(x: np.ndarray) -> np.ndarray:
    """The other frame of each clip of two."""
    return x.reshape(-1, 2, *x.shape[1:])[:, ::-1].reshape(x.shape)


def motion_loss(face, neutral, restored, redrawn, to_neutral, to_face, style_of, drift=1.0) -> float:
    """The motion stage (DESIGN: I, N, I^, I0, F, B), and the drift term that the project adds."""
    warped = bilinear(face, to_neutral)
    round_trip = bilinear(swap(warped), to_face)
    neutral_to_face = bilinear(swap(neutral), to_face)
    return (
        distance(restored, face) + distance(redrawn, face) + distance(neutral_to_face, face)
        + 1.5 * distance(round_trip, face)
        + 5 * ((1 - ssim(restored, face)) + (1 - ssim(redrawn, face)) + 1.5 * (1 - ssim(round_trip, face)))
        + 1.5 * (asymmetry(neutral) + 0.5 * asymmetry(warped))
        + 0.01 * style_of([neutral, neutral_to_face, round_trip, restored], face)
        + drift * float(np.mean(np.abs(to_neutral.mean(0))))
    )  # fmt: skip


def identity_loss(face, neutral, mean_faces, restored_neutral, restored, to_face, style_of, anchor=1.0) -> float:
    """The identity stage (I, N, M_i, N^, I^, B), and the term that ties the mean face to the mean neutral face."""
    warped = bilinear(restored_neutral, to_face)
    mean_face = mean_faces.mean(0, keepdims=True)
    return (
        distance(restored, face) + 0.8 * distance(warped, face) + distance(restored_neutral, neutral)
        + 5 * ((1 - ssim(restored, face)) + 0.8 * (1 - ssim(warped, face)))
        + 1.5 * asymmetry(restored_neutral)
        + 0.01 * style_of([warped, restored], face)
        + float(np.mean(np.maximum(np.abs(mean_faces - mean_face) - 0.1, 0)))
        + anchor * distance(mean_face, neutral.mean(0, keepdims=True))
    )  # fmt: skip
