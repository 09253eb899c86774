"""Disentanglement: perfect codes give everything, constant ones chance; splits keep apart what they must."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from jaxtyping import Float
from torch import Tensor

from facecycle.data.crop import CROP_NAME
from facecycle.evaluate import disentanglement
from facecycle.evaluate.crossed import FACTORS, Crossed, draw_crossed
from facecycle.evaluate.disentanglement import _probe_all, identity_error, measure, split_for
from facecycle.evaluate.groups import groups_of, within
from facecycle.evaluate.modularity import dci, mutual_information_gap, separated_predictability
from facecycle.evaluate.tasks import Options

PEOPLE = 6


def cross(*counts: int) -> Crossed:
    """The levels, without drawing anybody: each picture carries its own number."""
    levels = np.array(np.meshgrid(*map(np.arange, counts), indexing="ij")).reshape(4, -1).T
    pictures = np.zeros((len(levels), 8, 8, 3), np.uint8)
    pictures[:, 0, 0, 0], pictures[:, 0, 0, 1] = np.arange(len(levels)) % 256, np.arange(len(levels)) // 256
    return Crossed(pictures, levels, counts, "levels")


@pytest.fixture(scope="module")
def crossed() -> Crossed:
    return cross(PEOPLE, 7, 3, 3)


@dataclass
class Oracle:
    """Motion knows expression and pose, identity the person; nothing else, but for a little noise."""

    crossed: Crossed
    name: str = "oracle"
    checksum: str = "oracle-1"
    crop: str = CROP_NAME
    size: int = 64
    layers: tuple[str, ...] = ("motion", "identity")
    blind: bool = False

    def features(self, faces: Float[Tensor, "b 3 h w"], layer: str) -> Float[np.ndarray, "b d"]:
        number = (faces[:, :2, 0, 0] * 255).round().numpy().astype(int) @ [1, 256]
        levels, noise = self.crossed.levels[number], np.random.default_rng(number).normal(size=(len(number), 16))
        known = np.concatenate([np.eye(7)[levels[:, 1]], np.eye(3)[levels[:, 2]]], 1)
        known = known if layer == "motion" else np.eye(PEOPLE)[levels[:, 0]]
        known = np.pad(known, ((0, 0), (0, 16 - known.shape[1])))
        return ((0 if self.blind else 4) * known + 0.1 * noise).astype(np.float32)


def test_perfect_codes_give_everything_and_nothing_more(crossed: Crossed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disentanglement, "draw_crossed", lambda *_: crossed)
    monkeypatch.setattr(disentanglement, "random_encoder", lambda *_: Oracle(crossed, blind=True))
    report = measure(Oracle(crossed), None, Options("disentanglement", cache=None))
    for name in ("expression from motion", "pose from motion", "person from identity"):
        assert report.numbers[name] == 100
        assert report.numbers[f"{name} by MLP"] > 95
    for factor, code in (("person", "motion"), ("light", "motion"), ("expression", "identity"), ("pose", "identity")):
        chance = report.numbers[f"chance, {factor}"]
        assert report.numbers[f"{factor} from {code}"] == pytest.approx(chance, abs=15)
    for factor in FACTORS:
        untrained = report.numbers[f"{factor} from untrained encoder"]
        assert untrained == pytest.approx(report.numbers[f"chance, {factor}"], abs=15)
    assert report.numbers["EER of person, untrained encoder"] > 40
    assert report.numbers["EER of person, identity"] < 1
    assert report.numbers["EER of person, motion"] > 40
    assert report.numbers["DCI informativeness"] > 0.7  # light is nowhere


def test_blind_codes_give_chance(crossed: Crossed) -> None:
    codes = Oracle(crossed, blind=True)
    features = disentanglement.encode(codes, crossed, "identity", 64)
    rate, (low, high) = identity_error(features, crossed)
    assert low < 50 < high
    assert rate == pytest.approx(50, abs=3)


def test_intervals_of_probes_are_over_people() -> None:
    """Of the two test people one is read without a mistake, the other, of whom there are half as many, never."""
    crossed = cross(10, 3, 3, 2)
    odd = split_for("expression", crossed, 0).test[0] // 18
    kept = (crossed.levels[:, 0] != odd) | (np.arange(180) % 2 == 0)
    crossed = replace(crossed, pictures=crossed.pictures[kept], levels=crossed.levels[kept])
    person, expression = crossed.levels[:, 0], crossed.levels[:, 1]
    features = np.tile(np.eye(3, dtype=np.float32)[(expression + (person == odd)) % 3], 8)
    numbers, intervals = {}, {}
    _probe_all(features, crossed, "motion", numbers, intervals, 0)
    for probe in ("expression from motion", "expression from motion by MLP"):
        assert numbers[probe] == pytest.approx(100 * 2 / 3)
        assert intervals[probe] == (0, 100)


def test_the_interval_of_the_person_error_is_over_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three people two have the same code: drawn without the third, nothing tells them apart; with one, all."""
    monkeypatch.setattr(disentanglement, "PAIRS", 400)
    crossed = cross(3, 2, 2, 2)
    rate, interval = identity_error(np.eye(2)[crossed.levels[:, 0] // 2], crossed)
    assert rate == pytest.approx(25, abs=3)
    assert interval == pytest.approx((0, 50))


def test_people_are_told_apart_in_pictures_that_share_nothing_else(
    crossed: Crossed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Codes in which one expression, pose or light makes two pictures more alike than one person does."""
    monkeypatch.setattr(disentanglement, "PAIRS", 400)
    loudness = (1, 2, 2, 2)
    columns = zip(loudness, crossed.counts, crossed.levels.T, strict=True)
    rate, _ = identity_error(
        np.concatenate([loud * np.eye(count)[level] for loud, count, level in columns], 1), crossed
    )
    assert rate == pytest.approx(0)


@pytest.mark.parametrize("factor", FACTORS)
def test_splits_keep_people_or_combinations_apart(factor: str, crossed: Crossed) -> None:
    split = split_for(factor, crossed, 0)
    fitted = np.concatenate([split.train, split.validation])
    columns = crossed.levels[:, 1:] if factor == "person" else crossed.levels[:, :1]
    assert not {tuple(row) for row in columns[fitted]} & {tuple(row) for row in columns[split.test]}
    level = crossed.levels[:, FACTORS.index(factor)]
    assert set(level[split.test]) <= set(level[split.train]) or factor == "person"
    if factor == "person":
        assert set(level[split.train]) == set(level[split.test]) == set(range(PEOPLE))


def test_modularity_of_codes_with_a_dimension_for_each_factor(crossed: Crossed) -> None:
    rng = np.random.default_rng(0)
    neat = crossed.levels + 0.01 * rng.normal(size=crossed.levels.shape)
    mixed = neat @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
    split = split_for("person", crossed, 0)
    best, other = dci(neat, crossed.levels, split), dci(mixed, crossed.levels, split_for("person", crossed, 0))
    assert best["disentanglement"] > 0.9
    assert best["completeness"] > 0.9
    assert best["informativeness"] == 1
    assert other["disentanglement"] < best["disentanglement"] - 0.2
    assert mutual_information_gap(neat, crossed.levels) > 0.9
    assert mutual_information_gap(mixed, crossed.levels) < 0.4
    assert separated_predictability(neat, crossed.levels) > 0.95
    twice = np.concatenate([neat, neat], 1)
    assert mutual_information_gap(twice, crossed.levels) == pytest.approx(0)
    assert separated_predictability(twice, crossed.levels) == pytest.approx(0)


def test_drawn_people_are_crossed_and_kept(tmp_path) -> None:
    drawn = draw_crossed(2, 32, cache=tmp_path)
    assert drawn.pictures.shape == (2 * 7 * 3 * 3, 32, 32, 3)
    again = draw_crossed(2, 32, cache=tmp_path)
    assert np.array_equal(drawn.pictures, again.pictures)
    assert len(list(tmp_path.iterdir())) == 1
    left, right = (drawn.pictures[drawn.levels[:, 3] == side].mean((0, 3)) for side in (0, 2))
    assert left[:, :16].mean() - left[:, 16:].mean() > right[:, :16].mean() - right[:, 16:].mean() + 10


def test_groups_part_the_people_and_keep_their_faces() -> None:
    crossed = draw_crossed(12, 32, seed=5)
    groups = groups_of(crossed, 5)
    thirds = [members for name, members in groups.items() if name.endswith("third")]
    assert len(thirds) == 3
    assert (np.sum(thirds, 0) == 1).all()
    features = crossed.levels.astype(np.float32)
    found, part = within(thirds[0], features, crossed)
    assert len(found) == len(part.pictures) == 4 * len(features) // 12
    assert set(part.levels[:, 0]) == set(np.flatnonzero(thirds[0]))
    bright = [crossed.pictures[members[crossed.levels[:, 0]]][..., :].mean() for members in (thirds[0], thirds[2])]
    assert bright[0] > bright[1]
