"""Folders as people have them, and what they are taken for."""

import os
from pathlib import Path

import pytest
from PIL import Image

from facecycle.data.sources import YTF_PATTERN, Source, find_sources
from facecycle.errors import FaceCycleError


def lay(root: Path, *names: str) -> Path:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".jpg":
            Image.new("RGB", (4, 4)).save(file)
        else:
            file.write_bytes(b"x")
    return root


def found(root: Path, **options) -> tuple[str, dict[str, Source]]:
    result = find_sources([root], **options)
    return result.layouts[str(root)], {source.name: source for source in result.sources}


def names(source: Source) -> list[str]:
    return [Path(file).name for file in source.files]


def test_videos_are_named_by_their_first_folder_or_themselves(tmp_path: Path) -> None:
    root = lay(tmp_path / "set", "a.mp4", "ann/x/1.MKV", "ann/2.webm", "notes.txt")
    layout, sources = found(root)
    assert layout == "videos"
    assert {name: s.person for name, s in sources.items()} == {
        "set/a.mp4": "a",
        "set/ann/x/1.MKV": "ann",
        "set/ann/2.webm": "ann",
    }
    assert find_sources([root]).ignored == {".txt": 1}


@pytest.mark.parametrize("tracks", ["id10001/Xy/00001.txt", "txt/id10001/Xy/00001.txt"])
def test_voxceleb_videos_with_and_without_track_files(tmp_path: Path, tracks: str) -> None:
    tree = "mp4/" if tracks.startswith("txt") else ""
    root = lay(tmp_path, f"{tree}id10001/Xy/00001.mp4", f"{tree}id10001/Xy/00002.mp4", tracks)
    layout, sources = found(root)
    first, second = sources.values()
    assert layout == "voxceleb-videos"
    assert (first.person, first.portrait, first.tracks) == ("id10001", True, str(root / tracks))
    assert second.tracks is None
    assert not find_sources([root]).ignored


def test_voxceleb_frames_have_times(tmp_path: Path) -> None:
    root = lay(tmp_path, *(f"Ann_B/1.6/Xy/{n:07d}.jpg" for n in (1825, 1750, 1775)), "Bob/1.6/Zz/0000025.jpg")
    layout, sources = found(root)
    ann = sources[f"{root.name}/Ann_B/Xy"]
    assert (layout, len(sources)) == ("voxceleb-frames", 2)
    assert (ann.person, ann.numbers, ann.rate) == ("Ann_B", (1750, 1775, 1825), 25)


def test_photos_by_person(tmp_path: Path) -> None:
    layout, sources = found(lay(tmp_path / "lfw", "Ann_B/Ann_B_0001.jpg", "Ann_B/Ann_B_0002.jpg", "Bob/Bob_0001.jpg"))
    assert layout == "photos"
    assert {s.person: names(s) for s in sources.values()} == {
        "Ann_B": ["Ann_B_0001.jpg", "Ann_B_0002.jpg"],
        "Bob": ["Bob_0001.jpg"],
    }
    assert all(source.rate is None for source in sources.values())


def test_pictures_are_of_one_person_and_videos_of_all_in_sight(tmp_path: Path) -> None:
    pictures = lay(tmp_path / "pictures", "ann/1.jpg", "bob/2.jpg")
    for layout in ("photos", "clips", "singles"):
        assert [source.portrait for source in found(pictures, layout=layout)[1].values()] == [True, True]
    (video,) = found(lay(tmp_path / "videos", "party.mp4"))[1].values()
    assert not video.portrait


def test_ytf_frames_by_pattern_across_folders(tmp_path: Path) -> None:
    root = lay(tmp_path, "training/Ann_B_10.jpg", "test/Ann_B_12.jpg", "training/Ann_B_20.jpg", "training/readme.jpg")
    layout, sources = found(root, pattern=YTF_PATTERN)
    assert layout == "pattern"
    assert {s.name.split("/", 1)[1]: names(s) for s in sources.values()} == {
        "Ann_B/1": ["Ann_B_10.jpg", "Ann_B_12.jpg"],
        "Ann_B/2": ["Ann_B_20.jpg"],
    }
    assert find_sources([root], pattern=YTF_PATTERN).ignored == {".jpg": 1}


