"""What lies in the folders given: each video, each person's photos, each clip's frames is one source.

| layout | a source is | person | clip |
|---|---|---|---|
| ``videos`` | a video file, anywhere below | its first folder, else its own name | a face track |
| ``voxceleb-videos`` | ``id10001/VIDEO/00001.mp4`` | ``id10001`` | the speaker's track |
| ``voxceleb-frames`` | the folder ``NAME/1.6/VIDEO`` of numbered frames | ``NAME`` | the speaker's track |
| ``photos`` | the folder of ``PERSON/photo.jpg`` | ``PERSON`` | all photos of the person |
| ``clips`` | a folder of pictures: the frames of one clip, by name | its first folder | the folder |
| ``singles`` | a picture | the picture itself | the picture |
| ``pattern`` | the pictures with the same ``person`` and ``clip`` groups | ``person`` | ``person/clip`` |

``auto`` tells all of them apart but two: the pictures of a flat folder are taken as ``singles``, a folder of folders of
pictures as ``photos``; say ``clips`` where they are frames. It asks where the folders of pictures do not lie side by
side.
"""

from __future__ import annotations

import itertools
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from facecycle.data.files import walk_files
from facecycle.data.pictures import PICTURE_SUFFIXES
from facecycle.errors import FaceCycleError

MOST_NUMBER = 2**53  # a frame's number; beyond, times would not be exact
NUMBERED = ("pattern", "clips", "voxceleb-frames")  # layouts of frames that are numbered in time
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".flv", ".wmv", ".mpg", ".mpeg", ".3gp", ".ogv", ".mts", ".m2ts"}
)
VOXCELEB_RATE = 25.0  # its frames are numbered at 25 a second; the level folder 1.6 is how far the box was widened
VOXCELEB_VIDEO = re.compile(r"(?:^|/)(id\d{4,})/([^/]+)/([^/]+)\.\w+$")
VOXCELEB_FRAME = re.compile(r"(?:^|/)(?P<person>[^/]+)/\d\.\d+/(?P<clip>[^/]+)/(?P<frame>\d+)\.\w+$")

# YouTube Faces frames as Name_Surname_VF.jpg: V the video of that person, F the frame.
YTF_PATTERN = r"(?P<person>[^/]+)_(?P<clip>\d)(?P<frame>\d)\.jpg$"


@dataclass(frozen=True)
class Source:
    """A unit of work.

    Attributes:
        name: unique; a path from the folder given.
        person: who it shows, as far as the folders say.
        files: one video, or pictures in order.
        video: whether it is a video.
        numbers: of the frames; empty for a video.
        rate: frames a second by which ``numbers`` count; None if the pictures have no time.
        portrait: whether one person is meant (the main face), rather than every face.
        tracks: a VoxCeleb track file that says where the face is.
        problem: why it cannot be read at all.
    """

    name: str
    person: str
    files: tuple[str, ...]
    video: bool = False
    numbers: tuple[int, ...] = ()
    rate: float | None = None
    portrait: bool = False
    tracks: str | None = None
    problem: str | None = None


@dataclass
class Found:
    """All sources of the folders given.

    Attributes:
        sources: sorted by name.
        layouts: for each folder given, the layout used.
        ignored: files that were neither videos nor pictures, or did not fit the layout, by suffix.
        repeated: files that were met before, by a link or in two of the folders given.
    """

    sources: list[Source] = field(default_factory=list)
    layouts: dict[str, str] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)
    repeated: int = 0


@dataclass(frozen=True)
class Tree:
    """The files below one folder given: paths from it, with "/", sorted."""

    root: Path
    label: str
    files: list[str]

    def path(self, name: str) -> str:
        """Where the file lies."""
        return str(self.root / name)

    def pick(self, suffixes: Iterable[str]) -> list[str]:
        """The files that end in one of ``suffixes``."""
        return [name for name in self.files if PurePosixPath(name).suffix.lower() in suffixes]


