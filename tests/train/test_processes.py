"""Real processes: signals, kills, and two of them sharing a batch."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from safetensors.torch import load_file

from facecycle.config import load, save
from facecycle.train import checkpoint
from facecycle.train.distributed import same_everywhere
from tiny import QUIET, make_faceset, records, resume_tiny, tiny_config, train_tiny

FACECYCLE = Path(sys.executable).with_name("facecycle")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_faceset(tmp_path_factory.mktemp("faces") / "set", [6, 5, 4, 6])


def begin(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(FACECYCLE), "train", *map(str, arguments)],
        env=QUIET, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for_checkpoints(process: subprocess.Popen[str], run: Path, step: int) -> None:
    deadline = time.monotonic() + 300
    while not [p for p in checkpoint.complete(run / "checkpoints") if int(p.name.split("-")[1]) >= step]:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_killed_resumed_and_terminated(faces: Path, tmp_path: Path) -> None:
    """A checkpoint after every step, so that the kill falls into the writing of one more often than not."""
    run, config = tmp_path / "run", tiny_config(faces, motion=100_000, checkpoint_every=1, validate_every=50_000)
    save(config, tmp_path / "config.toml")
    process = begin("--run", run, "--config", tmp_path / "config.toml", "--device", "cpu")
    wait_for_checkpoints(process, run, 5)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    found = checkpoint.complete(run / "checkpoints")
    assert 1 <= len(found) <= config.train.keep + 1
    states = [checkpoint.load(path)[0] for path in found]  # whole, every one of them
    load_file(run / "weights.safetensors")

    process = begin("--run", run, "--resume", "--device", "cpu")
    wait_for_checkpoints(process, run, states[-1].step + 3)
    process.send_signal(signal.SIGTERM)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert "stopped; go on with --resume" in out
    assert not error
    state, _ = checkpoint.load(checkpoint.complete(run / "checkpoints")[-1])
    lines = records(run)
    assert [line["step"] for line in lines] == list(range(1, state.step + 1))  # none lost, none twice
    assert resume_tiny(run, minutes=0.0) is False


def test_two_processes_equal_one(faces: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    config = tiny_config(faces, motion=4, identity=4, validate_every=2)
    # What is solved for takes part: both processes do it, and one is believed.
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, equivariant=True, discriminants=2),
        identity_loss=dataclasses.replace(config.identity_loss, contrast=1.0, independence=1.0),
    )
    assert train_tiny(one, config) is True
    save(config, tmp_path / "config.toml")
    # The "--" keeps torchrun from taking our --run for an abbreviation of its --run-path.
    together = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--"]
    arguments = ["train", "--run", two, "--config", tmp_path / "config.toml", "--device", "cpu"]
    done = subprocess.run(
        [*together, str(FACECYCLE), *map(str, arguments)], env=QUIET, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished") == 1
    expected, found = records(one), records(two)
    assert [(e["stage"], e["step"], e["split"]) for e in expected] == [
        (f["stage"], f["step"], f["split"]) for f in found
    ]
    for left, right in zip(expected, found, strict=True):
        numbers = {name: value for name, value in left.items() if isinstance(value, float)}
        # Adam makes steps of about the learning rate out of gradients of any size: rounding may turn some around,
        # so only a stage's first step can be the same to the last digit.
        allowed = {"rel": 1e-5, "abs": 1e-6} if left["step"] == 1 else {"rel": 2e-3, "abs": 1e-3}
        if left["split"] == "train":
            assert {name: right[name] for name in numbers} == pytest.approx(numbers, **allowed)
    weights = [load_file(run / "weights.safetensors") for run in (one, two)]
    solved = ("motion_encoder.code_mirror.", "identity_encoder.code.")  # rounding turns directions much further
    learnt = [name for name in weights[0] if not name.startswith(solved)]
    largest = max((weights[0][name] - weights[1][name]).abs().max().item() for name in learnt)
    assert largest < 4 * config.motion.lr[0]
    assert load(one / "config.toml") == load(two / "config.toml")


@pytest.mark.slow
def test_a_compiled_run_computes_the_same(faces: Path, tmp_path: Path) -> None:
    plain, config = tmp_path / "plain", tiny_config(faces, motion=2, identity=2, validate_every=2)
    assert train_tiny(plain, config) is True
    run = tmp_path / "compiled"
    save(config, tmp_path / "config.toml")
    process = begin("--run", run, "--config", tmp_path / "config.toml", "--device", "cpu", "--compile")
    _, error = process.communicate(timeout=1200)
    assert process.returncode == 0, error
    for left, right in zip(records(plain), records(run), strict=True):
        assert right["loss"] == pytest.approx(left["loss"], rel=2e-3)


def children(process: int) -> list[int]:
    """Processes that this one began, and those that they did."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # gone meanwhile
            if int(file.read_text().rpartition(")")[2].split()[1]) == process:
                found += [int(file.parent.name), *children(int(file.parent.name))]
    return found


