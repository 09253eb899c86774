"""The training loop: both stages, one after the other, in plain sight."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from facecycle.config import ModelConfig, RunConfig
from facecycle.data.pairs import PairLoader
from facecycle.draw import save_picture
from facecycle.errors import FaceCycleError
from facecycle.losses.perceptual import build_perceptual
from facecycle.model.networks import Networks, build_networks
from facecycle.model.weights import load_state, read_weights
from facecycle.train import checkpoint
from facecycle.train.augment import augment, augment_points, centre
from facecycle.train.capture import CapturedUpdate, Update, capturable, update
from facecycle.train.closed_form import (
    check_truth,
    encoder_rests,
    finish_motion,
    fitted_at,
    forget_motion,
    settle,
    unfinished,
)
from facecycle.train.data import Sources, shows_neutral
from facecycle.train.methods import METHODS
from facecycle.train.optimizer import build_adam, moving_average, rate, set_rate
from facecycle.train.preview import draw_cycle
from facecycle.train.progress import Progress
from facecycle.train.run import Learning, Run
from facecycle.train.stage import Stage
from facecycle.train.stop import Stop
from facecycle.train.truth import NOTHING, Known, landmarks_of, truth_of
from facecycle.train.views import disturb
from facecycle.types import Clip

AUGMENT, NOISE, VIEWS = 1, 1 << 20, 2 << 20  # what a generator is for; each process has a noise of its own


def train(
    fabric: Fabric,
    run: Run,
    sources: Sources,
    stages: list[str],
    init: Path | None = None,
    minutes: float | None = None,
    init_parts: Sequence[str] = (),
) -> bool:
    """Train the named stages in order, each to its end, or until a signal or the clock says stop.

    Args:
        fabric: launched; says device, precision and processes.
        run: the folder, and the configuration.
        sources: what to learn from.
        stages: of ``motion`` and ``identity``; the identity stage needs trained motion networks, from the stage
            before it, from the run's own checkpoints, or from ``init``.
        init: weights to begin with (no optimizer state: that is what resuming is for).
        minutes: stop cleanly after so long.
        init_parts: take these networks alone from ``init``.

    Returns:
        True when every stage is finished; otherwise ``--resume`` goes on.
    """
    config = run.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        networks = build_networks(config.model)
        for kind in METHODS[config.method].values():  # of all stages: a checkpoint holds what any of them adds
            kind.extend(networks, config)
    begin(networks, run, stages, init, init_parts)
    perceptual = build_perceptual(config.perceptual)
    with Stop(minutes) as stop:
        for name in stages:
            stage = METHODS[config.method][name](networks, config, perceptual).to(fabric.device)
            if config.train.channels_last:
                stage.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            averaged = AveragedModel(networks)
            averaged.multi_avg_fn = moving_average(config.train.ema, averaged.n_averaged)
            if not train_stage(fabric, run, stage, averaged, sources, stop):
                return False
            networks.load_state_dict(averaged.module.state_dict())
    return True


def begin(networks: Networks, run: Run, stages: list[str], init: Path | None, init_parts: Sequence[str] = ()) -> None:
    """Fill the networks with what came before the first stage, where anything did.

    Raises:
        FaceCycleError: the identity stage has nothing to begin with, or half of it, or the motion stage would undo it.
    """
    motion, identity = (checkpoint.complete(run.checkpoints, stage) for stage in ("motion", "identity"))
    steps, wanted = checkpoint.read_state(motion[-1]).step if motion else 0, run.config.motion.steps
    if motion and (stages[0] == "identity" or identity) and steps < wanted:
        mend = f"begin a new run with --init {run.folder}" if identity else "finish it with --resume --stage motion"
        raise FaceCycleError(
            f"{run.folder}: the motion stage stands at step {steps} of {wanted}, and the identity stage stands on it; "
            f"{mend}"
        )
    if init is not None:
        begun_with = read_weights(init)
        if not init_parts:
            check_built_alike(init, begun_with.model, run.config.model)
        load_state(networks, init, init_parts)
        run.inherited.append(begun_with.licence)
    elif stages[0] == "identity" and motion:
        checkpoint.fill(networks, checkpoint.load(motion[-1])[1]["averaged"], motion[-1])
    elif stages[0] == "identity" and not identity:
        raise FaceCycleError(
            "the identity stage needs trained motion networks: train both stages, or give --init WEIGHTS"
        )
    elif stages[0] == "motion" and identity and not motion:
        raise FaceCycleError(f"{run.folder}: trained the identity stage alone; go on with --stage identity")
    elif stages[0] == "motion" and not motion:
        check_taught(run.config)


def check_taught(config: RunConfig) -> None:
    """Does no term of a motion stage from scratch ask the identity encoder, which learns only afterwards?

    Raises:
        FaceCycleError: one does.
    """
    if config.method != "facecycle":
        return
    for name, weight in config.motion_loss.by_identity.items():
        raise FaceCycleError(
            f"motion_loss.{name} = {weight} compares faces by an identity encoder that has learnt nothing yet: "
            f"begin with --init WEIGHTS, or set motion_loss.{name}=0"
        )


def check_built_alike(init: Path, theirs: ModelConfig, ours: ModelConfig) -> None:
    """Were the weights trained by the same reading of their numbers, where no size tells?

    Raises:
        FaceCycleError: with both values.
    """
    for name in ("code_norm", "flow_inverse"):
        found, wanted = getattr(theirs, name), getattr(ours, name)
        if found != wanted:
            raise FaceCycleError(
                f"{init}: trained with model.{name} = {found}, this run has {wanted}; "
                f"use --set model.{name}={str(found).lower()}"
            )


def train_stage(fabric: Fabric, run: Run, stage: Stage, averaged: AveragedModel, sources: Sources, stop: Stop) -> bool:
    """Train one stage from its newest checkpoint, if any; True when it is finished."""
    config, settings, networks = run.config, stage.settings(), stage.networks
    captured = capturable(config, fabric)
    adam = build_adam(stage, captured)
    learning = Learning(networks, averaged, adam, fabric.strategy.precision, checkpoint.named(networks))
    step = run.restore(stage.name, learning)

    def save() -> None:
        run.save(stage.name, step, learning, sources.training.licence, sources.fingerprint)

    def finish(say: Callable[[str], None] = lambda _: None) -> None:
        after = checkpoint.complete(run.checkpoints, "identity")  # stands on what was found then
        if stage.name == "motion" and not after and unfinished(networks, sources.training):
            say("finding out about mirrored faces and expressions")
            finish_motion(networks, averaged.module, sources.training, config, fabric.device)  # type: ignore[arg-type]
            save()

    if step >= settings.steps and (settings.steps or run.holds(stage.name)):
        finish()  # it may have been killed before that
        return True
    if run.inherited and not run.newest() and settings.steps:
        save()  # what a run began with is nowhere else
    if stage.name == "motion":
        forget_motion(networks, settings.rest)
        forget_motion(averaged.module, settings.rest)  # type: ignore[arg-type]
    elif unfinished(networks, sources.training):  # it began with older weights
        finish_motion(networks, averaged.module, sources.training, config, fabric.device)  # type: ignore[arg-type]
    if config.train.compile:
        stage.compile()
    model, optimizer = fabric.setup(stage, adam)
    model.train()

    def begin_updates() -> Update:
        return CapturedUpdate(fabric.device) if captured else update

    rank, world, workers = fabric.global_rank, fabric.world_size, config.data.workers
    check_stride(config, stage.name, world)
    clips = sources.by_person if stage.name == "identity" else sources.training
    pinned = fabric.device.type == "cuda"  # from other memory a copy waits until the device has nothing left to do
    loader = PairLoader(clips, settings.batch_size, workers, step, rank, world, pinned)
    batches, tell = iter(loader), truth_of(clips, config, stage.name)
    mark, fits = landmarks_of(clips, config, stage.name), fitted_at(config, stage.name)
    check_truth(clips, config, stage.name)
    images = settings.batch_size * config.data.frames_per_clip
    learn = begin_updates()
    with Progress(stage.name, step, settings.steps, images, run.writes) as progress:

        def settle_end() -> None:
            progress.say("fitting the end of the identity encoder; on a large face set this takes minutes on a CPU")
            settle(networks, averaged.module, clips, config, fabric.device)  # type: ignore[arg-type]

        if not settings.steps:
            if step in fits:
                settle_end()
            validate(fabric, run, stage, averaged, sources, step)
            save()
        while step < settings.steps and not stop.asked():
            stored, keys = send(next(batches), fabric.device), loader.plan.keys(step)
            whose = send(torch.from_numpy(clips.whose(keys)), fabric.device)
            values, landmarks = (send(look(keys), fabric.device) if look else None for look in (tell, mark))
            known = Known(values, landmarks=landmarks, whose=whose)
            step += 1
            loss, parts = train_step(fabric, model, optimizer, stored, config, stage.name, step, known, learn)
            averaged.update_parameters(networks)
            progress.advance(loss)

            last = step == settings.steps
            checked = last or step % config.train.validate_every == 0
            if step in fits or checked:
                run.check_finite(networks, step)  # decompositions fail of what is no number, and do not say why
            if step in fits:
                settle_end()
                learn = begin_updates()  # the encoder may rest from now on, which makes a step another one
            if last or step % config.train.log_every == 0:
                figures = whole_run({"loss": loss, **parts}, fabric)
                check_finite(figures, step, run)
                run.tracker.write(
                    stage.name, step, "train", {**figures, "lr": rate(settings, step), **progress.speed()}
                )
            if checked:
                validate(fabric, run, stage, averaged, sources, step)
            if last or step % config.train.checkpoint_every == 0:
                save()
        if step < settings.steps:
            save()
        finish(progress.say)
    return step == settings.steps


def check_stride(config: RunConfig, name: str, world: int) -> None:
    """Do as many clips go round the cycle whatever the number of processes?

    Raises:
        FaceCycleError: each process would round up for itself.
    """
    batch, stride = getattr(config, name).batch_size, config.data.cycle_stride
    if world > 1 and batch // world % stride:
        raise FaceCycleError(
            f"{name}.batch_size = {batch} over {world} processes, of which one clip in {stride} goes round the cycle "
            f"(data.cycle_stride): use a multiple of {world * stride}, or data.cycle_stride=1"
        )


def send(batch: Tensor, device: torch.device) -> Tensor:
    """To the device, without waiting for what it is busy with."""
    if device.type == "cuda" and not batch.is_pinned():
        batch = batch.pin_memory()
    return batch.to(device, non_blocking=True)


def train_step(
    fabric: Fabric,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    stored: Tensor,
    config: RunConfig,
    name: str,
    step: int,
    known: Known = NOTHING,
    learn: Update = update,
) -> tuple[Tensor, dict[str, Tensor]]:
    """One step on this process's share of the batch; all its randomness follows from the seed and the step.

    ``known`` is of the stored frames; neutral faces are stored with them. ``learn`` is what is done with the batch
    once it is disturbed.
    """
    rank, world, settings = fabric.global_rank, fabric.world_size, getattr(config, name)
    resting = encoder_rests(config, name, step)
    size, still = config.model.image_size, int(name == "motion" and shows_neutral(config))
    clips = augment(stored, size, config.augment, keyed(config, step, AUGMENT, stored.device), rank, world, still)
    if known.landmarks is not None:
        draws = keyed(config, step, AUGMENT, stored.device)
        moved = augment_points(known.landmarks, stored.shape[-1], size, config.augment, draws, rank, world, still)
        known = known._replace(landmarks=moved)
    if still:
        clips, known = clips[:, :-1], known._replace(neutral=known_neutral(stored, clips))
    noise = keyed(config, step, NOISE + rank, stored.device) if config.model.generator_noise else None
    for group in optimizer.param_groups:
        group["rests"] = resting and group["encoder"]
        set_rate(group, 0.0 if group["rests"] else rate(settings, step) * group["share"])
    views = None
    kind = METHODS[config.method][name]
    compared = config.method == "facecycle" and getattr(config, f"{name}_loss").compares_codes
    spared = resting and not config.train.compile  # compiled anew, a step without views would cost minutes
    if (compared and not spared) or known.values is not None or kind.wants_views:
        frames = clips.repeat(1, kind.views_per_frame, 1, 1, 1)
        views = disturb(frames, config.views, keyed(config, step, VIEWS, stored.device), rank, world)
    return learn(fabric, model, optimizer, config.train.clip_gradient, clips, noise, views, known)


def known_neutral(stored: Tensor, clips: Clip) -> Float[Tensor, "b 3 h w"]:
    """The neutral face at the end of each clip; not a number where the set holds none, which is stored as black."""
    known = (stored[:, -1] > 0).flatten(1).any(1)
    return torch.where(known[:, None, None, None], clips[:, -1], torch.nan)


@torch.no_grad()
def validate(fabric: Fabric, run: Run, stage: Stage, averaged: AveragedModel, sources: Sources, step: int) -> None:
    """The averaged networks on people never trained on: figures and a picture. Always the same clips."""
    if not run.writes:
        return
    config = run.config
    judge = type(stage)(averaged.module, config, stage.perceptual).eval()  # type: ignore[arg-type]
    count = min(config.train.validation_clips, len(sources.validation))
    stored = torch.stack([torch.as_tensor(sources.validation[0, index]) for index in range(count)])
    totals: dict[str, float] = {}
    for chunk in stored.tensor_split(math.ceil(count / 16)):  # evenly: a clip by itself could be compared with none
        chunk = chunk[:, : config.data.cycle_frames].to(fabric.device)
        cycle = judge.cycle(centre(chunk, config.model.image_size))
        figures = {"loss": judge.objective(cycle).total, **judge.check(cycle)}
        for name, value in figures.items():
            totals[name] = totals.get(name, 0.0) + float(value) * len(chunk) / count
    run.tracker.write(stage.name, step, "validation", totals)
    first = judge.cycle(centre(stored[:4, : config.data.cycle_frames].to(fabric.device), config.model.image_size))
    save_picture(draw_cycle(first), run.folder / "previews" / f"{stage.name}-{step:08d}.png")


def keyed(config: RunConfig, step: int, purpose: int, device: torch.device) -> torch.Generator:
    """A generator for one purpose of one step."""
    seed = np.random.SeedSequence([config.train.seed, step, purpose]).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(seed >> 1))


def whole_run(figures: dict[str, Tensor], fabric: Fabric) -> dict[str, float]:
    """Averages over all processes."""
    names, values = list(figures), torch.stack([value.float() for value in figures.values()])
    values = fabric.all_reduce(values, reduce_op="mean")
    return dict(zip(names, values.tolist(), strict=True))  # type: ignore[union-attr]


def check_finite(figures: dict[str, float], step: int, run: Run) -> None:
    """Stop a run that has diverged.

    Raises:
        FaceCycleError: naming the last good checkpoint.
    """
    if not math.isfinite(figures["loss"]):
        raise run.diverged(f"the loss is {figures['loss']}", step)