def find_sources(
    paths: list[Path], layout: str = "auto", pattern: str | None = None, rate: float | None = None
) -> Found:
    """Find all sources below ``paths`` (folders, or single videos and pictures).

    Args:
        paths: where to look.
        layout: see the module; "pattern" follows from giving one.
        pattern: a regular expression with the groups ``person``, ``clip`` and ``frame`` (the last two optional),
            searched in each picture's path; `YTF_PATTERN` is an example.
        rate: frames a second by which pictures are numbered, for the layouts "clips" and "pattern".

    Raises:
        FaceCycleError: a path does not exist, nothing is found, or the layout or pattern does not fit.
    """
    expression = _compile(pattern) if pattern else None
    if layout not in ("auto", *LAYOUTS):
        raise FaceCycleError(f"layout={layout!r}: not known; choose from auto, {', '.join(LAYOUTS)}")
    if expression and layout != "auto":
        raise FaceCycleError(f"layout={layout!r}: a pattern says the layout itself; leave one of them out")
    if rate is not None and not 0 < rate < math.inf:
        raise FaceCycleError(f"frame_rate={rate}: must be above 0, such as 25")
    found, labels, met = Found(), _labels(paths), set[str]()
    for path in paths:
        whole, unreadable = _walk(path, labels[path])
        found.sources += unreadable
        tree = _only_new(whole, met)
        found.repeated += len(whole.files) - len(tree.files)
        if whole.files and not tree.files:
            continue
        if expression:
            name, sources = "pattern", _by_pattern(tree, expression, rate)
        else:
            name = layout if layout != "auto" else detect_layout(tree)
            sources = LAYOUTS[name](tree, rate)
        found.layouts[str(path)] = name
        used = {file for source in sources for file in (*source.files, source.tracks)}
        found.ignored.update(_kind(name) for name in tree.files if tree.path(name) not in used)
        found.sources += sources
    if rate is not None and not set(found.layouts.values()) & set(NUMBERED):
        known = ", ".join(dict.fromkeys(found.layouts.values()))
        raise FaceCycleError(
            f"frame_rate={rate}: layout {known} numbers no frames; leave it out, or say --layout clips"
        )
    if not found.sources:
        where, fit = ", ".join(map(str, paths)), pattern or layout
        kinds = ", ".join(f"{count} {kind}" for kind, count in found.ignored.most_common(5))
        there = f" ({kinds})" if kinds else ""
        raise FaceCycleError(f"{where}: no videos or pictures that fit {fit!r}{there}; name another folder or layout")
    found.sources = _apart(sorted(found.sources, key=lambda source: source.name))
    return found


def _apart(sources: list[Source]) -> list[Source]:
    """Who is named by a file alone is somebody else than who is named alike in another of the folders given."""
    first: dict[str, str] = {}  # the folder that has the name
    for source in sources:
        folder, by_file = _named(source)
        if not by_file:
            first.setdefault(source.person, folder)
    apart = []
    for source in sources:
        folder, by_file = _named(source)
        if by_file and first.setdefault(source.person, folder) != folder:
            source = replace(source, person=f"{folder}/{source.person}")
        apart.append(source)
    return apart


def _named(source: Source) -> tuple[str, bool]:
    """Which of the folders given a source lies in, and whether its person is named by a file alone."""
    folder, _, name = source.name.partition("/")
    is_file = PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES | PICTURE_SUFFIXES
    return folder, is_file and ("/" not in name or source.person == name)


