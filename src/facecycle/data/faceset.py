"""The face set: crops of faces on disk, in shards, with one manifest that says where each lies and whose it is.

```
FACESET/faceset.json         format, crop, size, margin, stored, licence, origin
FACESET/shards/00000.tar     KEY.jpg and KEY.json per frame (WebDataset), uncompressed
FACESET/shards/00000.npz     that shard's rows; written last, it is the shard's commit
FACESET/shards/plan.json     which sources each shard holds, by `facecycle.data.prepare`
FACESET/manifest.npz         all rows
FACESET/sources.jsonl        one line per source: what became of it
```

The JPEG is the crop grown by ``margin`` (`Crop.expand`) drawn at ``stored`` pixels, so that a ``size`` crop of it can
be shifted, turned and scaled a little without leaving the picture.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from facecycle.data.crop import CROP_NAME
from facecycle.data.files import write_atomic
from facecycle.data.shards import (
    COLUMNS,
    ShardWriter,
    load_columns,
    save_columns,
    shard_file,
    shard_is_written,
    shard_name,
)
from facecycle.data.stores import CachedStore, Store, UrlStore, open_store
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
        FaceCycleError: the folder holds a face set made with other options, or something else, or is a URL.
    """
    if re.match(r"[A-Za-z][\w+.-]*:/", str(root)):  # one slash: a Path has lost the other
        raise FaceCycleError(f"{root}: face sets are written to folders; name one, and copy it to the store when done")
    root = Path(root)
    stored = stored_size(size, margin)
    meta: dict[str, Any] = {"format": FORMAT, "crop": CROP_NAME, "size": size, "margin": margin, "stored": stored}
    meta |= {"licence": licence, "origin": origin, **more}
    meta = json.loads(json.dumps(meta))  # as it will be read back: tuples become lists
    if (root / "faceset.json").exists():
        before = _read_meta(open_store(root))
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


