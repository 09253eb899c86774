"""The face set: crops of faces on disk, in shards, with one manifest that says where each lies and whose it is.

```
FACESET/faceset.json         format, crop, size, margin, stored, licence, origin
FACESET/shards/00000.tar     KEY.jpg and KEY.json per frame (WebDataset), uncompressed
FACESET/shards/00000.npz     that shard's rows; written last, it is the shard's commit
FACESET/manifest.npz         all rows
FACESET/sources.jsonl        one line per source: what became of it
```

The JPEG is the crop grown by ``margin`` (`Crop.expand`) drawn at ``stored`` pixels, so that a ``size`` crop of it can
be shifted, turned and scaled a little without leaving the picture.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from facecycle.data.crop import CROP_NAME
from facecycle.data.files import write_atomic
from facecycle.data.shards import (
    ShardWriter,
    load_columns,
    save_columns,
    shard_file,
    shard_is_written,
)
from facecycle.errors import FaceCycleError

__all__ = ["FORMAT", "FaceSet", "ShardWriter", "decode", "finish_faceset", "shard_is_written", "write_faceset"]

FORMAT = 1


def stored_size(size: int, margin: float) -> int:
    """Pixels of a stored picture whose inner crop has ``size``: 80 for 64 pixels and a margin of 0.25."""
    return round(size * (1 + margin))


def write_faceset(root: str | Path, *, size: int, margin: float, licence: str, origin: str, **more: Any) -> Path:
    """Begin a face set, or take up one that was begun with the same options.

    Args:
        root: the folder; made if absent.
        size: pixels of a crop as the networks see it.
        margin: how much larger the stored picture is; see `stored_size`.
        licence: terms of the pictures, in words; weights trained on them carry it.
        origin: "prepare" or "synthetic".
        more: further options that decide what the frames look like (kept in ``faceset.json``).

    Raises:
        FaceCycleError: the folder holds a face set made with other options, or something else.
    """
    root = Path(root)
    stored = stored_size(size, margin)
    meta: dict[str, Any] = {"format": FORMAT, "crop": CROP_NAME, "size": size, "margin": margin, "stored": stored}
    meta |= {"licence": licence, "origin": origin, **more}
    meta = json.loads(json.dumps(meta))  # as it will be read back: tuples become lists
    if (root / "faceset.json").exists():
        before = _read_meta(root)
        changed = [name for name in {**before, **meta} if before.get(name) != meta.get(name)]
        if changed:
            name = changed[0]
            raise FaceCycleError(
                f"{root}: begun with {name}={before.get(name)!r}, asked for {meta.get(name)!r}; "
                "use the same options to go on, or another folder"
            )
    elif root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FaceCycleError(f"{root}: exists and is no face set; name a new or an empty folder")
    (root / "shards").mkdir(parents=True, exist_ok=True)
    write_atomic(root / "faceset.json", (json.dumps(meta, indent=1) + "\n").encode())
    return root


def finish_faceset(root: str | Path, shards: int) -> None:
    """Merge ``shards`` written shards into ``manifest.npz`` and ``sources.jsonl``; the manifest comes last.

    Raises:
        FaceCycleError: a shard is not written yet, or two shards carry different labels.
    """
    root = Path(root)
    for index in range(shards):
        if not shard_is_written(root, index):
            raise FaceCycleError(f"{root}: shard {index} of {shards} is not written; run the same command again")
    parts = [load_columns(shard_file(root, index, "npz")) for index in range(shards)]
    filled = [part for part in parts if len(part["key"])] or parts[:1]
    if len({tuple(sorted(part)) for part in filled}) > 1:
        raise FaceCycleError(f"{root}: its shards carry different labels; write it anew with one version")
    columns = {name: np.concatenate([part[name] for part in filled]) for name in (filled[0] if filled else ())}
    sources = b"".join(shard_file(root, index, "jsonl").read_bytes() for index in range(shards))
    write_atomic(root / "sources.jsonl", sources)
    save_columns(root / "manifest.npz", columns)
    for journal in (root / "shards").glob("*.journal"):  # of a writer killed right after its commit
        journal.unlink()


@dataclass(eq=False)
class FaceSet:
    """A finished face set, opened for reading; safe to hand to forked and spawned worker processes.

    Attributes:
        path: its folder.
        meta: ``faceset.json``.
        columns: the manifest, one array of N entries per column (see `facecycle.data.shards.COLUMNS`).
    """

    path: Path
    meta: dict[str, Any]
    columns: dict[str, np.ndarray]
    _files: dict[int, int] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, path: str | Path) -> FaceSet:
        """Open the face set in folder ``path``.

        Raises:
            FaceCycleError: it is none, is unfinished, empty or damaged, or has another format or crop.
        """
        path = Path(path)
        meta = _read_meta(path)
        try:
            columns = load_columns(path / "manifest.npz")
        except FileNotFoundError:
            raise FaceCycleError(f"{path}: not finished; run the command that wrote it again, it goes on") from None
        except (zipfile.BadZipFile, ValueError, EOFError) as error:
            raise FaceCycleError(
                f"{path}/manifest.npz: damaged ({error}); delete it and run the command that wrote it again"
            ) from None
        if not len(columns.get("key", ())):
            raise FaceCycleError(f"{path}: holds no faces; see sources.jsonl there for the reasons")
        faces = cls(path, meta, columns)
        faces._check_shards()
        return faces

    def __len__(self) -> int:
        return len(self.columns["key"])

    @property
    def size(self) -> int:
        """Pixels of a crop as the networks see it."""
        return self.meta["size"]

    @property
    def margin(self) -> float:
        """How much larger than the crop the stored picture is."""
        return self.meta["margin"]

    @property
    def stored(self) -> int:
        """Pixels of a stored picture."""
        return self.meta["stored"]

    @property
    def licence(self) -> str:
        """Terms of the pictures."""
        return self.meta["licence"]

    @property
    def crop(self) -> str:
        """Name of the crop convention."""
        return self.meta["crop"]

    def jpeg(self, index: int) -> bytes:
        """The compressed picture of row ``index``: one read."""
        shard, nbytes = int(self.columns["shard"][index]), int(self.columns["nbytes"][index])
        if shard not in self._files:
            if len(self._files) >= 256:  # a process may hold about 1,000 files open
                os.close(self._files.pop(next(iter(self._files))))
            self._files[shard] = os.open(shard_file(self.path, shard, "tar"), os.O_RDONLY)
        # pread leaves no file position behind, so that forked workers can share the handle.
        return os.pread(self._files[shard], nbytes, int(self.columns["offset"][index]))

    def image(self, index: int) -> UInt8[np.ndarray, "stored stored 3"]:
        """The stored picture of row ``index``, margin included, RGB.

        Raises:
            FaceCycleError: its bytes are damaged.
        """
        try:
            return decode(self.jpeg(index))
        except OSError as error:
            key, shard = self.columns["key"][index], shard_file(self.path, int(self.columns["shard"][index]), "tar")
            raise FaceCycleError(f"{shard}: picture {key} is damaged ({error}); copy the face set again") from None

    def clips(self) -> list[np.ndarray]:
        """Row indices of each clip, in the order of its frames; clips by name."""
        _, which = np.unique(self.columns["clip"], return_inverse=True)
        order = np.lexsort((self.columns["frame"], which))
        return np.split(order, np.flatnonzero(np.diff(which[order])) + 1)

    def people(self) -> list[str]:
        """Names of all people, sorted."""
        return np.unique(self.columns["person"]).tolist()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}  # handles mean nothing in another process

    def __del__(self) -> None:
        for handle in self.__dict__.get("_files", {}).values():
            os.close(handle)

    def _check_shards(self) -> None:
        ends = self.columns["offset"] + self.columns["nbytes"]
        for shard in np.unique(self.columns["shard"]).tolist():
            file = shard_file(self.path, shard, "tar")
            end = int(ends[self.columns["shard"] == shard].max())
            if not file.exists() or file.stat().st_size < end:
                problem = "cut short" if file.exists() else "missing"
                raise FaceCycleError(
                    f"{file}: {problem}; copy the face set again, or delete its .npz and write it anew"
                )


def decode(jpeg: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """A stored JPEG -> RGB."""
    image = Image.open(io.BytesIO(jpeg), formats=("JPEG",))
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _read_meta(path: Path) -> dict[str, Any]:
    try:
        meta = json.loads((path / "faceset.json").read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise FaceCycleError(f"{path}: no face set; make one with `facecycle prepare` or `facecycle synth`") from None
    except ValueError as error:
        raise FaceCycleError(f"{path}/faceset.json: damaged ({error}); copy the face set again") from None
    if meta.get("format") != FORMAT:
        raise FaceCycleError(
            f"{path}: format {meta.get('format')!r}, this version reads {FORMAT}; write it anew with this version"
        )
    if meta.get("crop") != CROP_NAME:
        raise FaceCycleError(f"{path}: crop {meta.get('crop')!r}, this version uses {CROP_NAME!r}; write it anew")
    return meta