def detect_layout(tree: Tree) -> str:
    """The layout that a folder's files look like.

    Raises:
        FaceCycleError: it holds both videos and pictures, or folders of pictures that do not lie side by side.
    """
    videos, pictures = tree.pick(VIDEO_SUFFIXES), tree.pick(PICTURE_SUFFIXES)
    if videos and pictures:
        raise FaceCycleError(
            f"{tree.root}: holds {len(videos)} videos and {len(pictures)} pictures; say which to take with --layout"
        )
    if videos:
        return "voxceleb-videos" if all(map(VOXCELEB_VIDEO.search, videos)) else "videos"
    if pictures and all(map(VOXCELEB_FRAME.search, pictures)):
        return "voxceleb-frames"
    folders = {PurePosixPath(name).parent for name in pictures}
    seen: dict[str, PurePosixPath] = {}
    for folder in sorted(folder for folder in folders if len(folder.parts) > 1):
        if (other := seen.setdefault(folder.name, folder)) != folder:
            raise FaceCycleError(
                f"{tree.root}: {other} and {folder} have one name; say --layout clips if these are clips of"
                f" {other.parts[0]!r} and {folder.parts[0]!r}, --layout photos if both show the person {folder.name!r}"
            )
    if len(folders) > 1 and PurePosixPath(".") in folders:
        raise FaceCycleError(
            f"{tree.root}: pictures lie in it and in {min(folders - {PurePosixPath('.')})}; say --layout singles if "
            "each shows somebody else, --layout photos if each folder shows one person, --layout clips if they are "
            "frames"
        )
    if folders <= {PurePosixPath(".")}:
        return "singles"
    one, *others = sorted(folders)
    for other in others:
        if other.parent != one.parent:
            raise FaceCycleError(
                f"{tree.root}: pictures lie in {one} and in {other}; say --layout photos if each of these folders "
                "shows somebody else, --layout clips if they are clips of the person whose folder they lie in, or name "
                "the folder whose folders are people"
            )
    return "photos"


def _labels(paths: list[Path]) -> dict[Path, str]:
    """What the sources of each path are called by, whatever order the paths are given in.

    Raises:
        FaceCycleError: a path does not exist.
    """
    for path in paths:
        if not path.exists():
            raise FaceCycleError(f"{path}: no such file or folder")
    labels: dict[str, str] = {}  # of places
    for place in sorted({str(path.resolve()) for path in paths}):
        base = PurePosixPath(place).name
        names = itertools.chain([base], (f"{base}~{count}" for count in itertools.count(2)))  # of one name: base~2
        labels[place] = next(name for name in names if name not in labels.values())
    return {path: labels[str(path.resolve())] for path in paths}


def _only_new(tree: Tree, met: set[str]) -> Tree:
    """Without the files that were met before, under whatever name; ``met`` learns the others."""
    folders: dict[str, str] = {}
    new = []
    for name in tree.files:
        folder, file = os.path.split(tree.path(name))
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        path = os.path.join(folders[folder], file)
        if os.path.islink(path):
            path = os.path.realpath(path)
        if path not in met:
            met.add(path)
            new.append(name)
    return replace(tree, files=new)


def _kind(name: str) -> str:
    return PurePosixPath(name).suffix.lower() or "without suffix"


def _walk(path: Path, label: str) -> tuple[Tree, list[Source]]:
    """All files below ``path``; folders that cannot be read become sources that fail."""
    if path.is_file():
        return Tree(path.parent, label, [path.name]), []
    unreadable: list[Source] = []

    def failed(error: OSError) -> None:
        where = Path(error.filename or path)
        name = f"{label}/{where.relative_to(path).as_posix()}"
        unreadable.append(Source(name, name, (), problem=f"{where}: {error.strerror}"))

    files = sorted(file.relative_to(path).as_posix() for file in walk_files(path, failed))
    return Tree(path, label, files), unreadable


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise FaceCycleError(f"pattern {pattern!r}: {error}") from None
    if "person" not in expression.groupindex:
        raise FaceCycleError(f"pattern {pattern!r}: needs a group (?P<person>...); clip and frame are optional")
    return expression


def _videos(tree: Tree, _rate: float | None) -> list[Source]:
    sources = []
    for name in tree.pick(VIDEO_SUFFIXES):
        parts = PurePosixPath(name).parts
        person = parts[0] if len(parts) > 1 else PurePosixPath(name).stem
        sources.append(Source(f"{tree.label}/{name}", person, (tree.path(name),), video=True))
    return sources