def test_a_flat_folder_is_single_pictures_unless_said_otherwise(tmp_path: Path) -> None:
    root = lay(tmp_path / "shots", "f10.jpg", "f9.jpg")
    layout, sources = found(root)
    assert (layout, len(sources)) == ("singles", 2)
    layout, sources = found(root, layout="clips", rate=25)
    (clip,) = sources.values()
    assert (names(clip), clip.numbers, clip.person) == (["f9.jpg", "f10.jpg"], (9, 10), "shots")


def test_clips_are_folders_of_frames(tmp_path: Path) -> None:
    _, sources = found(lay(tmp_path / "s", "ann/1/01.jpg", "ann/2/01.jpg", "ann/2/02.jpg"), layout="clips")
    assert {name: (s.person, len(s.files)) for name, s in sources.items()} == {
        "s/ann/1": ("ann", 1),
        "s/ann/2": ("ann", 2),
    }


def test_single_files_and_folders_of_one_name(tmp_path: Path) -> None:
    lay(tmp_path, "x/videos/a.mp4", "y/videos/a.mp4")
    lay(tmp_path, "z/a.mp4")
    result = find_sources([tmp_path / "x/videos", tmp_path / "y/videos", tmp_path / "z/a.mp4"])
    assert len({source.name for source in result.sources}) == 3
    assert len({source.person for source in result.sources}) == 3  # a file's name says nothing of another folder's
    again = find_sources([lay(tmp_path / "u", "ann/1.mp4", "2.mp4"), lay(tmp_path / "v", "ann/3.mp4", "2.mp4")])
    assert [source.person for source in again.sources] == ["2", "ann", "v/2", "ann"]
    photos = find_sources([lay(tmp_path / "p", "ann/1.jpg", "bob/2.jpg"), lay(tmp_path / "q", "ann/3.jpg")])
    assert [source.person for source in photos.sources] == ["ann", "bob", "ann"]
    singles = find_sources([lay(tmp_path / "r", "1.jpg"), lay(tmp_path / "s", "1.jpg")])
    assert [source.person for source in singles.sources] == ["1.jpg", "s/1.jpg"]
    named = find_sources([lay(tmp_path / "t", "ann/ann.mp4"), lay(tmp_path / "w", "ann/ann.mp4")])
    assert [source.person for source in named.sources] == ["ann", "ann"]


def test_folders_of_one_name_are_told_apart_in_whatever_order_they_are_given(tmp_path: Path) -> None:
    """Or an interrupted run that is gone on with in another order would take the ones for the others."""
    one, two, three = places = [
        lay(tmp_path / place, name) for place, name in (("a/set", "1.mp4"), ("b/set", "2.mp4"), ("c/set~2", "3.mp4"))
    ]
    for order in (places, [three, two, one]):
        assert [source.name for source in find_sources(order).sources] == ["set/1.mp4", "set~2/2.mp4", "set~2~2/3.mp4"]


