"""Verification: official layouts, known right answers, missing files, and that no fold sees what it is tested on."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from evaluate.stub import Corner, paint
from facecycle.errors import FaceCycleError
from facecycle.evaluate import verification
from facecycle.evaluate.datasets.verification import Pairs, read_cfp, read_cplfw, read_lfw, read_pairs
from facecycle.evaluate.photos import Photo
from facecycle.evaluate.tasks import Options
from facecycle.evaluate.verification import auc, best_threshold, equal_error, measure, roc, true_accepts, verify

FOLDS, EACH = 4, 5


def lfw(root: Path, alike: bool = True) -> Path:
    """People of one colour each (or of no colour of their own), in folds of new people."""
    rng, lines = np.random.default_rng(0), [f"{FOLDS}\t{EACH}"]
    for fold in range(FOLDS):
        names = [f"Person_{fold}_{i}" for i in range(EACH)]
        for name in names:
            colour = rng.uniform(0.05, 0.95, 3)
            for number in (1, 2):
                shade = colour if alike else rng.uniform(0.05, 0.95, 3)
                paint(root / "lfw" / name / f"{name}_{number:04d}.png", tuple(shade), unlike=number)
                (root / "lfw" / name / f"{name}_{number:04d}.png").rename(
                    root / "lfw" / name / f"{name}_{number:04d}.jpg"
                )
        lines += [f"{name}\t1\t2" for name in names]
        lines += [f"{name}\t1\t{names[(i + 1) % EACH]}\t2" for i, name in enumerate(names)]
    (root / "pairs.txt").write_text("\n".join(lines) + "\n")
    return root


def test_perfect_codes_give_everything(tmp_path: Path) -> None:
    report = measure(Corner(), lfw(tmp_path), Options("lfw", crop="fixed"))
    assert report.numbers["pairs"] == 2 * FOLDS * EACH
    assert report.numbers["AUC"] == pytest.approx(100)
    assert report.numbers["EER"] == pytest.approx(0)
    assert report.numbers["accuracy"] > 90  # the threshold comes from other people
    assert report.numbers["TAR at FAR 0.001"] == pytest.approx(100)
    assert {"standard deviation over folds", "TAR at FAR 0.01", "TAR at FAR 0.001"} <= set(report.headline)
    assert set(report.headline) <= report.numbers.keys()
    assert set(report.figures) == {"roc.png"}


def test_codes_that_tell_nothing_give_chance(tmp_path: Path) -> None:
    report = measure(Corner(), lfw(tmp_path, alike=False), Options("lfw", crop="fixed"))
    low, high = report.intervals["AUC"]
    assert low < 50 < high


def test_a_missing_picture_costs_its_pairs_and_is_named(tmp_path: Path) -> None:
    lfw(tmp_path)
    (tmp_path / "lfw" / "Person_0_0" / "Person_0_0_0002.jpg").unlink()
    (tmp_path / "lfw" / "Person_1_0" / "Person_1_0_0001.jpg").write_bytes(b"\xff\xd8 cut")
    report = measure(Corner(), tmp_path, Options("lfw", crop="fixed"))
    assert report.numbers["pairs"] == 2 * FOLDS * EACH - 4
    assert report.numbers["pairs left out"] == 4
    missing, cut = "lfw/Person_0_0/Person_0_0_0002.jpg", "lfw/Person_1_0/Person_1_0_0001.jpg"
    assert set(report.problems) == {missing, cut}
    assert report.problems[missing] == "not there; pairs with it: 2"
    assert "1 files missing, 1 unreadable, 4 pairs left out" in report.protocol[0]


def cfp(root: Path) -> Path:
    protocol = root / "Protocol"
    lists: dict[str, list[str]] = {"F": [], "P": []}
    for person in range(4):
        for side, folder in (("F", "frontal"), ("P", "profile")):
            for shot in (1, 2):
                name = f"Data/Images/{person:03d}/{folder}/{shot:02d}.jpg"
                paint(root / name, (0.2 * person + 0.1, 0.5, 0.9 - 0.2 * person), unlike=shot)
                lists[side].append(f"{len(lists[side]) + 1} ../{name}")
    for kind in ("FF", "FP"):
        for fold, people in enumerate(((0, 1), (2, 3)), 1):
            folder = protocol / "Split" / kind / f"{fold:02d}"
            folder.mkdir(parents=True)
            a, b = (2 * person + 1 for person in people)
            (folder / "same.txt").write_text(f"{a},{a + 1}\n{b},{b + 1}\n")
            (folder / "diff.txt").write_text(f"{a},{b + 1}\n{b},{a + 1}\n")
    for side, lines in lists.items():
        (protocol / f"Pair_list_{side}.txt").write_text("\n".join(lines))
    return root


def cfp_person(photo: Photo) -> int:
    """Who is painted in the file that is read."""
    red = np.asarray(Image.open(io.BytesIO(photo.read())))[16, 16, 0]
    return round((red / 255 - 0.1) / 0.2)


def test_cfp_layout(tmp_path: Path) -> None:
    cfp(tmp_path)
    for kind, folder in (("FF", "frontal"), ("FP", "profile")):
        pairs = read_cfp(tmp_path, kind)
        assert len(pairs.same) == 8
        assert pairs.same.sum() == 4
        first, second = ([cfp_person(pairs.photos[i]) for i in side] for side in (pairs.first, pairs.second))
        assert first == [0, 1, 0, 1, 2, 3, 2, 3]
        assert second == [0, 1, 1, 0, 2, 3, 3, 2]  # the lists' numbers lead to the right files
        assert all(f"/{folder}/" in pairs.photos[i].name for i in pairs.second)
        assert all("/frontal/" in pairs.photos[i].name for i in pairs.first)
    assert measure(Corner(), tmp_path, Options("cfp-fp", crop="fixed")).numbers["AUC"] == 100
    (tmp_path / "Protocol" / "Split" / "FF" / "01" / "same.txt").write_text("1,999\n")
    with pytest.raises(FaceCycleError, match=r"same\.txt: pair 1,999"):
        read_cfp(tmp_path, "FF")


def test_cplfw_layout(tmp_path: Path) -> None:
    lines = []
    for i in range(40):
        one, two = f"A{i}_1.png", f"B{i}_1.png"
        paint(tmp_path / "images" / one, (0.5, 0.5, 0.5), unlike=i)
        paint(tmp_path / "images" / two, (0.5, 0.5, 0.5) if i < 20 else (0.9, 0.1, 0.1), unlike=i)
        lines += [f"{one} {int(i < 20)}", f"{two} {int(i < 20)}"]
    (tmp_path / "pairs_CPLFW.txt").write_text("\n".join(lines))
    pairs = read_cplfw(tmp_path)
    assert np.array_equal(np.bincount(pairs.fold[pairs.same]), np.full(10, 2))
    assert measure(Corner(), tmp_path, Options("cplfw", crop="fixed")).numbers["accuracy"] == 100


def test_pairs_csv(tmp_path: Path) -> None:
    rows = ["first,second,same,fold"]
    for i in range(8):
        paint(tmp_path / f"{i}.png", (0.1 * i + 0.1, 0.5, 0.8 - 0.1 * i), unlike=i)
        rows += [f"{i}.png,{i}.png,1,{i % 2}", f"{i}.png,{(i + 2) % 8}.png,0,{i % 2}"]
    (tmp_path / "pairs.csv").write_text("\n".join(rows))
    assert measure(Corner(), tmp_path / "pairs.csv", Options("pairs", crop="fixed")).numbers["accuracy"] == 100
    few = [f"{i}.png,{i}.png,1" for i in range(3)] + [f"{i}.png,{i + 1}.png,0" for i in range(7)]
    (tmp_path / "pairs.csv").write_text("\n".join(["first,second,same", *few]))
    folds = read_pairs(tmp_path)
    assert [sorted(set(folds.fold[folds.same == kind].tolist())) for kind in (True, False)] == [[0, 1, 2]] * 2
    (tmp_path / "pairs.csv").write_text("first,second,same\n0.png,1.png,maybe\n")
    with pytest.raises(FaceCycleError, match="line 2: same='maybe'"):
        read_pairs(tmp_path)
    (tmp_path / "pairs.csv").write_text("first,second,same,fold\n0.png,1.png,1,0\n1.png,2.png,1,1\n")
    with pytest.raises(FaceCycleError, match=rf"{tmp_path}: fold 0 holds only same pairs"):
        measure(Corner(), tmp_path, Options("pairs", crop="fixed"))


def test_pictures_that_recur_in_every_fold_are_not_whitened(tmp_path: Path) -> None:
    rows = ["first,second,same,fold"]
    for name, colour in (("a", 0.2), ("b", 0.2), ("c", 0.9)):
        paint(tmp_path / f"{name}.png", (colour, 0.5, 1 - colour), unlike=ord(name))
    for fold in range(3):
        rows += [f"a.png,b.png,1,{fold}", f"a.png,c.png,0,{fold}"]
    (tmp_path / "pairs.csv").write_text("\n".join(rows))
    report = measure(Corner(), tmp_path, Options("pairs", crop="fixed"))
    assert report.numbers["accuracy"] == 100
    assert report.warnings == [
        "not whitened: the pictures of a fold are those of the others, none is left to fit a PCA on"
    ]
    assert not [name for name in report.numbers if name.endswith("whitened")]
    assert not [line for line in report.protocol if "whitened" in line]


@pytest.mark.parametrize("read", [read_lfw, read_cplfw, read_pairs, lambda data: read_cfp(data, "FF")])
def test_a_wrong_folder_says_what_was_expected_and_found(read, tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    with pytest.raises(FaceCycleError, match=r"expected .*found holiday/"):
        read(tmp_path)


def test_a_cut_list_is_refused(tmp_path: Path) -> None:
    lfw(tmp_path)
    text = (tmp_path / "pairs.txt").read_text().splitlines()
    (tmp_path / "pairs.txt").write_text("\n".join(text[:-3]))
    with pytest.raises(FaceCycleError, match=r"pairs\.txt: 37 pairs"):
        read_lfw(tmp_path)


def test_broken_lists_are_refused_with_their_line(tmp_path: Path) -> None:
    listed = lfw(tmp_path) / "pairs.txt"
    listed.write_text(listed.read_text().replace("Person_0_0\t1\t2", "Person_0_0\tone\t2", 1))
    with pytest.raises(FaceCycleError, match="photo 'one' of Person_0_0"):
        read_lfw(tmp_path)
    (tmp_path / "images").mkdir()
    for text, words in (
        ("a.jpg 1\nb.jpg 1\nc.jpg 0\n", "3 lines, a pair is two"),
        ("a.jpg 1\nb.jpg 0\n", "lines 1 and 2"),
        ("a.jpg 2\nb.jpg 2\n", "lines 1 and 2"),
        ("a.jpg\nb.jpg\n", "lines 1 and 2"),
    ):
        (tmp_path / "pairs_CPLFW.txt").write_text(text)
        with pytest.raises(FaceCycleError, match=words):
            read_cplfw(tmp_path)
    (tmp_path / "pairs.csv").write_bytes(b"first,second,same\n\xe9.png,b.png,1\n")
    with pytest.raises(FaceCycleError, match="cannot be read"):
        read_pairs(tmp_path)
    (cfp(tmp_path / "cfp") / "Protocol" / "Split" / "FP" / "02" / "diff.txt").write_text("7\n")
    with pytest.raises(FaceCycleError, match=r"diff\.txt: pair 7 "):
        read_cfp(tmp_path / "cfp", "FP")


def plain_pairs(count: int = 40) -> Pairs:
    index = np.arange(count)
    return Pairs([], index, index + count, index % 2 == 0, index * 4 // count, {})


def test_a_planted_leak_is_refused() -> None:
    """A preparation that fits on the test pairs does not get far."""
    features = np.random.default_rng(0).normal(size=(80, 6)).astype(np.float32)

    def cheat(split):
        split.fit_rows(split.test)
        return lambda x: x

    with pytest.raises(FaceCycleError, match="test split was given to a fit"):
        verify(features, plain_pairs(), cheat)


def test_whitening_sees_no_picture_of_a_test_pair() -> None:
    pairs = plain_pairs()
    shared = Pairs([], pairs.first, np.where(pairs.second == 79, 0, pairs.second), pairs.same, pairs.fold, {})
    features = np.random.default_rng(0).normal(size=(80, 6)).astype(np.float32)

    def check(split):
        fitted = verification.fit_pictures(shared, split)
        tested = np.union1d(shared.first[split.test], shared.second[split.test])
        assert not set(fitted) & set(tested)
        loud = features.copy()
        loud[tested] *= 100
        whiten = verification.whitened(features, shared, split)
        assert np.array_equal(verification.whitened(loud, shared, split)(features), whiten(features))
        return whiten

    verify(features, shared, check)


def test_the_threshold_comes_from_the_other_folds() -> None:
    """Each fold could be told apart without a mistake, but at a threshold at which the other cannot."""
    cosine = np.array([0.9, 0.9, 0.9, 0.7, 0.5, 0.5, 0.3, 0.3, 0.3])
    features = np.stack([cosine, np.sqrt(1 - cosine**2)], 1)
    pairs = Pairs([], np.full(9, 9), np.arange(9), np.isin(cosine, (0.9, 0.5)), np.repeat([0, 1], [4, 5]), {})
    found = verify(np.concatenate([features, [[1.0, 0.0]]]), pairs, lambda split: lambda x: x)
    assert found.thresholds == pytest.approx([0.4, 0.8])
    assert found.accuracies == pytest.approx([75, 60])  # all called one person; all called two


def test_whitening_helps_where_one_loud_direction_hides_the_person() -> None:
    rng = np.random.default_rng(0)
    person = rng.normal(size=(200, 8))
    first, second = (person + 0.3 * rng.normal(size=(200, 8)) for _ in range(2))
    features = np.concatenate([first, second])
    features = np.concatenate([features, 50 * rng.normal(size=(400, 1))], 1).astype(np.float32)
    index = np.arange(400)
    pairs = Pairs(
        [], index % 200, np.where(index < 200, index + 200, 200 + (index + 1) % 200), index < 200, index % 4, {}
    )
    raw = verify(features, pairs, lambda split: lambda x: x)
    white = verify(features, pairs, lambda split: verification.whitened(features, pairs, split))
    assert np.mean(white.accuracies) > np.mean(raw.accuracies) + 20


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=30))
@settings(deadline=None, max_examples=100)
def test_the_threshold_is_the_best_there_is(pairs: list[tuple[int, bool]]) -> None:
    scores, same = np.array([s / 6 for s, _ in pairs]), np.array([kind for _, kind in pairs])
    accuracy = ((scores >= best_threshold(scores, same)) == same).mean()
    everywhere = [((scores >= t) == same).mean() for t in [-1.0, *np.unique(scores), 2.0]]
    assert accuracy == pytest.approx(max(everywhere))


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=20)
def test_curves_agree_with_scikit_learn(seed: int) -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    same = np.arange(60) % 2 == 0
    scores = np.round(rng.normal(size=60) + same, 1)  # with ties
    false, true = roc(scores, same)
    assert auc(false, true) == pytest.approx(roc_auc_score(same, scores))
    rate = equal_error(false, true)
    assert np.minimum(false, 1 - true).max() - 1e-9 <= rate <= np.maximum(false, 1 - true).min() + 1e-9
    assert true_accepts(false, true, 0.1) == max(t for f, t in zip(false, true, strict=True) if f <= 0.1)