def _voxceleb_videos(tree: Tree, _rate: float | None) -> list[Source]:
    sources, files = [], set(tree.files)
    for name in tree.pick(VIDEO_SUFFIXES):
        match = VOXCELEB_VIDEO.search(name)
        if not match:
            continue
        # The track file lies beside the video, or at the same place in a tree "txt" beside the tree "mp4".
        beside = str(PurePosixPath(name).with_suffix(".txt"))
        apart = "/".join("txt" if part == "mp4" else part for part in beside.split("/"))
        tracks = next((tree.path(file) for file in (beside, apart) if file in files), None)
        sources.append(
            Source(f"{tree.label}/{name}", match[1], (tree.path(name),), video=True, portrait=True, tracks=tracks)
        )
    return sources


def _voxceleb_frames(tree: Tree, rate: float | None) -> list[Source]:
    return _by_pattern(tree, VOXCELEB_FRAME, rate or VOXCELEB_RATE)


def _photos(tree: Tree, _rate: float | None) -> list[Source]:
    def group(name: str) -> tuple[str, str]:
        person = PurePosixPath(name).parent.name or tree.label
        return person, person

    return _grouped(tree, group, None)


def _clips(tree: Tree, rate: float | None) -> list[Source]:
    def group(name: str) -> tuple[str, str]:
        parent = PurePosixPath(name).parent
        return (parent.parts[0] if parent.parts else tree.label), parent.as_posix()

    return _grouped(tree, group, rate)


def _singles(tree: Tree, _rate: float | None) -> list[Source]:
    return _grouped(tree, lambda name: (name, name), None)


def _by_pattern(tree: Tree, expression: re.Pattern[str], rate: float | None) -> list[Source]:
    def group(name: str) -> tuple[str, str] | None:
        match = expression.search(name)
        if not match or match["person"] is None:
            return None
        person, clip = match["person"], match.groupdict().get("clip")
        return person, person if clip is None else f"{person}/{clip}"

    def number(name: str) -> int:
        match = expression.search(name)
        text = match.groupdict().get("frame") if match else None
        return int(text) if text and text.isdecimal() else _last_number(name)

    return _grouped(tree, group, rate, number)


def _grouped(
    tree: Tree,
    group: Callable[[str], tuple[str, str] | None],
    rate: float | None,
    number: Callable[[str], int] | None = None,
) -> list[Source]:
    """One source for all pictures to which ``group`` gives the same (person, clip)."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name in tree.pick(PICTURE_SUFFIXES):
        if (key := group(name)) is not None:
            groups.setdefault(key, []).append(name)
    number = number or _last_number
    sources = []
    for (person, clip), names in groups.items():
        names.sort(key=lambda name: (number(name), name))
        # Without a rate the numbers only name the pictures; with one they are times.
        numbers = tuple(map(number, names)) if rate else tuple(range(len(names)))
        if numbers[-1] > MOST_NUMBER:
            raise FaceCycleError(
                f"{tree.path(names[-1])}: frame {numbers[-1]} is no number of a frame; say by --pattern where "
                "the number stands"
            )
        for one, other, here, there in zip(names, names[1:], numbers, numbers[1:], strict=False):
            if here == there:
                raise FaceCycleError(
                    f"{tree.path(one)}, {tree.path(other)}: both are frame {here} of {clip}; leave one out, or say by "
                    "--pattern where clip and frame number stand in the names"
                )
        files = tuple(map(tree.path, names))
        sources.append(Source(f"{tree.label}/{clip}", person, files, False, numbers, rate, portrait=True))
    return sources


def _last_number(name: str) -> int:
    digits = re.findall(r"\d+", PurePosixPath(name).stem)
    return int(digits[-1]) if digits else 0


LAYOUTS: dict[str, Callable[[Tree, float | None], list[Source]]] = {
    "videos": _videos,
    "voxceleb-videos": _voxceleb_videos,
    "voxceleb-frames": _voxceleb_frames,
    "photos": _photos,
    "clips": _clips,
    "singles": _singles,
}
