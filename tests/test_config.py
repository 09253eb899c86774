"""Configurations: written and read back they are equal, and every mistake is named with its mend."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from facecycle.config import RunConfig, StageConfig, from_dict, load, override, save, to_dict
from facecycle.errors import FaceCycleError
from facecycle.presets import PRESETS, preset

SECTIONS = {
    field.name: field.default for field in dataclasses.fields(RunConfig) if field.name not in ("preset", "method")
}


def values_of(section: Any, field: dataclasses.Field) -> st.SearchStrategy:
    """Anything that the field allows."""
    limits, hint = field.metadata, get_type_hints(type(section))[field.name]
    if limits.get("choices"):
        return st.sampled_from(limits["choices"])
    low, high = limits.get("low"), limits.get("high")
    if field.name == "image_size":
        return st.integers(low // 16, high // 16).map(lambda n: 16 * n)
    if hint is bool:
        return st.booleans()
    if hint is int:
        return st.integers(low, high if high is not None else 2**40)
    if hint is float:
        return st.floats(low, high if high is not None else 1e12, allow_nan=False)
    text = st.text("aZ09/\\\"'= .#\n\té家😀", max_size=12)
    return st.lists(text, max_size=3) if hint == tuple[str, ...] else text


def section(default: Any) -> st.SearchStrategy[dict[str, Any]]:
    """All values of a section. They are plain: a configuration is only built, and so checked, within a test."""
    fields = [field for field in dataclasses.fields(default) if field.name not in ("lr", "lr_at")]
    drawn = {field.name: values_of(default, field) for field in fields}
    if isinstance(default, StageConfig):
        shares = st.lists(st.floats(0, 1, exclude_max=True), min_size=2, max_size=2).map(
            lambda later: [0.0, *sorted(later)]
        )
        drawn |= {"lr": st.lists(st.floats(1e-9, 1), min_size=3, max_size=3), "lr_at": shares}
    return st.fixed_dictionaries(drawn)


def agreeing(values: dict[str, Any]) -> dict[str, Any]:
    """What lies in its range by itself may not go with the rest."""
    model, train = values["model"], values["train"]
    model["discriminants"] = min(model["discriminants"], model["code_dim"])
    model["erase"] = min(model["erase"], (model["discriminants"] or model["code_dim"]) - 1)
    model["identity_blocks"] = model["identity_blocks"] if model["encoder"] == "gabor" else 1
    train["mirror"] = train["mirror"] and model["mirrored"]
    return values


@given(st.fixed_dictionaries({name: section(each) for name, each in SECTIONS.items()}).map(agreeing))
@settings(deadline=None, max_examples=30)
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, values: dict) -> None:
    file, config = tmp_path_factory.getbasetemp() / "config.toml", from_dict(values)
    save(config, file)
    assert load(file) == config
    assert from_dict(to_dict(config)) == config


NEEDS_ANOTHER = {("train", "mirror"), ("model", "erase"), ("model", "identity_blocks")}
ONE_VALUE = [(name, field.name) for name, each in SECTIONS.items() for field in dataclasses.fields(each)]
ONE_VALUE = [path for path in ONE_VALUE if path not in NEEDS_ANOTHER]


@given(st.data(), st.sampled_from([path for path in ONE_VALUE if not path[1].startswith("lr")]))
@settings(deadline=None, max_examples=60)
def test_any_single_value_can_be_set(data: st.DataObject, path: tuple[str, str]) -> None:
    name, key = path
    field = next(field for field in dataclasses.fields(SECTIONS[name]) if field.name == key)
    value = data.draw(values_of(SECTIONS[name], field))
    config = override(RunConfig(), [f"{name}.{tomli_w.dumps({key: value})}"])
    value = tuple(value) if isinstance(value, list) else value
    assert getattr(getattr(config, name), key) == value
    changed = dataclasses.replace(getattr(RunConfig(), name), **{key: value})
    assert config == dataclasses.replace(RunConfig(), **{name: changed})


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_whole_and_named(name: str) -> None:
    assert preset(name).preset == name
    assert from_dict(to_dict(preset(name))) == preset(name)


def test_an_unknown_preset_lists_the_known() -> None:
    with pytest.raises(FaceCycleError, match="unknown preset 'huge': choose one of paper, compact, smoke"):
        preset("huge")


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("motion.step=5", r"unknown key motion\.step: did you mean motion\.steps\?"),
        ("motoin.steps=5", r"unknown key motoin: did you mean motion\?"),
        ("zzz=5", "unknown key zzz: known keys: preset, method, model"),
        ("motion.steps=-1", r"motion\.steps = -1: must be at least 0"),
        ("train.seed=99999999999999999999", r"train\.seed = 99999999999999999999: must be at most"),
        ("motion.steps=2.5", r"motion\.steps = 2\.5: expected int, got float"),
        ("motion.steps=many", r"motion\.steps = 'many': expected int, got str"),
        ("motion.steps=true", r"motion\.steps = True: expected int, got bool"),
        ("motion_loss.ssim=-1", r"motion_loss\.ssim = -1\.0: must be at least 0"),
        ("motion_loss.ssim=nan", r"motion_loss\.ssim = nan: must be a finite number"),
        ("motion_loss.ssim=inf", r"motion_loss\.ssim = inf: must be a finite number"),
        ("augment.mirror=1.5", r"augment\.mirror = 1\.5: must be at most 1"),
        ("model.image_size=72", r"model\.image_size = 72: must be a multiple of 16"),
        ("model.image_size=512", r"model\.image_size = 512: must be at most 256"),
        ("model.flow_inverse=guess", r"model\.flow_inverse = 'guess': must be one of velocity, fixed-point, published"),
        ("perceptual.name=vgg", r"perceptual\.name = 'vgg': must be one of none"),
        ("motion.lr=1e-4", r"motion\.lr = 0\.0001: expected a list"),
        ("motion.lr=[]", "give at least one rate"),
        ("motion.lr=[1e-4, nan, 1e-4]", r"motion\.lr = \[0\.0001, nan, 0\.0001\]: .* all above 0"),
        ("identity.lr=[1e300, 1.0, 1.0]", r"identity\.lr = .* at most 1e\+30"),
        ("motion.lr_at=[0.0, 0.5, 7.0]", r"motion\.lr_at = .* all below 1"),
        ("motion.lr_at=[0.0, 0.5, nan]", r"motion\.lr_at = .* all below 1"),
        ("model.erase=256", r"model\.erase = 256: the identity code varies in 256 directions"),
        ("train.mirror=true", r"set model\.mirrored=true"),
        ("motion.lr=[1e-4]", r"lr has 1 values, motion\.lr_at 3"),
        ("motion.lr_at=[0.1, 0.2, 0.3]", "rising shares of the steps, the first 0"),
        ("motion.lr_at=[0.0, 0.5, 0.2]", "rising shares"),
        ("motion.steps", r"--set motion\.steps: write it as section\.key=value"),
        ("=5", "write it as section.key=value"),
        ("motion.steps.more=5", "steps is a value, not a section"),
        ("model=5", "model = 5: expected ModelConfig"),
        ("train.compile=1", r"train\.compile = 1: expected bool"),
        ("train.precision=16", r"train\.precision = 16: must be one of auto, 32-true"),
    ],
)
def test_a_mistake_is_named_with_its_mend(assignment: str, message: str) -> None:
    with pytest.raises(FaceCycleError, match=message):
        override(RunConfig(), [assignment])


def test_an_identity_code_keeps_some_directions_and_no_more_than_it_has() -> None:
    with pytest.raises(FaceCycleError, match=r"model\.discriminants = 65: a code of model\.code_dim = 64"):
        override(RunConfig(), ["model.code_dim=64", "model.discriminants=65"])
    with pytest.raises(FaceCycleError, match=r"model\.erase = 8: the identity code varies in 8 directions"):
        override(RunConfig(), ["model.discriminants=8", "model.erase=8"])
    assert override(RunConfig(), ["model.discriminants=8", "model.erase=7"]).model.erase == 7
    with pytest.raises(FaceCycleError, match=r"model\.identity_blocks = 2: only model\.encoder = gabor"):
        override(RunConfig(), ["model.identity_blocks=2"])


def test_bare_words_lists_and_whole_numbers_are_understood() -> None:
    config = override(
        RunConfig(), ["perceptual.name=none", "motion.lr=[1, 2, 3]", "train.ema=0", " data.source = a/b "]
    )
    assert config.perceptual.name == "none"
    assert config.motion.lr == (1.0, 2.0, 3.0)
    assert config.train.ema == 0
    assert config.data.source == "a/b"


def test_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FaceCycleError, match=r"gone\.toml: no such file"):
        load(tmp_path / "gone.toml")
    (tmp_path / "bad.toml").write_text("motion = [")
    with pytest.raises(FaceCycleError, match=r"bad\.toml: not TOML"):
        load(tmp_path / "bad.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FaceCycleError, match=r"binary\.toml: not TOML"):
        load(tmp_path / "binary.toml")
    with pytest.raises(FaceCycleError, match="is a directory; name the config"):
        load(tmp_path)


def test_nothing_can_be_changed_by_accident() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        RunConfig().model.image_size = 128  # type: ignore[misc]
