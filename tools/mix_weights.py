"""One run's weights with networks of another:  python tools/mix_weights.py OUT ONE OTHER NETWORKS [SHARE]

``NETWORKS``, such as ``motion_encoder,flow_decoder``, are taken of ``OTHER``, everything else of ``ONE``. With a
``SHARE`` below 1 their numbers lie so far on the way from ``ONE`` to ``OTHER`` (model soups: Wortsman et al., ICML
2022). What is found in closed form of one network is not that of an average, and is left out where it is of the motion
networks; a stage of no steps finds it: ``facecycle train ... --init OUT --set motion.steps=0``.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from facecycle.data.mixed import join_licences
from facecycle.errors import FaceCycleError
from facecycle.hub import find_weights
from facecycle.model.networks import build_networks
from facecycle.model.weights import FILE, load_state, read_weights, save_weights
from facecycle.train.closed_form import forget_motion

MOTION = {"motion_encoder", "flow_decoder"}


def mix(out: Path, one: Path, other: Path, parts: list[str], share: float) -> None:
    """Write ``out/weights.safetensors``.

    Raises:
        FaceCycleError: networks of other names or sizes, or a share that is none.
    """
    if not 0 < share <= 1:
        raise FaceCycleError(f"share {share}: give a number above 0, 1 at most")
    about, taken = read_weights(one), read_weights(other)
    model = about.model
    if "identity_encoder" in parts and model.identity_blocks != taken.model.identity_blocks:
        if share < 1:
            raise FaceCycleError(
                f"{one} has {model.identity_blocks} blocks at each level of its identity encoder, {other} "
                f"{taken.model.identity_blocks}: there is nothing between; take it whole"
            )
        model = dataclasses.replace(model, identity_blocks=taken.model.identity_blocks)
    networks = build_networks(model)
    kept = [name for name, _ in networks.named_children() if share < 1 or name not in parts]
    if kept:
        load_state(networks, one, kept)
    before = {name: value.clone() for name, value in networks.state_dict().items()}
    load_state(networks, other, parts)
    for name, value in networks.state_dict().items():
        value.copy_(before[name].lerp(value, share))
    if share < 1 and MOTION & set(parts):
        forget_motion(networks)
    licence = join_licences([about.licence, taken.licence])
    out.mkdir(parents=True, exist_ok=True)
    trained = {**about.trained, "mixed": f"{share:g} of {','.join(parts)}: {taken.trained}"}
    trained.pop("version", None)
    save_weights(networks, out / FILE, model, licence, trained)
    print(f"{out / FILE}: {', '.join(parts)} of {other}, the rest of {one}; {licence}")


def main() -> None:
    if len(sys.argv) not in (5, 6):
        raise SystemExit(__doc__)
    out, one, other, parts, *share = sys.argv[1:]
    try:
        mix(Path(out), find_weights(one), find_weights(other), parts.split(","), float(share[0]) if share else 1.0)
    except (FaceCycleError, ValueError) as error:
        raise SystemExit(f"mix_weights: {error}") from None


if __name__ == "__main__":
    main()