@contextmanager
def alone(root: str | Path) -> Iterator[None]:
    """Nobody else writes the face set meanwhile.

    Raises:
        FaceCycleError: somebody does.
    """
    with open(Path(root) / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FaceCycleError(
                f"{root}: another process is writing it; wait for it, or name another folder"
            ) from None
        yield


def finish_faceset(root: str | Path, shards: int) -> None:
    """Merge ``shards`` written shards into ``manifest.npz`` and ``sources.jsonl``; the manifest comes last.

    Raises:
        FaceCycleError: a shard is not written yet, or two shards carry different labels.
    """
    root = Path(root)
    for index in range(shards):
        if not shard_is_written(root, index):
            raise FaceCycleError(f"{root}: shard {index} of {shards} is not written; run the same command again")
    parts = [load_columns(shard_file(root, index, "npz").read_bytes()) for index in range(shards)]
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
        store: where it lies.
        meta: ``faceset.json``.
        columns: the manifest, one array of N entries per column (see `facecycle.data.shards.COLUMNS`).
    """

    store: Store
    meta: dict[str, Any]
    columns: dict[str, np.ndarray]

    @classmethod
    def open(cls, path: str | Path, cache: str | Path | None = None) -> FaceSet:
        """Open a face set.

        Args:
            path: its folder, or where it lies in a store: any URL that fsspec reads, such as ``s3://bucket/faces``.
            cache: a folder in which the shards of a URL are kept once they were touched; by default nothing is kept,
                and each picture is a read of its own.

        Raises:
            FaceCycleError: it is none, is unfinished, empty or damaged, has another format or crop, or the store
                cannot be read.
        """
        store = open_store(path)
        meta = _read_meta(store)
        try:
            manifest = store.read("manifest.npz")
            columns = load_columns(manifest)
            if missing := COLUMNS.keys() - columns.keys():
                raise ValueError(f"no column {min(missing)}")
        except FileNotFoundError:
            raise FaceCycleError(f"{path}: not finished; run the command that wrote it again, it goes on") from None
        except (zipfile.BadZipFile, zlib.error, ValueError, EOFError) as error:
            raise FaceCycleError(
                f"{path}/manifest.npz: damaged ({error}); delete it and run the command that wrote it again"
            ) from None
        if not len(columns["key"]):
            raise FaceCycleError(f"{path}: holds no faces; see sources.jsonl there for the reasons")
        if cache and isinstance(store, UrlStore):
            # By its content: another face set that is put at the same address must not show the pictures of this one.
            store = CachedStore(store, Path(cache).expanduser() / hashlib.sha256(manifest).hexdigest()[:16])
        faces = cls(store, meta, columns)
        faces._check_shards()
        return faces

    def __len__(self) -> int:
        return len(self.columns["key"])

    @property
    def path(self) -> Path | str:
        """Its folder, or its URL."""
        return self.store.root

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
        return self._jpegs([index])[0]

    def image(self, index: int) -> UInt8[np.ndarray, "stored stored 3"]:
        """The stored picture of row ``index``, margin included, RGB.

        Raises:
            FaceCycleError: its bytes are damaged.
        """
        return next(self.images([index]))

    def images(self, rows: Sequence[int]) -> Iterator[UInt8[np.ndarray, "stored stored 3"]]:
        """The stored pictures of ``rows``, in order; read together, decoded one by one.

        Raises:
            FaceCycleError: the bytes of one are damaged.
        """
        for row, jpeg in zip(rows, self._jpegs(rows), strict=True):
            try:
                yield decode(jpeg, self.stored)
            except (OSError, Image.DecompressionBombError) as error:
                where = f"{self.path}/{shard_name(int(self.columns['shard'][row]), 'tar')}"
                raise FaceCycleError(
                    f"{where}: picture {self.columns['key'][row]} is damaged ({error}); copy the face set again"
                ) from None

    def _jpegs(self, rows: Sequence[int]) -> list[bytes]:
        shard, offset, nbytes = (self.columns[name] for name in ("shard", "offset", "nbytes"))
        return self.store.parts(
            [(shard_name(int(shard[row]), "tar"), int(offset[row]), int(nbytes[row])) for row in rows]
        )

    def clips(self) -> list[np.ndarray]:
        """Row indices of each clip, in the order of its frames; clips by name."""
        _, which = np.unique(self.columns["clip"], return_inverse=True)
        order = np.lexsort((self.columns["frame"], which))
        return np.split(order, np.flatnonzero(np.diff(which[order])) + 1)

    def people(self) -> list[str]:
        """Names of all people, sorted."""
        return np.unique(self.columns["person"]).tolist()

    def _check_shards(self) -> None:
        ends = self.columns["offset"] + self.columns["nbytes"]
        shards = np.unique(self.columns["shard"]).tolist()
        names = [shard_name(shard, "tar") for shard in shards]
        for shard, name, size in zip(shards, names, self.store.sizes(names), strict=True):
            if size is None or size < int(ends[self.columns["shard"] == shard].max()):
                problem = "missing" if size is None else "cut short"
                raise FaceCycleError(
                    f"{self.path}/{name}: {problem}; copy the face set again, or delete its .npz and write it anew"
                )


def encode(picture: UInt8[np.ndarray, "h w 3"], quality: int) -> bytes:
    """RGB -> JPEG with full colour resolution: at 64 pixels, halving it blurs eyes and lips."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def decode(jpeg: bytes, side: int | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """A stored JPEG -> RGB.

    Raises:
        OSError: damaged, or not ``side`` pixels wide and high; then no pixel is decoded.
    """
    image = Image.open(io.BytesIO(jpeg), formats=("JPEG",))
    if side is not None and image.size != (side, side):
        raise OSError(f"{image.width} x {image.height} pixels for {side}")
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _read_meta(store: Store) -> dict[str, Any]:
    path = store.root
    try:
        meta = dict(json.loads(store.read("faceset.json")))
    except (FileNotFoundError, NotADirectoryError):
        raise FaceCycleError(f"{path}: no face set; make one with `facecycle prepare` or `facecycle synth`") from None
    except (TypeError, ValueError) as error:
        raise FaceCycleError(f"{path}/faceset.json: damaged ({error}); copy the face set again") from None
    if meta.get("format") != FORMAT:
        raise FaceCycleError(
            f"{path}: format {meta.get('format')!r}, this version reads {FORMAT}; write it anew with this version"
        )
    if meta.get("crop") != CROP_NAME:
        raise FaceCycleError(f"{path}: crop {meta.get('crop')!r}, this version uses {CROP_NAME!r}; write it anew")
    if missing := {"size", "margin", "stored", "licence", "origin"} - meta.keys():
        raise FaceCycleError(f"{path}/faceset.json: damaged (no {min(missing)}); copy the face set again")
    return meta
