"""What a user can get wrong about a run: one line that names the mend, exit code 2, no traceback."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facecycle.config import save
from facecycle.data.faceset import ShardWriter, finish_faceset, write_faceset
from facecycle.errors import FaceCycleError
from facecycle.train.capture import update
from facecycle.train.launch import build_fabric
from facecycle.train.optimizer import build_adam, moving_average, parameter_groups, rate, set_rate
from facecycle.train.stage import MotionStage
from facecycle.train.truth import NOTHING
from tiny import face_tensor, make_faceset, records, tiny_config, tiny_networks, tiny_stage, train_tiny


def command(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> tuple[int, str]:
    """Exit code and stderr of ``facecycle ARGUMENTS``."""
    from facecycle.cli import main

    monkeypatch.setattr(sys, "argv", ["facecycle", *map(str, arguments)])
    try:
        main()
    except SystemExit as exit_:
        return int(exit_.code or 0), capsys.readouterr().err
    return 0, capsys.readouterr().err


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_faceset(tmp_path_factory.mktemp("faces") / "set", [4, 4, 4])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "huge"], "unknown preset 'huge': choose one of paper, compact, smoke"),
        (["--stage", "both-ways"], "unknown stage 'both-ways': choose motion, identity or both"),
        (["--set", "motion.step=3"], "did you mean motion.steps?"),
        (["--set", "motion.steps=-1"], "motion.steps = -1: must be at least 0"),
        (["--set", "motion.steps=x"], "expected int"),
        (["--precision", "8bit"], "train.precision = '8bit': must be one of"),
        (["--device", "tpu"], "device 'tpu' is not on this machine: choose auto, cpu"),
        (["--device", "cpu:1"], "device 'cpu:1' is not on this machine: choose auto, cpu"),
        (["--device", "cuda:99"], "device 'cuda:99' is not on this machine: choose auto, cpu"),
        (["--device", "cpu", "--set", "perceptual.name=none", "--stage", "identity"], "give --init WEIGHTS"),
        (["--device", "cpu", "--init", "gone"], "no weights 'gone'; looked at"),
        (
            ["--device", "cpu", "--set", "motion_loss.true_neutral=1"],
            "needs a face set that facecycle synth --neutral wrote",
        ),
        (["--config", "gone.toml"], "gone.toml: no such file"),
        (["--config", "gone.toml", "--preset", "smoke"], "give one of them"),
        (["--init-parts", "motion_encoder"], "--init-parts names parts of --init WEIGHTS"),
        (["--data", ","], "data ',' names no face set"),
        (["--resume"], "config.toml: no such file"),
        (["--resume", "--preset", "smoke"], "--resume goes on exactly as configured"),
        (["--resume", "--set", "motion.steps=5"], "--resume goes on exactly as configured"),
        (["--set", "model.image_size=64"], "faces of 32 px, model.image_size is 64"),
    ],
)
def test_one_line_and_exit_code_2(arguments: list[str], message: str, faces: Path, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    size = [] if "model.image_size=64" in arguments or "--resume" in arguments else ["--set", "model.image_size=32"]
    code, error = command(capsys, monkeypatch, "train", "--run", "run", "--data", faces, *size, *arguments)
    assert code == 2
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert error.startswith("facecycle: ")


def test_data_must_be_named_and_there(tmp_path: Path, capsys, monkeypatch) -> None:
    code, error = command(capsys, monkeypatch, "train", "--run", tmp_path / "run")
    assert (code, "no data: give --data FACESET" in error) == (2, True)
    code, error = command(capsys, monkeypatch, "train", "--run", tmp_path / "run", "--data", tmp_path / "gone")
    assert (code, "no face set; make one" in error) == (2, True)


def test_debug_shows_the_traceback(tmp_path: Path, capsys, monkeypatch) -> None:
    with pytest.raises(FaceCycleError):
        command(capsys, monkeypatch, "train", "--run", tmp_path / "run", "--debug")


def test_an_empty_face_set_is_named(tmp_path: Path) -> None:
    root = write_faceset(tmp_path / "set", size=32, margin=0.25, licence="CC0", origin="drawn")
    with ShardWriter(root, 0):
        pass
    finish_faceset(root, 1)
    with pytest.raises(FaceCycleError, match="set: holds no faces"):
        train_tiny(tmp_path / "run", tiny_config(root))


def test_clips_of_one_frame_are_left_out_or_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(FaceCycleError, match=r"none of \d clips holds 2 frames"):
        train_tiny(tmp_path / "run", tiny_config(make_faceset(tmp_path / "ones", [1, 1, 1, 1])))
    some = tiny_config(make_faceset(tmp_path / "some", [3, 3, 1, 3]), motion=1, identity=1)
    some = dataclasses.replace(some, data=dataclasses.replace(some.data, held_out=0.0))
    assert train_tiny(tmp_path / "other", some) is True
    assert "1 clips too short for a pair" in capsys.readouterr().out
    for seed in range(4):  # whoever is held out
        some = dataclasses.replace(some, data=dataclasses.replace(some.data, held_out=0.25))
        some = dataclasses.replace(some, train=dataclasses.replace(some.train, seed=seed))
        assert train_tiny(tmp_path / f"other-{seed}", some) is True
    assert "too short: validation shows the training people" in capsys.readouterr().out


def test_a_used_folder_is_left_alone(faces: Path, tmp_path: Path) -> None:
    run, config = tmp_path / "run", tiny_config(faces, motion=1, identity=1)
    assert train_tiny(run, config) is True
    before = (run / "metrics.jsonl").read_bytes()
    with pytest.raises(FaceCycleError, match=r"run: holds a run already; go on with --resume, or name another --run"):
        train_tiny(run, config)
    assert (run / "metrics.jsonl").read_bytes() == before
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(FaceCycleError, match="file: cannot hold a run"):
        train_tiny(file, config)


@pytest.mark.parametrize("name", ["config.toml", "weights.safetensors", "photo.jpg"])
def test_a_folder_of_other_things_is_left_alone(faces: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("[mine]")
    with pytest.raises(FaceCycleError, match="mine: holds other files, which a run would mix with; name a new --run"):
        train_tiny(tmp_path / "mine", tiny_config(faces, motion=1, identity=1))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == [name]
    assert (tmp_path / "mine" / name).read_text() == "[mine]"


def test_a_run_that_never_reached_a_step_leaves_its_folder_free(faces: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    save(tiny_config(faces, motion=9, identity=9), tmp_path / "run/config.toml")
    assert train_tiny(tmp_path / "run", tiny_config(faces, motion=1, identity=1)) is True


def test_names_with_quotes_and_backslashes(tmp_path: Path, capsys, monkeypatch) -> None:
    odd = make_faceset(tmp_path / 'it\'s "odd" \\n', [3, 3])
    save(tiny_config("replaced", motion=1, identity=1), tmp_path / "c.toml")
    code, error = command(
        capsys, monkeypatch, "train", "--run", tmp_path / "run", "--data", odd, "--config", tmp_path / "c.toml"
    )
    assert (code, error) == (0, "")
    assert records(tmp_path / "run")


def test_the_learning_rate_follows_its_schedule() -> None:
    plain = dataclasses.replace(tiny_stage(100), schedule="steps", lr=(1.0, 2.0, 3.0), lr_at=(0.0, 0.1, 0.5))
    assert [rate(plain, step) for step in (1, 10, 11, 50, 51, 100)] == [1, 1, 2, 2, 3, 3]
    cosine = dataclasses.replace(tiny_stage(100, 1.0), warmup=10)
    rates = [rate(cosine, step) for step in range(1, 101)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert 0 < rates[-1] < 1e-3


@given(st.integers(1, 300), st.integers(1, 1000))
def test_the_highest_rate_is_reached_however_short_the_stage(steps: int, warmup: int) -> None:
    cosine = dataclasses.replace(tiny_stage(steps, 1.0), warmup=warmup)
    rates = [rate(cosine, step) for step in range(1, steps + 1)]
    top = rates.index(max(rates))
    assert rates[top] == 1
    assert top + 1 == min(warmup, (steps + 1) // 2)
    assert rates == sorted(rates[: top + 1]) + sorted(rates[top + 1 :], reverse=True)
    assert steps == 1 or rates[-1] < 1e-3


def test_an_average_forgets_its_first_steps_quickly() -> None:
    averaged, current = [torch.tensor([1.0])], [torch.tensor([2.0])]
    for count, decay, share in ((0, 0.9, 0.1), (8, 0.9, 0.5), (1000, 0.9, 0.9), (1000, 0.0, 0.0)):
        averaged[0].fill_(1.0)
        moving_average(decay, torch.tensor(count))(averaged, current, torch.tensor(0))
        assert averaged[0].item() == pytest.approx(share + 2 * (1 - share))


@pytest.mark.parametrize("code_share", [0.05, 1.0])
def test_layers_that_make_the_code_learn_at_a_share_of_the_rate(code_share: float) -> None:
    config = tiny_config("unused")
    config = dataclasses.replace(config, motion=dataclasses.replace(config.motion, code_lr=code_share))
    stage = MotionStage(tiny_networks(), config, None)
    code = {id(parameter) for parameter in stage.networks.motion_encoder.code.parameters()}
    shares = {id(p): group["share"] for group in parameter_groups(stage) for p in group["params"]}
    assert {shares[name] for name in code} == {code_share}
    assert {share for name, share in shares.items() if name not in code} == {1.0}


@pytest.mark.parametrize(("largest", "kept"), [(0.5, 0.5), (1e9, 1.0), (0.0, 1.0)])
def test_a_gradient_is_shortened_where_it_is_too_long(largest: float, kept: float) -> None:
    fabric = build_fabric("cpu", "32-true")

    class Steep(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.at = torch.nn.Parameter(torch.zeros(4))

        def forward(self, *_: object) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            return self.at.sum() / 2, {}  # a gradient of length 1

    steep = Steep()
    model, optimizer = fabric.setup(steep, torch.optim.SGD(steep.parameters(), lr=1.0))
    update(fabric, model, optimizer, largest, face_tensor(1), None, None, NOTHING)
    assert steep.at.norm().item() == pytest.approx(kept, rel=1e-4)


def test_what_rests_does_not_shorten_the_rest_of_the_gradient() -> None:
    fabric, parts = build_fabric("cpu", "32-true"), torch.nn.ParameterList([torch.zeros(4), torch.zeros(4)])

    class Steep(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = parts

        def forward(self, *_: object) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            return parts[0].sum() / 2 + 1000 * parts[1].sum(), {}

    groups = [{"params": [parts[0]]}, {"params": [parts[1]], "lr": 0.0, "rests": True}]
    model, optimizer = fabric.setup(Steep(), torch.optim.SGD(groups, lr=1.0))
    update(fabric, model, optimizer, 1.0, face_tensor(1), None, None, NOTHING)
    assert [part.norm().item() for part in parts] == pytest.approx([1, 0], rel=1e-4)


def test_a_step_that_can_be_captured_is_the_step() -> None:
    config = tiny_config("unused")
    learnt = []
    for captured in (False, True):
        stage = MotionStage(tiny_networks(), config, None)
        adam = build_adam(stage, captured)
        rates = [group["lr"] for group in adam.param_groups]
        for step in range(1, 4):
            for group in adam.param_groups:
                set_rate(group, rate(stage.settings(), step) * group["share"])
            adam.zero_grad()
            stage(face_tensor(2))[0].backward()
            adam.step()
        # A recording knows tensors by where they lie.
        assert captured == all(old is group["lr"] for old, group in zip(rates, adam.param_groups, strict=True))
        learnt.append(torch.cat([parameter.detach().flatten() for parameter in stage.networks.parameters()]))
    begun = torch.cat([parameter.flatten() for parameter in tiny_networks().parameters()])
    # Adam makes a whole step even of a gradient that is all rounding, so that single weights may differ.
    assert (learnt[1] - learnt[0]).abs().mean() < 0.01 * (learnt[0] - begun).abs().mean()


def test_half_precision_rounds_what_layers_make_and_not_what_they_are_given() -> None:
    seen = []

    class Doubler(torch.nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            made = super().forward(input)
            seen.extend([input.dtype, made.dtype])
            return made

    build_fabric("cpu", "bf16-mixed").setup(Doubler(2, 2))(torch.rand(3, 2))
    assert seen == [torch.float32, torch.bfloat16]


def test_both_stages_learn_in_half_precision_what_they_learn_in_single(faces: Path, tmp_path: Path) -> None:
    first = {}
    for precision in ("32-true", "bf16-mixed"):
        config = tiny_config(faces, 2, 2)
        config = dataclasses.replace(
            config,
            model=dataclasses.replace(config.model, encoder="gabor"),
            motion_loss=dataclasses.replace(config.motion_loss, contrast=1.0),
            identity_loss=dataclasses.replace(config.identity_loss, contrast=1.0, independence=10.0),
            train=dataclasses.replace(config.train, precision=precision),
        )
        assert train_tiny(tmp_path / precision, config)
        first[precision] = [e["loss"] for e in records(tmp_path / precision) if e["split"] == "train"]
    assert first["bf16-mixed"] == pytest.approx(first["32-true"], rel=0.04)  # AMX: .022
