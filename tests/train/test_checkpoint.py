"""Checkpoints: whole or not there, the last few kept, and read back to the bit."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import nn

from facecycle.errors import FaceCycleError
from facecycle.train import checkpoint
from facecycle.train.checkpoint import State


def write(folder: Path, stage: str = "motion", step: int = 1, keep: int = 9) -> Path:
    networks = {"a": torch.full((3,), float(step))}
    tensors = {"networks": networks, "averaged": networks, "optimizer": {"a/step": torch.tensor(step)}}
    return checkpoint.save(folder, State(stage, step, "CC0", step), tensors, keep)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    state, tensors = checkpoint.load(write(tmp_path, step=7))
    assert (state.stage, state.step, state.licence, state.averaged) == ("motion", 7, "CC0", 7)
    assert tensors["networks"]["a"].tolist() == [7, 7, 7]
    assert tensors["optimizer"]["a/step"].item() == 7
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".pkl", ".pt", ".pth", ".ckpt")]


def test_the_last_few_of_each_stage_are_kept(tmp_path: Path) -> None:
    for step in (5, 10, 100, 20):
        write(tmp_path, "motion", step, keep=2)
    write(tmp_path, "identity", 3, keep=2)
    assert [path.name for path in checkpoint.complete(tmp_path)] == [
        "motion-00000020", "motion-00000100", "identity-00000003",
    ]  # fmt: skip
    assert not list(tmp_path.glob("*.partial"))


def test_what_a_kill_leaves_is_not_read(tmp_path: Path) -> None:
    good = write(tmp_path, step=1)
    half = tmp_path / "motion-00000002.partial"
    half.mkdir()
    (half / "state.json").write_text("{}")
    (tmp_path / "motion-00000003").mkdir()  # no state in it
    assert checkpoint.complete(tmp_path) == [good]
    write(tmp_path, step=2)  # the next attempt clears the remains
    assert [path.name for path in checkpoint.complete(tmp_path)] == ["motion-00000001", "motion-00000002"]
    assert not half.exists()


@pytest.mark.parametrize("victim", ["safetensors", "rename", "rmtree"])
def test_dying_anywhere_in_a_save_leaves_whole_checkpoints(
    victim: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stop at each step of a save in turn, as a kill would, and read what lies there."""

    class Killed(BaseException):
        pass

    write(tmp_path, step=1)
    write(tmp_path, step=2)
    calls = {"count": 0}
    target = {
        "safetensors": (checkpoint, "to_bytes"),
        "rename": (Path, "rename"),
        "rmtree": (checkpoint.shutil, "rmtree"),
    }
    place, name = target[victim]
    original = getattr(place, name)
    for dies_at, step in [(at, step) for at in range(1, 5) for step in (2 + at, 2)]:  # a new one, and one once more
        calls["count"] = 0

        def dying(*arguments, _dies_at: int = dies_at, **options):
            calls["count"] += 1
            if calls["count"] == _dies_at:
                if victim == "rmtree":
                    for file in sorted(arguments[0].glob("*.safetensors"))[:1]:
                        file.unlink()  # half way through
                raise Killed
            return original(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(place, name, dying)
            with suppress(Killed):
                write(tmp_path, step=step, keep=2)
        found = checkpoint.complete(tmp_path)
        assert found
        for path in found:
            state, tensors = checkpoint.load(path)
            assert tensors["networks"]["a"].tolist() == [state.step] * 3
            assert set(tensors) == {"networks", "averaged", "optimizer"}


def test_a_checkpoint_between_two_names_is_given_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while the only checkpoint is written once more, the former one aside and the new one not yet named."""
    write(tmp_path, step=2, keep=1)
    rename, calls = Path.rename, []

    def dying(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", dying)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, step=2, keep=1)
    assert not checkpoint.complete(tmp_path)
    (tmp_path / "motion-00000003.partial").mkdir()  # not whole
    checkpoint.recover(tmp_path)
    assert [path.name for path in checkpoint.complete(tmp_path)] == ["motion-00000002"]
    assert checkpoint.load(tmp_path / "motion-00000002")[0].step == 2


def test_a_checkpoint_may_lack_a_head_and_nothing_else(tmp_path: Path) -> None:
    module = nn.ModuleDict({"head": nn.Linear(2, 2), "body": nn.Linear(2, 2)})
    body = {name: value for name, value in module.state_dict().items() if name.startswith("body.")}
    checkpoint.fill(module, body, tmp_path)
    with pytest.raises(FaceCycleError, match=r"does not fit the configuration \(no body\.bias\)"):
        checkpoint.fill(module, {"body.weight": torch.zeros(2, 2)}, tmp_path)
    with pytest.raises(FaceCycleError, match=r"\(nose besides\)"):
        checkpoint.fill(module, {**body, "nose": torch.zeros(2)}, tmp_path)
    with pytest.raises(FaceCycleError, match=r"size mismatch for body\.weight"):
        checkpoint.fill(module, {**body, "body.weight": torch.zeros(3, 2)}, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 9, "version": "3.1"}, r"motion-00000001: checkpoint format 9.*facecycle 3\.1"),
        ({"crop": "other"}, "trained on crop 'other'"),
        ({"surprise": 1}, "unreadable checkpoint"),
    ],
)
def test_other_versions_are_refused(change: dict, message: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    state = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps(state | change))
    with pytest.raises(FaceCycleError, match=message):
        checkpoint.load(path)


@pytest.mark.parametrize("file", ["state.json", "networks.safetensors", "optimizer.safetensors"])
def test_a_cut_checkpoint_is_named_with_the_mend(file: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    whole = (path / file).read_bytes()
    (path / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FaceCycleError, match=r"motion-00000001: unreadable checkpoint .* older one"):
        checkpoint.load(path)
    (path / file).unlink()
    with pytest.raises(FaceCycleError, match=r"motion-00000001: unreadable checkpoint .* older one"):
        checkpoint.load(path)


@pytest.mark.parametrize("file", ["networks", "averaged", "optimizer"])
def test_a_part_that_is_not_what_was_written_is_named(file: str, tmp_path: Path) -> None:
    folder = write(tmp_path)
    part = folder / f"{file}.safetensors"
    content = bytearray(part.read_bytes())
    content[-1] ^= 0x10  # a number like any other
    part.write_bytes(content)
    with pytest.raises(FaceCycleError, match=rf"unreadable checkpoint \({file}\.safetensors is not what was written"):
        checkpoint.load(folder)
    state = json.loads((folder / "state.json").read_text())
    del state["sums"], state["data"]  # an older version wrote neither
    (folder / "state.json").write_text(json.dumps(state))
    assert checkpoint.load(folder)[0].sums == {}


@pytest.mark.parametrize("name", ["step", "averaged"])
def test_nothing_was_done_fewer_than_no_times(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path)
    state = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps(state | {name: -3}))
    with pytest.raises(FaceCycleError, match=rf"unreadable checkpoint \(its {name} is -3"):
        checkpoint.load(folder)


def test_a_state_that_is_no_table_is_named(tmp_path: Path) -> None:
    path = write(tmp_path)
    (path / "state.json").write_text("[1]")
    with pytest.raises(FaceCycleError, match="motion-00000001: unreadable checkpoint"):
        checkpoint.load(path)


def test_an_optimizer_goes_on_to_the_bit() -> None:
    def build() -> tuple[nn.Module, torch.optim.Adam]:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = nn.Linear(4, 3)
        return module, torch.optim.Adam(module.parameters(), 1e-2, foreach=True)

    def step(module: nn.Module, optimizer: torch.optim.Adam, count: int) -> None:
        for i in range(count):
            optimizer.zero_grad()
            module(torch.linspace(-1, 1, 8).view(2, 4) * (i + 1)).square().sum().backward()
            optimizer.step()

    module, optimizer = build()
    step(module, optimizer, 3)
    packed = checkpoint.pack_optimizer(optimizer, checkpoint.named(module))
    assert set(packed) == {f"{name}/{q}" for name in ("weight", "bias") for q in ("step", "exp_avg", "exp_avg_sq")}
    other, fresh = build()
    other.load_state_dict(module.state_dict())
    checkpoint.unpack_optimizer(fresh, checkpoint.named(other), {key: value.clone() for key, value in packed.items()})
    step(module, optimizer, 3)
    step(other, fresh, 3)
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), other.parameters(), strict=True))
    with pytest.raises(FaceCycleError, match="optimizer state for gone"):
        checkpoint.unpack_optimizer(fresh, checkpoint.named(other), {"gone/step": torch.tensor(1.0)})


def test_an_optimizer_is_laid_out_as_its_parameters_are() -> None:
    module = nn.Conv2d(8, 4, 3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.rand(1, 8, 4, 4)).sum().backward()
    optimizer.step()
    packed = checkpoint.pack_optimizer(optimizer, checkpoint.named(module))
    stored = {key: value.clone(memory_format=torch.contiguous_format) for key, value in packed.items()}
    optimizer.state.clear()
    checkpoint.unpack_optimizer(optimizer, checkpoint.named(module), stored)
    state = optimizer.state[module.weight]
    assert state["exp_avg"].stride() == state["exp_avg_sq"].stride() == module.weight.stride()
    assert torch.equal(state["exp_avg"], stored["weight/exp_avg"])
