"""Whole runs: resumed they equal an uninterrupted one to the bit, whatever they were interrupted by."""

from __future__ import annotations

import dataclasses
import re
import resource
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from facecycle.errors import FaceCycleError
from facecycle.model.networks import Networks
from facecycle.model.weights import load_networks, read_weights, save_weights
from facecycle.synthetic.write import synth
from facecycle.train import checkpoint, loop
from facecycle.train.augment import centre
from facecycle.train.data import open_sources
from facecycle.train.stage import MotionStage
from facecycle.train.tracking import Tracker
from facecycle.train.truth import truth_of
from tiny import MODEL, make_faceset, records, resume_tiny, tiny_config, tiny_networks, tiny_stage, train_tiny

CHECKPOINTS = ["motion-00000003", "motion-00000006", "identity-00000003", "identity-00000006"]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_faceset(tmp_path_factory.mktemp("faces") / "set", [6, 5, 4, 1, 6])


@pytest.fixture(scope="module")
def whole(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    assert train_tiny(run, tiny_config(faces, keep=9)) is True
    return run


def assert_equal_runs(run: Path, other: Path) -> None:
    assert records(run) == records(other)
    left, right = (load_file(folder / "weights.safetensors") for folder in (run, other))
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_a_run_leaves_everything_that_is_promised(whole: Path, faces: Path) -> None:
    assert [path.name for path in checkpoint.complete(whole / "checkpoints")] == CHECKPOINTS
    lines = records(whole)
    for stage in ("motion", "identity"):
        assert [e["step"] for e in lines if e["stage"] == stage and e["split"] == "train"] == [1, 2, 3, 4, 5, 6]
        assert [e["step"] for e in lines if e["stage"] == stage and e["split"] == "validation"] == [3, 6]
        for step in (3, 6):
            with Image.open(whole / f"previews/{stage}-{step:08d}.png") as preview:
                assert preview.width > 500
    assert all({"loss", "restored_l1", "code_rank"} <= set(e) for e in lines if e["split"] == "validation")
    networks, about = load_networks(whole)
    assert about.licence == "CC0"
    assert (about.trained["stage"], about.trained["step"], about.trained["data"]) == ("identity", 6, str(faces))
    assert not networks.training


@pytest.mark.parametrize("last", CHECKPOINTS[:-1])
def test_a_resumed_run_equals_an_uninterrupted_one(last: str, whole: Path, tmp_path: Path) -> None:
    """Killed some time after the checkpoint ``last``: later ones are taken away, later records and weights stay."""
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    for name in CHECKPOINTS[CHECKPOINTS.index(last) + 1 :]:
        shutil.rmtree(run / "checkpoints" / name)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('[]\n{"a": 1}\n{"stage": "identity", "st')  # somebody's, and cut by the kill
    assert resume_tiny(run) is True
    assert_equal_runs(run, whole)


def test_a_run_without_checkpoints_begins_anew(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    shutil.rmtree(run / "checkpoints")
    assert resume_tiny(run) is True
    assert_equal_runs(run, whole)


def test_what_else_lies_in_the_folder_is_left_alone(faces: Path, tmp_path: Path) -> None:
    run, others = tmp_path / "run", tmp_path / "run/checkpoints/of-others"
    assert train_tiny(run, tiny_config(faces), minutes=0.0) is False
    others.mkdir()
    (others / "state.json").write_text("{}")
    assert train_tiny(run, tiny_config(faces), stage="motion") is True  # the former run made no step
    assert others.is_dir()
    with pytest.raises(FaceCycleError, match="holds a run already"):
        train_tiny(run, tiny_config(faces))


def test_resuming_a_finished_run_changes_nothing(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    assert resume_tiny(run) is True
    assert_equal_runs(run, whole)


def test_stages_can_be_trained_by_two_commands(whole: Path, faces: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train_tiny(run, tiny_config(faces, keep=9), stage="motion") is True
    assert read_weights(run).trained["stage"] == "motion"
    assert resume_tiny(run, stage="identity") is True
    assert_equal_runs(run, whole)


def test_the_clock_stops_a_run_cleanly(whole: Path, faces: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train_tiny(run, tiny_config(faces, keep=9), minutes=0.0) is False
    assert [path.name for path in checkpoint.complete(run / "checkpoints")] == ["motion-00000000"]
    assert resume_tiny(run) is True
    assert_equal_runs(run, whole)


def test_the_config_of_a_run_reproduces_it(whole: Path, tmp_path: Path) -> None:
    from facecycle.train import start

    assert start(run=tmp_path / "run", config=whole / "config.toml", device="cpu") is True
    assert_equal_runs(tmp_path / "run", whole)


def test_the_last_few_checkpoints_are_kept(faces: Path, tmp_path: Path) -> None:
    assert train_tiny(tmp_path / "run", tiny_config(faces, checkpoint_every=1, keep=2), stage="motion") is True
    kept = [path.name for path in (tmp_path / "run/checkpoints").iterdir()]
    assert sorted(kept) == ["motion-00000005", "motion-00000006"]


def test_init_takes_the_weights_and_nothing_else(whole: Path, faces: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train_tiny(run, tiny_config(faces), stage="identity", init=whole) is True
    state, tensors = checkpoint.load(run / "checkpoints/identity-00000003")
    assert state.averaged == 3
    steps = {int(value) for name, value in tensors["optimizer"].items() if name.endswith("/step")}
    assert steps == {3}  # the optimizer began anew
    before, after = (load_file(folder / "weights.safetensors") for folder in (whole, run))
    for name in before:
        frozen = not name.startswith("identity")
        assert torch.equal(before[name], after[name]) == frozen, name
    # Such a run is gone on with as what it is.
    shutil.rmtree(run / "checkpoints/identity-00000006")
    with pytest.raises(FaceCycleError, match="trained the identity stage alone; go on with --stage identity"):
        resume_tiny(run)
    assert resume_tiny(run, stage="identity") is True
    resumed = load_file(run / "weights.safetensors")
    assert all(torch.equal(resumed[name], after[name]) for name in after)


def test_weights_keep_the_terms_of_those_they_began_with(whole: Path, faces: Path, tmp_path: Path) -> None:
    licensed, run = tmp_path / "licensed", tmp_path / "run"
    networks, about = load_networks(whole)
    licensed.mkdir()
    save_weights(networks, licensed / "weights.safetensors", about.model, "research only", about.trained)
    assert train_tiny(run, tiny_config(faces), stage="identity", init=licensed) is True
    assert read_weights(run).licence == f"research only; {about.licence}"
    shutil.rmtree(run / "checkpoints/identity-00000006")
    assert resume_tiny(run, stage="identity") is True
    assert read_weights(run).licence == f"research only; {about.licence}"


def test_init_takes_single_networks_and_lets_the_others_differ(whole: Path, faces: Path, tmp_path: Path) -> None:
    run, parts = tmp_path / "run", ["motion_encoder", "flow_decoder"]
    config = tiny_config(faces, motion=1)
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, generator_blocks=2),
        motion=dataclasses.replace(config.motion, lr=(1e-12,)),
    )
    assert train_tiny(run, config, stage="motion", init=whole, init_parts=parts) is True
    before, after = (load_file(folder / "weights.safetensors") for folder in (whole, run))
    same = [name for name in before if name in after and torch.allclose(before[name], after[name], atol=1e-6)]
    assert {name for name in before if name.split(".")[0] in parts} <= set(same)
    assert not any(name.startswith("face_generator.blocks.0.weight") for name in same)
    with pytest.raises(FaceCycleError, match="no network is called 'nose': choose of motion_encoder, "):
        train_tiny(tmp_path / "other", config, init=whole, init_parts=["nose"])


def test_a_run_that_is_killed_at_once_still_knows_what_it_began_with(whole: Path, faces: Path, tmp_path: Path) -> None:
    run, again = tmp_path / "run", tmp_path / "again"
    licensed = tmp_path / "licensed"
    licensed.mkdir()
    networks, about = load_networks(whole)
    save_weights(networks, licensed / "weights.safetensors", about.model, "research only", about.trained)
    assert train_tiny(run, tiny_config(faces, keep=9), init=licensed) is True
    shutil.copytree(run, again)
    for path in checkpoint.complete(again / "checkpoints")[1:]:
        shutil.rmtree(path)
    other = tmp_path / "other"
    shutil.copytree(again, other)
    assert train_tiny(other, tiny_config(faces, keep=9), init=licensed) is True  # it may also begin once more
    assert_equal_runs(other, run)
    shutil.rmtree(licensed)
    assert resume_tiny(again) is True
    assert_equal_runs(again, run)
    assert read_weights(again).licence == "research only; CC0"


def test_half_precision_goes_on_to_the_bit(faces: Path, tmp_path: Path) -> None:
    """Its gradients are scaled, by what the steps before have shown to be safe."""
    run, again = tmp_path / "run", tmp_path / "again"
    assert train_tiny(run, tiny_config(faces, precision="16-mixed"), stage="motion") is True
    scales = [checkpoint.read_state(path).precision for path in checkpoint.complete(run / "checkpoints")]
    assert scales[0]["scale"] < 2**16  # where it begins: some step was too much
    shutil.copytree(run, again)
    shutil.rmtree(again / "checkpoints/motion-00000006")
    assert resume_tiny(again, stage="motion") is True
    assert_equal_runs(again, run)
    assert checkpoint.read_state(again / "checkpoints/motion-00000006").precision == scales[1]


def test_a_disk_that_is_full_is_one_line(faces: Path, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # a file of weights does not fit
    try:
        with pytest.raises(FaceCycleError, match=r"checkpoint at step 3 could not be written \(.+\); free some room"):
            train_tiny(tmp_path / "run", tiny_config(faces, validate_every=100), stage="motion")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_records_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    tracker = Tracker(tmp_path)
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(
        FaceCycleError, match=r"metrics\.jsonl: what step 7 gave could not be written \(Is a directory\)"
    ):
        tracker.write("motion", 7, "train", {"loss": 1.0})
    tracker.close()


def test_a_run_goes_on_with_the_same_faces_wherever_they_lie(whole: Path, faces: Path, tmp_path: Path) -> None:
    run, moved, other = tmp_path / "run", tmp_path / "moved", make_faceset(tmp_path / "other", [6, 5, 4, 1, 5])
    shutil.copytree(whole, run)
    shutil.copytree(faces, moved)
    shutil.rmtree(run / "checkpoints" / CHECKPOINTS[-1])
    with pytest.raises(
        FaceCycleError, match=r"other: not what .* has learnt from \(21 frames, .*; it was 22 frames, .*\); name that"
    ):
        resume_tiny(run, data=other)
    assert resume_tiny(run, data=moved) is True
    assert_equal_runs(run, whole)


@pytest.mark.parametrize("name", ["likeness", "features", "agreement"])
def test_faces_are_not_compared_by_an_encoder_that_has_learnt_nothing(name: str, tmp_path: Path) -> None:
    config = tiny_config("none")
    taught = dataclasses.replace(config.motion_loss, **{name: 1.0})
    with pytest.raises(FaceCycleError, match=rf"motion_loss\.{name} = 1\.0 .* begin with --init WEIGHTS"):
        loop.check_taught(dataclasses.replace(config, motion_loss=taught))
    loop.check_taught(config)


def test_what_is_checked_is_the_average(faces: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    config = dataclasses.replace(tiny_config(faces, ema=0.99), motion=tiny_stage(3, rate=0.03))
    assert train_tiny(run, config, stage="motion") is True
    _, tensors = checkpoint.load(run / "checkpoints/motion-00000003")
    said = next(line for line in records(run) if line["split"] == "validation")
    shown = open_sources(str(faces), config).validation
    stored = torch.stack([torch.as_tensor(shown[0, k]) for k in range(min(4, len(shown)))])
    found = {}
    for name in ("averaged", "networks"):
        stage = MotionStage(tiny_networks(), config, None).eval()
        stage.networks.load_state_dict(tensors[name])
        with torch.no_grad():
            found[name] = float(stage.objective(stage.cycle(centre(stored, 32))).total)
    assert found["averaged"] != pytest.approx(found["networks"], rel=1e-3)
    assert said["loss"] == pytest.approx(found["averaged"], rel=1e-4)


def test_every_clip_is_compared_with_another_however_many_are_checked(tmp_path: Path) -> None:
    run, faces = tmp_path / "run", make_faceset(tmp_path / "faces", [17, 17, 17])
    config = tiny_config(faces, motion=0, validation_clips=17)
    assert train_tiny(run, config, stage="motion") is True
    _, tensors = checkpoint.load(run / "checkpoints/motion-00000000")
    stage = MotionStage(tiny_networks(), config, None).eval()
    stage.networks.load_state_dict(tensors["averaged"])
    shown = open_sources(str(faces), config).validation
    clips = centre(torch.stack([torch.as_tensor(shown[0, k]) for k in range(17)]), 32)
    with torch.no_grad():
        halves = [float(stage.check(stage.cycle(part))["neutral_l1_other_person"]) for part in (clips[:9], clips[9:])]
    assert records(run)[0]["neutral_l1_other_person"] == pytest.approx((9 * halves[0] + 8 * halves[1]) / 17, rel=1e-4)


def test_init_of_another_size_is_refused(whole: Path, faces: Path, tmp_path: Path) -> None:
    config = tiny_config(faces)
    other = dataclasses.replace(config, model=dataclasses.replace(config.model, code_dim=24))
    with pytest.raises(FaceCycleError, match=r"weights\.safetensors: .* has shape"):
        train_tiny(tmp_path / "run", other, init=whole)


def test_a_checkpoint_that_does_not_fit_the_configuration_is_refused(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    text = (run / "config.toml").read_text()
    (run / "config.toml").write_text(text.replace("code_dim = 16", "code_dim = 24"))
    with pytest.raises(FaceCycleError, match=r"does not fit the configuration .* resume with the config\.toml"):
        resume_tiny(run)


def exploding(faces: Path, **train: object):
    config = tiny_config(faces, clip_gradient=0.0, **train)
    return dataclasses.replace(config, motion=dataclasses.replace(config.motion, lr=(1e25,), warmup=0))


def test_a_loss_that_is_no_number_names_the_last_good_checkpoint(faces: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    config = exploding(faces, checkpoint_every=1)
    with pytest.raises(FaceCycleError, match=r"the loss is \w+ at step 2; last good checkpoint: .*motion-00000001"):
        train_tiny(run, config, stage="motion")
    checkpoint.load(run / "checkpoints/motion-00000001")


def test_weights_that_are_no_numbers_are_not_kept(faces: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(FaceCycleError, match=r"last good checkpoint: none yet; lower the learning rate"):
        train_tiny(run, exploding(faces, log_every=100, checkpoint_every=4, validate_every=100), stage="motion")
    assert not checkpoint.complete(run / "checkpoints")


def test_a_run_that_has_diverged_says_so_before_anything_is_made_of_it(faces: Path, tmp_path: Path) -> None:
    for name, train in (("validated", {"validate_every": 2}), ("fitted", {"validate_every": 100})):
        config = exploding(faces, log_every=100, checkpoint_every=100, **train)
        if name == "fitted":
            config = dataclasses.replace(
                config,
                model=dataclasses.replace(config.model, discriminants=3, erase=2),
                motion=tiny_config(faces).motion,
                identity=dataclasses.replace(config.identity, lr=(1e25,), warmup=0),
            )
        with pytest.raises(FaceCycleError, match="the weights are not finite at step"):
            train_tiny(tmp_path / name, config)


def test_the_identity_stage_does_not_stand_on_half_a_motion_stage(whole: Path, faces: Path, tmp_path: Path) -> None:
    run, config = tmp_path / "run", tiny_config(faces, keep=9)
    assert train_tiny(run, config, stage="motion", minutes=0.0) is False
    with pytest.raises(FaceCycleError, match=r"stands at step 0 of 6.*finish it with --resume --stage motion"):
        resume_tiny(run, stage="identity")
    mixed = tmp_path / "mixed"  # as earlier versions let it come about
    shutil.copytree(whole, mixed)
    shutil.rmtree(mixed / "checkpoints/motion-00000006")
    with pytest.raises(FaceCycleError, match=r"stands at step 3 of 6.*begin a new run with --init"):
        resume_tiny(mixed)
    assert resume_tiny(run) is True
    assert_equal_runs(run, whole)


def test_a_run_that_never_reached_a_checkpoint_is_not_resumed_without_what_it_began_with(
    whole: Path, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "begin", killed)
        with pytest.raises(KeyboardInterrupt):
            train_tiny(run, tiny_config(faces), init=whole)
    with pytest.raises(FaceCycleError, match=f"begin it again with --init {re.escape(str(whole))}"):
        resume_tiny(run)
    assert train_tiny(run, tiny_config(faces), init=whole) is True
    assert resume_tiny(run) is True


def test_init_that_was_built_otherwise_is_refused_with_both_values(whole: Path, faces: Path, tmp_path: Path) -> None:
    config = tiny_config(faces)
    for name, value in (("code_norm", True), ("flow_inverse", "fixed-point")):
        other = dataclasses.replace(config, model=dataclasses.replace(MODEL, **{name: value}))
        with pytest.raises(FaceCycleError, match=f"trained with model.{name} = {getattr(MODEL, name)}.*has {value}"):
            train_tiny(tmp_path / name, other, init=whole)


def test_as_many_clips_go_round_the_cycle_in_several_processes(faces: Path) -> None:
    config = tiny_config(faces)
    strided = dataclasses.replace(config, data=dataclasses.replace(config.data, cycle_stride=2))
    for world in (1, 2):
        loop.check_stride(strided, "motion", world)
    with pytest.raises(FaceCycleError, match=r"motion.batch_size = 4 over 4 processes.*use a multiple of 8"):
        loop.check_stride(strided, "motion", 4)


def test_the_truth_is_asked_of_generated_faces_only(faces: Path, tmp_path: Path) -> None:
    config = tiny_config(faces)
    asked = dataclasses.replace(config, motion_loss=dataclasses.replace(config.motion_loss, truth=1.0))
    with pytest.raises(FaceCycleError, match=r"augment\.mirror=0"):
        train_tiny(tmp_path / "mirrored", asked)
    assert truth_of(open_sources(str(faces), config).training, config, "motion") is None
    rival = dataclasses.replace(asked, method="simclr")  # rivals are asked for nothing but their own terms
    assert truth_of(open_sources(str(faces), config).training, rival, "motion") is None
    marked = dataclasses.replace(config, motion_loss=dataclasses.replace(config.motion_loss, landmarks=1.0))
    with pytest.raises(FaceCycleError, match=r"landmarks = 1\.0 needs true_neutral too"):
        train_tiny(tmp_path / "marked", marked)
    for name in ("likeness", "features", "agreement"):
        alike = dataclasses.replace(config, motion_loss=dataclasses.replace(config.motion_loss, **{name: 1.0}))
        with pytest.raises(FaceCycleError, match=rf"{name} = 1\.0 needs motion_loss\.true_neutral too"):
            train_tiny(tmp_path / name, alike)
    asked = dataclasses.replace(asked, augment=dataclasses.replace(config.augment, mirror=0.0))
    with pytest.raises(FaceCycleError, match="facecycle synth wrote"):
        train_tiny(tmp_path / "drawn", asked)
    told = dataclasses.replace(config, model=dataclasses.replace(config.model, expression=True))
    with pytest.raises(FaceCycleError, match=r"model\.expression = true needs a face set that facecycle synth wrote"):
        train_tiny(tmp_path / "told", told)


def test_independence_needs_no_contrast(faces: Path, tmp_path: Path) -> None:
    config = tiny_config(faces, motion=1, identity=2)
    apart = dataclasses.replace(config.identity_loss, contrast=0.0, independence=1.0)
    assert train_tiny(tmp_path / "run", dataclasses.replace(config, identity_loss=apart)) is True
    lines = [line for line in records(tmp_path / "run") if line["stage"] == "identity" and line["split"] == "train"]
    assert all(line["independence"] > 0 for line in lines)


def test_a_run_is_taught_by_the_generator_where_it_can_be(faces: Path, tmp_path: Path) -> None:
    """A set with the generator's truth and one without, in one run: values, neutral faces, skip, independence."""
    synth(tmp_path / "synthetic", people=4, clips=2, frames=2, size=32, neutral=True)
    config = tiny_config(f"{tmp_path / 'synthetic'},{faces}", motion=3, identity=3)
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(
            config.model,
            generator_skip=True,
            equivariant=True,
            expression_code=True,
            expression=True,
            discriminants=4,
            erase=3,
        ),
        data=dataclasses.replace(config.data, across_clips=True),
        augment=dataclasses.replace(config.augment, mirror=0.0),
        motion_loss=dataclasses.replace(config.motion_loss, truth=1.0, true_neutral=1.0, landmarks=1.0),
        identity_loss=dataclasses.replace(config.identity_loss, contrast=1.0, independence=1.0),
    )
    run = tmp_path / "run"
    assert train_tiny(run, config) is True
    motion, identity = (
        [line for line in records(run) if line["stage"] == name and line["split"] == "train"]
        for name in ("motion", "identity")
    )
    assert max(line["truth"] for line in motion) > 0  # a batch may hold no generated face
    assert max(line["true_neutral"] for line in motion) > 0
    assert max(line["landmarks"] for line in motion) > 0
    assert all("independence" in line and "true_neutral" not in line for line in identity)
    assert read_weights(run).licence == "CC0-1.0; CC0"
    erased = load_networks(run)[0].identity_encoder.get_submodule("code.eraser").kept
    assert int(torch.linalg.matrix_rank(erased, atol=1e-3)) == MODEL.code_dim - 3
    finished(run)
    apart = tmp_path / "apart"
    assert train_tiny(apart, config, stage="motion") is True
    assert resume_tiny(apart, stage="identity") is True  # which lacks the layer that was told the truth
    assert_equal_runs(apart, run)
    more = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, generator_adjust=True, mirrored=True),
        motion=dataclasses.replace(config.motion, rest=("motion_encoder", "flow_decoder")),
        motion_loss=dataclasses.replace(config.motion_loss, likeness=1.0, features=1.0, agreement=1.0),
        identity=dataclasses.replace(config.identity, rest=("identity_encoder",)),
        train=dataclasses.replace(config.train, mirror=True),
    )
    again = tmp_path / "again"
    assert train_tiny(again, more, init=run) is True  # the layer that reads the truth begins anew, and so what adjusts
    before, after = (load_networks(path)[0].state_dict() for path in (run, again))
    changed = {name.split(".")[0] for name, value in before.items() if not torch.equal(after[name], value)}
    assert changed == {"face_generator", "identity_transfer"}
    assert {name for name in after if name not in before} == {name for name in after if ".adjust." in name}


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "set"
    synth(folder, people=4, clips=1, frames=3, size=32)
    return folder


def finished(run: Path) -> Networks:
    """The networks of a run, of which both is known that is found in closed form."""
    networks = load_networks(run)[0]
    assert networks.expression is not None
    assert networks.expression.fitted
    assert networks.motion_encoder.code_mirror is not None
    assert networks.motion_encoder.code_mirror.fitted
    assert networks.motion_encoder.expression_code is not None
    assert networks.motion_encoder.expression_code.fitted
    return networks


def test_what_is_found_at_the_end_is_found_where_a_run_stops_and_anew_when_it_goes_on(
    synthetic: Path, tmp_path: Path
) -> None:
    config = tiny_config(synthetic, motion=4, identity=2)
    config = dataclasses.replace(
        config, model=dataclasses.replace(MODEL, equivariant=True, expression_code=True, expression=True)
    )
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train_tiny(whole, config) is True
    assert train_tiny(parts, config, minutes=0.0) is False
    first = finished(parts)
    assert resume_tiny(parts) is True
    assert_equal_runs(parts, whole)
    last = finished(parts)
    assert last.expression is not None
    assert first.expression is not None
    assert not torch.equal(first.expression.weight, last.expression.weight)


def test_a_run_that_was_killed_before_its_end_was_found_finds_it_later(
    synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(synthetic, motion=4, identity=2)
    config = dataclasses.replace(
        config, model=dataclasses.replace(MODEL, equivariant=True, expression_code=True, expression=True)
    )
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert train_tiny(whole, config, stage="motion") is True

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "finish_motion", killed)
        with pytest.raises(KeyboardInterrupt):
            train_tiny(run, config, stage="motion")
    late = tmp_path / "late"
    shutil.copytree(run, late)
    assert resume_tiny(run, stage="motion") is True
    finished(run)
    assert_equal_runs(run, whole)
    assert resume_tiny(late, stage="identity") is True  # which finds it too
    before = (late / "weights.safetensors").read_bytes()
    assert resume_tiny(late) is True
    assert (late / "weights.safetensors").read_bytes() == before


def test_an_identity_stage_that_begins_with_older_weights_finds_what_they_lack(synthetic: Path, tmp_path: Path) -> None:
    config = tiny_config(synthetic, motion=2, identity=2)
    assert train_tiny(tmp_path / "older", config, stage="motion") is True
    model = dataclasses.replace(MODEL, equivariant=True, expression_code=True, expression=True)
    newer = dataclasses.replace(config, model=model)
    assert train_tiny(tmp_path / "newer", newer, stage="identity", init=tmp_path / "older") is True
    found = finished(tmp_path / "newer")
    parts = ["motion_encoder", "flow_decoder"]
    assert train_tiny(tmp_path / "part", newer, stage="identity", init=tmp_path / "newer", init_parts=parts) is True
    again = finished(tmp_path / "part")
    assert again.expression is not None
    assert found.expression is not None
    assert torch.equal(again.expression.weight, found.expression.weight)  # it goes with the flow
    plain = tmp_path / "plain"
    assert train_tiny(plain, config, stage="identity", init=tmp_path / "newer") is True  # and may be left behind
    assert load_networks(plain)[0].expression is None


def test_stages_of_no_steps_find_anew_what_is_solved_for_and_nothing_else(synthetic: Path, tmp_path: Path) -> None:
    config = tiny_config(synthetic, motion=2, identity=2)
    model = dataclasses.replace(MODEL, equivariant=True, expression_code=True, discriminants=4, erase=3)
    config = dataclasses.replace(config, model=model)
    before, after = tmp_path / "before", tmp_path / "after"
    assert train_tiny(before, config) is True
    three = dataclasses.replace(
        config,
        motion=dataclasses.replace(config.motion, steps=0),
        identity=dataclasses.replace(config.identity, steps=0),
        data=dataclasses.replace(config.data, frames_per_clip=3),  # other frames than it was found on
    )
    assert train_tiny(after, three, init=before) is True
    old, new = (load_file(run / "weights.safetensors") for run in (before, after))
    found = ("motion_encoder.code_mirror.", "motion_encoder.expression_code.", "identity_encoder.code.")
    changed = {name for name, value in old.items() if not torch.equal(new[name], value)}
    assert changed
    assert all(name.startswith(found) for name in changed)
    assert {part for part in found if any(name.startswith(part) for name in changed)} == set(found)
    assert [path.name for path in checkpoint.complete(after / "checkpoints")] == [
        "motion-00000000",
        "identity-00000000",
    ]
    assert {(line["stage"], line["step"], line["split"]) for line in records(after)} == {
        (stage, 0, "validation") for stage in ("motion", "identity")
    }
    written = (after / "weights.safetensors").stat().st_mtime_ns
    assert resume_tiny(after) is True
    assert (after / "weights.safetensors").stat().st_mtime_ns == written
    assert train_tiny(tmp_path / "alone", three, stage="identity", init=before) is True
    alone = load_file(tmp_path / "alone/weights.safetensors")
    changed = {name for name, value in old.items() if not torch.equal(alone[name], value)}
    assert changed
    assert all(name.startswith("identity_encoder.code.") for name in changed)


def test_once_its_end_is_fitted_the_identity_encoder_rests_also_where_a_run_goes_on(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config(faces, motion=2, identity=10, checkpoint_every=2, keep=100)
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, discriminants=4, erase=3),
        identity_loss=dataclasses.replace(config.identity_loss, contrast=1.0),
    )
    run, again = tmp_path / "run", tmp_path / "again"
    assert train_tiny(run, config) is True
    assert re.findall(r"identity (\d+)/10  fitting the end", capsys.readouterr().out) == ["4", "7"]
    six, eight, ten = (checkpoint.load(run / f"checkpoints/identity-{step:08d}")[1] for step in (6, 8, 10))
    encoder = [name for name in ten["networks"] if name.startswith("identity_encoder")]
    assert all(torch.equal(eight["networks"][name], ten["networks"][name]) for name in encoder)
    assert all(torch.equal(ten["averaged"][name], ten["networks"][name]) for name in encoder)
    assert not torch.equal(six["networks"][encoder[0]], eight["networks"][encoder[0]])
    transfer = [name for name in ten["networks"] if name.startswith("identity_transfer") and name.endswith("weight")]
    assert any(not torch.equal(eight["networks"][name], ten["networks"][name]) for name in transfer)
    told = [line for line in records(run) if line["stage"] == "identity" and line["split"] == "train"]
    assert [line["step"] for line in told if "contrast" in line] == [1, 2, 3, 4, 5, 6, 7]  # nobody learns from it then

    shutil.copytree(run, again)
    for step in (8, 10):
        shutil.rmtree(again / f"checkpoints/identity-{step:08d}")
    assert resume_tiny(again) is True
    assert_equal_runs(again, run)


def test_who_is_held_out_of_one_set_is_trained_on_in_none(tmp_path: Path) -> None:
    few, many = make_faceset(tmp_path / "few", [2, 2, 2]), make_faceset(tmp_path / "many", [2] * 12)
    for seed in range(12):
        config = tiny_config(few, seed=seed)
        for sources in (f"{few},{many}", f"{many},{few}"):
            mixed = open_sources(sources, config)
            trained, checked = (
                {name for part in side.sets for name in part.faces.columns["person"][part._rows].tolist()}  # type: ignore
                for side in (mixed.training, mixed.validation)
            )
            alone = [part for part in mixed.validation.sets if set(part.faces.people()) <= trained]  # type: ignore
            shown = {name for part in alone for name in part.faces.people()}  # of a set that holds nobody out
            assert not trained & (checked - shown)
            assert len(trained | checked) == 12