def test_a_file_met_before_is_taken_once(tmp_path: Path) -> None:
    root = lay(tmp_path / "set", "ann/1.jpg", "ann/2.jpg", "bob/3.jpg")
    os.symlink("ann", root / "anna")
    os.symlink("../ann/1.jpg", root / "bob/4.jpg")
    once = find_sources([root])
    assert {source.person: names(source) for source in once.sources} == {"ann": ["1.jpg", "2.jpg"], "bob": ["3.jpg"]}
    assert (once.repeated, once.ignored) == (3, {})
    again = find_sources([root, root / "ann", root])
    assert again.sources == once.sources


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can take its own rights away")
def test_an_unreadable_folder_is_a_source_that_failed(tmp_path: Path) -> None:
    root = lay(tmp_path / "set", "open/a.mp4", "closed/b.mp4")
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o005:
            folder.chmod(0o755)
    (root / "closed").chmod(0o700)
    os.seteuid(65534)
    try:
        _, sources = found(root)
    finally:
        os.seteuid(0)
    assert sources["set/open/a.mp4"].problem is None
    assert "Permission denied" in (sources["set/closed"].problem or "")


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        (["a.jpg", "b/c.jpg"], {}, "pictures lie in it and in b; say --layout singles if each shows somebody else"),
        (["a.jpg"], {"layout": "nonsense", "pattern": "(?P<person>a)"}, "layout='nonsense': not known"),
        (["a.jpg"], {"layout": "clips", "pattern": "(?P<person>a)"}, "a pattern says the layout itself"),
        (["a.jpg"], {"pattern": "a|(?P<person>b)"}, "no videos or pictures that fit"),
        ([], {}, "no videos or pictures"),
        (["notes.txt"], {}, "no videos or pictures"),
        (["a.mp4", "b.jpg"], {}, "1 videos and 1 pictures"),
        (
            ["ann/0/1.jpg", "bob/0/1.jpg"],
            {},
            r"ann/0 and bob/0 have one name; say --layout clips if these are clips of 'ann' and 'bob', --layout photos",
        ),
        (["ann/1.jpg", "ann/more/2.jpg", "bob/3.jpg"], {}, "pictures lie in ann and in ann/more; say --layout photos"),
        (["ann/2019/1.jpg", "bob/2020/2.jpg"], {}, "pictures lie in ann/2019 and in bob/2020; say --layout photos"),
        (["a.heic", "b.heic", "c.txt"], {}, r"fit 'auto' \(2 .heic, 1 .txt\); name another"),
        (["a/20240131123045123450.jpg"], {"layout": "clips", "rate": 25.0}, "no number of a frame; say by --pattern"),
        (["a.jpg"], {"layout": "films"}, "choose from auto, videos"),
        (["a.jpg"], {"pattern": "(?P<person>"}, "pattern"),
        (["a.jpg"], {"pattern": ".*"}, r"needs a group \(\?P<person>"),
        (["a.jpg"], {"pattern": r"(?P<person>\d+)"}, "no videos or pictures that fit"),
        (["a/1.jpg"], {"layout": "clips", "rate": 0.0}, "frame_rate=0.0: must be above 0"),
        (["a/1.jpg"], {"layout": "clips", "rate": float("nan")}, "frame_rate=nan"),
        (["a/1.jpg"], {"rate": 25.0}, "layout photos numbers no frames"),
    ],
)
def test_what_does_not_fit_says_so(tmp_path: Path, files: list[str], options: dict, message: str) -> None:
    with pytest.raises(FaceCycleError, match=message):
        find_sources([lay(tmp_path / "set", *files, "sub/.hidden")], **options)
    with pytest.raises(FaceCycleError, match="no such file"):
        find_sources([tmp_path / "nowhere"])


def test_a_person_named_by_a_file_is_not_the_one_a_folder_of_another_place_names(tmp_path: Path) -> None:
    one, other = lay(tmp_path / "x", "a/1.mp4"), lay(tmp_path / "y", "a.mp4", "b.mp4")
    people = {source.name: source.person for source in find_sources([one, other]).sources}
    assert people == {"x/a/1.mp4": "a", "y/a.mp4": "y/a", "y/b.mp4": "b"}


def test_hidden_folders_say_nothing_of_a_flat_one(tmp_path: Path) -> None:
    root = lay(tmp_path / "set", "ann.jpg", "bob.jpg", ".thumbnails/x.jpg")
    layout, sources = found(root)
    assert (layout, sorted(source.person for source in sources.values())) == ("singles", ["ann.jpg", "bob.jpg"])


def test_two_frames_of_one_number_are_refused_where_numbers_are_times(tmp_path: Path) -> None:
    root = lay(tmp_path, *(f"c/f{n:04d}_128px.jpg" for n in (1, 2, 3)))
    with pytest.raises(FaceCycleError, match=r"f0001_128px\.jpg, .*f0002_128px\.jpg: both are frame 128 of c"):
        found(root, layout="clips", rate=25)
    _, sources = found(root, pattern=r"(?P<person>c)/f(?P<frame>\d+)", rate=25)
    assert [source.numbers for source in sources.values()] == [(1, 2, 3)]