def alive(process: int) -> bool:
    """Is it there, and not merely waiting to be asked how it ended?"""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def end_all(processes: list[int]) -> None:
    for process in processes:
        with contextlib.suppress(OSError):
            os.kill(process, signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_nobody_outlives_a_killed_run_and_a_killed_reader_is_one_line(faces: Path, tmp_path: Path) -> None:
    config = tiny_config(faces, motion=100_000, checkpoint_every=1, validate_every=50_000)
    save(dataclasses.replace(config, data=dataclasses.replace(config.data, workers=1)), tmp_path / "config.toml")
    for killed_first in ("reader", "run"):
        run = tmp_path / killed_first
        process = begin("--run", run, "--config", tmp_path / "config.toml", "--device", "cpu")
        wait_for_checkpoints(process, run, 2)
        helpers = children(process.pid)
        try:
            assert helpers
            readers = [child for child in helpers if child not in [*children_of(process.pid)]]
            assert len(readers) == 1
            os.kill(readers[0] if killed_first == "reader" else process.pid, signal.SIGKILL)
            _, error = process.communicate(timeout=120)
            deadline = time.monotonic() + 30
            while any(map(alive, helpers)) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert not any(map(alive, helpers))
        finally:
            end_all([process.pid, *helpers])
        if killed_first == "reader":
            assert process.returncode == 2
            first = error.splitlines()[0]  # Python may miss what the killed one had opened, and say so
            assert "a process that reads faces was killed" in first
            assert "--resume" in first
            assert "Traceback" not in error


def children_of(process: int) -> list[int]:
    """Those that it began itself."""
    return [child for child in children(process) if parent_of(child) == process]


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_lost_process_is_one_line_of_the_others(faces: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    config = tiny_config(faces, motion=100_000, checkpoint_every=1, validate_every=50_000)
    save(config, tmp_path / "config.toml")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    together = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    together |= {"GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "test"}
    two = [
        subprocess.Popen(
            [str(FACECYCLE), "train", "--run", str(run), "--config", str(tmp_path / "config.toml"), "--device", "cpu"],
            env={**QUIET, **together, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    try:
        wait_for_checkpoints(two[0], run, 2)
        two[1].kill()
        _, error = two[0].communicate(timeout=120)
        two[1].communicate()
    finally:
        end_all([process.pid for process in two])
    assert two[0].returncode == 2, error
    assert "another process of this run was lost (last checkpoint: " in error
    assert "Traceback" not in error
    assert resume_tiny(run, minutes=0.0) is False  # it can go on


def test_every_process_takes_what_the_first_one_solved_for(tmp_path: Path) -> None:
    processes.spawn(solve, (tmp_path,), nprocs=2)
    mine, believed = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for (was, became), (was_too, became_too) in zip(mine, believed, strict=True):
        assert not torch.equal(was, was_too)
        assert torch.equal(became, was)
        assert torch.equal(became_too, was)


def solve(rank: int, folder: Path) -> None:
    """One process: numbers of its own, and what becomes of them."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.manual_seed(rank)
    module = torch.nn.BatchNorm1d(3)
    torch.nn.init.normal_(module.weight)
    module.register_buffer("found", torch.randn(2, 3).T)
    names = ("weight", "found")
    before = [module.state_dict()[name].clone() for name in names]
    same_everywhere(module, torch.device("cpu"))
    torch.save(list(zip(before, (module.state_dict()[name] for name in names), strict=True)), folder / f"{rank}.pt")
    dist.destroy_process_group()
