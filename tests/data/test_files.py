"""Files below a folder: all of them, once; files written in one piece, at nobody's expense."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facecycle.data.files import in_one_piece, walk_files


def walked(folder: Path) -> tuple[list[str], list[str]]:
    """Paths of the files found, and of the folders that could not be read."""
    unreadable: list[OSError] = []
    files = walk_files(folder, unreadable.append)
    return [file.relative_to(folder).as_posix() for file in files], [str(error.filename) for error in unreadable]


def lay(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_files_come_sorted_and_hidden_ones_stay_out(tmp_path: Path) -> None:
    lay(tmp_path, "b/2.jpg", "b/10.jpg", "a.jpg", "a/1.jpg", ".hidden", "b/._2.jpg")
    assert walked(tmp_path) == (["a/1.jpg", "a.jpg", "b/10.jpg", "b/2.jpg"], [])


def test_a_pipe_is_named_and_never_opened(tmp_path: Path) -> None:
    lay(tmp_path, "a.jpg")
    os.mkfifo(tmp_path / "b.jpg")
    assert walked(tmp_path) == (["a.jpg"], [str(tmp_path / "b.jpg")])


def test_links_are_followed_but_not_in_a_circle(tmp_path: Path) -> None:
    lay(tmp_path, "set/a/1.jpg", "set/b/2.jpg", "elsewhere/3.jpg")
    os.symlink("../..", tmp_path / "set/a/up")
    os.symlink("../b", tmp_path / "set/a/b")
    os.symlink("../a", tmp_path / "set/b/a")
    os.symlink("../elsewhere", tmp_path / "set/c")
    os.symlink("nowhere", tmp_path / "set/d")
    files, _ = walked(tmp_path / "set")
    assert {"a/1.jpg", "b/2.jpg", "c/3.jpg", "a/b/2.jpg", "b/a/1.jpg", "d", "a/up/elsewhere/3.jpg"} <= set(files)
    assert not [file for file in files if file.count("/") > 4]


def test_what_is_no_folder_is_told(tmp_path: Path) -> None:
    assert walked(tmp_path / "gone") == ([], [str(tmp_path / "gone")])


def test_a_file_is_written_in_one_piece_and_takes_no_other_s_place(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for name in ("a.partial.png", "a.png.partial", "plain"):
        (tmp_path / name).write_text("a user's")

    def give_up() -> None:
        with in_one_piece(path) as partial:
            partial.write_text("half")
            assert (partial.parent, partial.suffix, partial.name[0]) == (tmp_path, ".png", ".")
            raise KeyError

    with pytest.raises(KeyError):
        give_up()
    assert len(list(tmp_path.iterdir())) == 3
    for text in ("first", "second"):
        with in_one_piece(path) as partial:
            partial.write_text(text)
        assert path.read_text() == text
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    path.unlink()
    assert [file.read_text() for file in tmp_path.iterdir()] == ["a user's"] * 3
