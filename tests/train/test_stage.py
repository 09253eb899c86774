"""The two stages: who learns, who is left alone, and what is measured on held-out people."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from facecycle.data.truth import TRUE_VALUES
from facecycle.errors import FaceCycleError
from facecycle.losses.contrast import clip_contrast, dependence, frame_contrast
from facecycle.losses.objective import landmark_flow, unlike_features, unlikeness
from facecycle.losses.perceptual import PerceptualFeatures
from facecycle.losses.terms import SSIM, feature_distance
from facecycle.train.optimizer import parameter_groups
from facecycle.train.stage import STAGES, Stage, code_statistics
from facecycle.train.truth import NOTHING, Known
from tiny import face_tensor, tiny_config, tiny_networks

PARTS = {
    "motion": {"motion_encoder", "flow_decoder", "face_generator"},
    "identity": {"identity_encoder", "identity_transfer"},
}


def stage_of(name: str, perceptual: PerceptualFeatures | None = None) -> Stage:
    return STAGES[name](tiny_networks(), tiny_config("none"), perceptual)


def features() -> PerceptualFeatures:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PerceptualFeatures([torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3), torch.nn.ReLU())])


@pytest.mark.parametrize("name", STAGES)
def test_a_gradient_reaches_every_trained_parameter_and_no_frozen_one(name: str) -> None:
    stage = stage_of(name, features()).train()
    total, _ = stage(face_tensor(3))
    total.backward()
    reached = {key for key, value in stage.networks.named_parameters() if value.grad is not None and value.grad.any()}
    expected = {key for key, _ in stage.networks.named_parameters() if key.split(".")[0] in PARTS[name]}
    assert reached == expected
    assert {key for key, value in stage.named_parameters() if value.requires_grad} == {
        f"networks.{k}" for k in expected
    }


@pytest.mark.parametrize("name", STAGES)
def test_the_optimizer_gets_each_trained_parameter_once(name: str) -> None:
    stage = stage_of(name)
    grouped = [id(parameter) for group in parameter_groups(stage) for parameter in group["params"]]
    trained = [id(parameter) for parameter in stage.parameters() if parameter.requires_grad]
    assert sorted(grouped) == sorted(trained)


@pytest.mark.parametrize("name", STAGES)
def test_only_what_learns_is_in_training_mode(name: str) -> None:
    stage = stage_of(name, features()).train()
    for part, module in stage.networks.named_children():
        assert module.training == (part in PARTS[name])
    assert stage.perceptual is not None
    assert not stage.perceptual.training
    assert not any(module.training for module in stage.eval().modules())


@pytest.mark.parametrize("name", STAGES)
def test_a_step_changes_what_learns_and_nothing_else(name: str) -> None:
    stage = stage_of(name).train()
    before = {key: value.clone() for key, value in stage.networks.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in stage.parameters() if p.requires_grad], lr=1e-2)
    stage(face_tensor(2))[0].backward()
    optimizer.step()
    changed = {
        key.split(".")[0] for key, value in stage.networks.state_dict().items() if not torch.equal(value, before[key])
    }
    assert changed == PARTS[name]


@pytest.mark.parametrize("name", STAGES)
def test_the_parts_add_up(name: str) -> None:
    total, parts = stage_of(name, features())(face_tensor(2))
    assert sum(part.item() for part in parts.values()) == pytest.approx(total.item(), rel=1e-5)
    assert total.shape == ()


@pytest.mark.parametrize("name", STAGES)
def test_bfloat16_gives_nearly_the_same_objective(name: str) -> None:
    stage, clips = stage_of(name).eval(), face_tensor(2)
    plain, _ = stage(clips)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half, _ = stage(clips)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(plain.item(), rel=0.05)


@pytest.mark.parametrize("name", STAGES)
@torch.no_grad()
def test_checks_are_finite_and_named(name: str) -> None:
    stage = stage_of(name).eval()
    figures = stage.check(stage.cycle(face_tensor(3)))
    assert all(value.isfinite() for value in figures.values())
    common = {"restored_l1", "restored_ssim", "code_std", "code_rank", "code_saturated"}
    assert common < set(figures)
    if name == "motion":
        clips = face_tensor(3)
        copied = (clips[:, 0] - clips[:, 1]).abs().mean()
        torch.testing.assert_close(figures["copied_l1"], copied)
        assert figures["flow_cycle_px"] < 0.05
        assert figures["neutral_l1_other_person"] > 0
        lone = stage.check(stage.cycle(clips[:1]))
        assert figures.keys() - lone.keys() == {"neutral_l1_other_person"}


def test_code_statistics_tell_a_dead_code() -> None:
    dead = code_statistics(torch.ones(8, 4).mul(0.999))
    assert dead["code_std"] == 0
    assert dead["code_saturated"] == 1
    directions = torch.eye(4).repeat(4, 1) * torch.tensor([1.0, -1.0]).repeat_interleave(8)[:, None]
    assert code_statistics(directions)["code_rank"].item() == pytest.approx(4, rel=1e-3)
    line = torch.linspace(-0.5, 0.5, 8)[:, None].expand(8, 4)
    assert code_statistics(line)["code_rank"].item() == pytest.approx(1, rel=1e-3)


def test_frames_of_a_clip_may_be_more_than_two() -> None:
    config = dataclasses.replace(
        tiny_config("none"), data=dataclasses.replace(tiny_config("none").data, frames_per_clip=3)
    )
    for kind in STAGES.values():
        stage = kind(tiny_networks(), config, None)
        assert stage(face_tensor(2, 3))[0].isfinite()


@pytest.mark.parametrize("name", STAGES)
def test_the_contrast_term_reaches_the_encoder(name: str) -> None:
    config = tiny_config("none")
    loss = dataclasses.replace(getattr(config, f"{name}_loss"), contrast=2.0)
    data = dataclasses.replace(config.data, frames_per_clip=4, cycle_frames=2, cycle_stride=2)
    stage = STAGES[name](
        tiny_networks(), dataclasses.replace(config, data=data, **{f"{name}_loss": loss}), None
    ).train()
    clips = face_tensor(3, 4)
    plain, parts = stage(clips)
    total, with_contrast = stage(clips, None, clips.repeat(1, stage.views_per_frame, 1, 1, 1))
    assert with_contrast.keys() - parts.keys() == {"contrast"}
    assert total.item() == pytest.approx((plain + with_contrast["contrast"]).item(), rel=1e-5)
    with_contrast["contrast"].backward()
    touched = {key.split(".")[1] for key, value in stage.named_parameters() if value.grad is not None}
    assert touched == {f"{name}_encoder"}


def test_clips_that_belong_together_are_no_strangers() -> None:
    config = tiny_config("none")
    config = dataclasses.replace(config, identity_loss=dataclasses.replace(config.identity_loss, contrast=1.0))
    stage, clips = STAGES["identity"](tiny_networks(), config, None).train(), face_tensor(3)[[0, 1, 0]]
    codes = stage.networks.identity_encoder(clips.flatten(0, 1)).unflatten(0, (3, 2))
    strangers, known = (
        stage(clips, None, clips, Known(whose=whose))[1]["contrast"] for whose in (None, torch.tensor([7, 2, 7]))
    )
    assert strangers.item() == pytest.approx(contrast_of(codes, torch.arange(3)).item(), rel=1e-4)
    assert known.item() == pytest.approx(contrast_of(codes, torch.tensor([0, 1, 0])).item(), rel=1e-4)
    assert known.item() < strangers.item()


def contrast_of(codes: torch.Tensor, clips: torch.Tensor) -> torch.Tensor:
    everyone, whose = codes.flatten(0, 1), clips.repeat_interleave(codes.shape[1])
    return clip_contrast(everyone, whose, everyone, whose, tiny_config("none").views.temperature)


def test_the_truth_is_read_from_codes_and_unknown_truth_counts_for_nothing() -> None:
    config = tiny_config("none")
    config = dataclasses.replace(config, motion_loss=dataclasses.replace(config.motion_loss, truth=2.0))
    networks = tiny_networks()
    STAGES["motion"].extend(networks, config)
    stage, clips = STAGES["motion"](networks, config, None).train(), face_tensor(3)
    views = clips.repeat(1, 2, 1, 1, 1)
    assert networks.head is not None
    truth = torch.randn(3, 2, TRUE_VALUES, generator=torch.Generator().manual_seed(0))
    half = truth.clone()
    half[1:] = torch.nan
    wanted = (networks.head(networks.motion_encoder(views[:1].flatten(0, 1))) - truth[:1].repeat(1, 2, 1)[0]) ** 2
    found = stage(clips, None, views, Known(half))[1]["truth"]
    assert found.item() == pytest.approx(2 / 3 * (wanted[:, :-3].mean() + wanted[:, -3:].mean()).item(), rel=1e-4)
    found.backward()
    assert networks.head.weight.grad is not None
    assert "truth" not in stage(clips, None, views)[1]
    assert not any(name.startswith("head") for name in tiny_networks().state_dict())


def test_neutral_faces_are_held_to_the_true_ones_where_these_are_known() -> None:
    config = tiny_config("none")
    config = dataclasses.replace(config, motion_loss=dataclasses.replace(config.motion_loss, true_neutral=2.0))
    stage, clips = STAGES["motion"](tiny_networks(), config, None).train(), face_tensor(3)
    known = stage.cycle(clips).neutral.detach().unflatten(0, (3, 2))[:, 0]
    parts = stage(clips, known=Known(neutral=known))[1]
    wanted = known.repeat_interleave(2, 0)
    made = stage.cycle(clips).neutral
    by_hand = 2 * ((made - wanted).abs().mean() + 5 * (1 - SSIM(wanted)(made)))
    assert parts["true_neutral"].item() == pytest.approx(by_hand.item(), rel=1e-4)
    parts["true_neutral"].backward()
    touched = {key.split(".")[1] for key, value in stage.named_parameters() if value.grad is not None}
    assert touched == {"motion_encoder", "flow_decoder", "face_generator"}
    unknown = stage(clips, known=Known(neutral=torch.full_like(known, torch.nan)))[1]["true_neutral"]
    assert unknown.item() == pytest.approx(0, abs=1e-5)


def test_each_cycle_is_held_to_its_own_persons_neutral_face() -> None:
    config = tiny_config("none")
    config = dataclasses.replace(
        config,
        motion_loss=dataclasses.replace(config.motion_loss, true_neutral=2.0, likeness=3.0, features=4.0),
        data=dataclasses.replace(config.data, cycle_stride=2),
    )
    stage, clips = STAGES["motion"](tiny_networks(), config, None).train(), face_tensor(4)
    known = clips.mean(1)
    parts = stage(clips, known=Known(neutral=known))[1]
    cycle, wanted = stage.cycle(clips[::2]), known[::2].repeat_interleave(2, 0)
    encoder = stage.networks.identity_encoder
    by_hand = {
        "true_neutral": 2 * ((cycle.neutral - wanted).abs().mean() + 5 * (1 - SSIM(wanted)(cycle.neutral))),
        "likeness": 3 * unlikeness(encoder, cycle.neutral, wanted),
        "features": 4
        * sum(unlike_features(encoder, *p) for p in [(cycle.neutral, wanted), (cycle.restored, cycle.face)]),
    }
    for name, expected in by_hand.items():
        assert parts[name].item() == pytest.approx(expected.item(), rel=1e-4), name


def test_frames_are_asked_of_views_and_views_of_frames() -> None:
    stage, views = stage_of("motion"), torch.randn(3, 8, 16, generator=torch.Generator().manual_seed(0))
    one, other = views[:, :4], views[:, 4:]
    temperature = stage.config.views.temperature
    there, back = frame_contrast(one, other, temperature), frame_contrast(other, one, temperature)
    assert abs(there - back) > 1e-3
    assert stage.contrast(views, NOTHING).item() == pytest.approx(((there + back) / 2).item())


def test_the_flow_is_held_to_the_landmarks_of_the_frames_that_go_round() -> None:
    config = tiny_config("none")
    config = dataclasses.replace(
        config,
        motion_loss=dataclasses.replace(config.motion_loss, landmarks=2.0),
        data=dataclasses.replace(config.data, cycle_frames=2, cycle_stride=2),
    )
    stage, clips = STAGES["motion"](tiny_networks(), config, None).train(), face_tensor(4, 3)
    marks = torch.rand(4, 4, 68, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    parts = stage(clips, known=Known(landmarks=marks))[1]
    flow = stage.cycle(clips[::2, :2]).flow.to_neutral
    face, neutral = marks[::2, :2].flatten(0, 1), marks[::2, 3].repeat_interleave(2, 0)
    assert parts["landmarks"].item() == pytest.approx(2 * landmark_flow(flow, face, neutral).item(), rel=1e-4)
    parts["landmarks"].backward()
    touched = {key.split(".")[1] for key, value in stage.named_parameters() if value.grad is not None}
    assert touched == {"motion_encoder", "flow_decoder"}


def test_the_landmarks_are_asked_of_the_flow_that_pixels_are_brought_along() -> None:
    config = tiny_config("none")
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, generator_skip=True, generator_adjust=True),
        motion_loss=dataclasses.replace(config.motion_loss, landmarks=2.0),
        motion=dataclasses.replace(config.motion, rest=("motion_encoder", "flow_decoder")),
    )
    stage, clips = STAGES["motion"](tiny_networks(0, config.model), config, None).train(), face_tensor(4, 2)
    marks = torch.rand(4, 3, 68, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    parts = stage(clips, known=Known(landmarks=marks))[1]
    brought = stage.cycle(clips).brought
    face, neutral = marks[:, :2].flatten(0, 1), marks[:, 2].repeat_interleave(2, 0)
    assert parts["landmarks"].item() == pytest.approx(2 * landmark_flow(brought, face, neutral).item(), rel=1e-4)
    parts["landmarks"].backward()
    touched = {key.split(".")[1] for key, value in stage.named_parameters() if value.grad is not None}
    assert touched == {"face_generator"}


def test_the_neutral_face_is_asked_to_be_like_the_true_one_by_the_identity_encoder() -> None:
    config = tiny_config("none")
    weights = dataclasses.replace(config.motion_loss, true_neutral=1.0, likeness=3.0, features=2.0, agreement=4.0)
    config = dataclasses.replace(config, motion_loss=weights)
    stage, clips = STAGES["motion"](tiny_networks(), config, None).train(), face_tensor(3)
    parts = stage(clips, known=Known(neutral=clips.mean(1)))[1]
    cycle, wanted = stage.cycle(clips), clips.mean(1).repeat_interleave(2, 0)
    expected = 3 * unlikeness(stage.networks.identity_encoder, cycle.neutral, wanted)
    assert parts["likeness"].item() == pytest.approx(expected.item(), rel=1e-4)
    made_of = [(cycle.neutral, wanted), (cycle.restored, cycle.face)]
    expected = 2 * sum(unlike_features(stage.networks.identity_encoder, *pair) for pair in made_of)
    assert parts["features"].item() == pytest.approx(expected.item(), rel=1e-4)
    found = stage.networks.identity_encoder.layers(cycle.neutral)
    swapped = [layer.unflatten(0, (-1, 2)).flip(1).flatten(0, 1) for layer in found]
    assert parts["agreement"].item() == pytest.approx(4 * feature_distance(found, swapped).item(), rel=1e-4)
    (parts["likeness"] + parts["features"] + parts["agreement"]).backward()
    touched = {key.split(".")[1] for key, value in stage.named_parameters() if value.grad is not None}
    assert touched == PARTS["motion"]


@pytest.mark.parametrize("name", STAGES)
def test_networks_may_rest(name: str) -> None:
    config = tiny_config("none")
    resting = f"{name}_encoder"
    config = dataclasses.replace(config, **{name: dataclasses.replace(getattr(config, name), rest=(resting,))})
    stage = STAGES[name](tiny_networks(), config, None).train()
    grouped = {id(parameter) for group in parameter_groups(stage) for parameter in group["params"]}
    stage(face_tensor(3))[0].backward()
    for key, value in stage.named_parameters():
        learns = key.split(".")[1] in PARTS[name] - {resting}
        assert (id(value) in grouped) == (value.grad is not None) == learns, key


@pytest.mark.parametrize("rest", [("identity_encoder",), ("flow",), tuple(PARTS["motion"])])
def test_what_a_stage_does_not_train_cannot_rest_in_it_nor_can_all_of_it(rest: tuple[str, ...]) -> None:
    config = tiny_config("none")
    config = dataclasses.replace(config, motion=dataclasses.replace(config.motion, rest=rest))
    with pytest.raises(FaceCycleError, match=r"motion\.rest = .*(trains no network|nothing is left)"):
        STAGES["motion"](tiny_networks(), config, None)


def test_the_identity_code_is_held_apart_from_the_frozen_motion_code() -> None:
    config = tiny_config("none")
    config = dataclasses.replace(config, identity_loss=dataclasses.replace(config.identity_loss, independence=3.0))
    stage, clips = STAGES["identity"](tiny_networks(), config, None).train(), face_tensor(3)
    parts = stage(clips, None, clips)[1]
    codes, motion = (
        encoder(clips.flatten(0, 1)).unflatten(0, (3, 2))
        for encoder in (stage.networks.identity_encoder, stage.networks.motion_encoder)
    )
    assert parts["independence"].item() == pytest.approx(3 * dependence(codes, motion).item(), rel=1e-4)
    parts["independence"].backward()
    touched = {key.split(".")[1] for key, value in stage.named_parameters() if value.grad is not None}
    assert touched == {"identity_encoder"}


@pytest.mark.parametrize("name", STAGES)
def test_a_stride_lets_one_clip_in_so_many_go_round(name: str) -> None:
    config = tiny_config("none")
    strided = dataclasses.replace(config, data=dataclasses.replace(config.data, cycle_stride=2))
    clips, networks = face_tensor(4), tiny_networks()
    every, some = (STAGES[name](networks, c, None)(x)[0] for c, x in ((config, clips[::2]), (strided, clips)))
    torch.testing.assert_close(every, some)


def test_swapped_identity_codes_restore_the_other_frame() -> None:
    config = tiny_config("none")
    config = dataclasses.replace(config, identity_loss=dataclasses.replace(config.identity_loss, swap=True))
    stage, clips = STAGES["identity"](tiny_networks(), config, None).eval(), face_tensor(2)
    networks, cycle = stage.networks, stage.cycle(clips)
    swapped = cycle.identity.unflatten(0, (2, 2)).flip(1).flatten(0, 1)
    torch.testing.assert_close(cycle.restored_neutral, networks.identity_transfer.restore(cycle.mean_face, swapped))
