"""Where weights are found: a path, a name, or the Hugging Face Hub. What is on this machine comes first."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from facecycle.errors import FaceCycleError

DEFAULT = "facecycle-synthetic"
"""The name of the weights that are used when none are named."""
SHIPPED = Path(__file__).parent / "pretrained"
SUMS = SHIPPED / "SHA256SUMS"
SUFFIXES = (".safetensors", ".onnx")


@dataclass(frozen=True)
class WeightsEntry:
    """Weights that are on this machine."""

    name: str
    path: Path
    licence: str
    """Of the data they were trained on, hence of the weights."""
    megabytes: float


def weight_folders() -> list[Path]:
    """Where names are looked up, in order: ``$FACECYCLE_WEIGHTS``, the user's cache, the package itself."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "facecycle" / "weights"
    return [*named_folders(), cache, SHIPPED]


def named_folders() -> list[Path]:
    """Those that ``$FACECYCLE_WEIGHTS`` names."""
    return [Path(folder) for folder in os.environ.get("FACECYCLE_WEIGHTS", "").split(os.pathsep) if folder]


def list_weights() -> list[WeightsEntry]:
    """The weights that `find_weights` knows by name on this machine; where a name occurs twice, the one it takes."""
    found: dict[str, WeightsEntry] = {}
    for folder in weight_folders():
        for suffix in SUFFIXES:
            for path in sorted(folder.glob(f"*{suffix}")):
                entry = WeightsEntry(path.stem, path, _licence(path), path.stat().st_size / 1e6)
                found.setdefault(path.stem, entry)
    return [found[name] for name in sorted(found)]


def find_weights(name_or_path: str | Path = DEFAULT, download: bool = False) -> Path:
    """The file or run folder meant.

    Args:
        name_or_path: a run folder, a ``.safetensors`` or ``.onnx`` file, a name of `list_weights`, or a Hub
            repository ``owner/name`` that holds a ``weights.safetensors``.
        download: fetch a Hub repository that is not in its cache. Nothing is ever fetched otherwise.

    Raises:
        FaceCycleError: no name, or found nowhere; the message says every place that was looked at, and how to get
            weights.
    """
    name = str(name_or_path)
    if not name:  # to Path the current folder
        raise FaceCycleError("weights: an empty name; give a path, or leave it out")
    if Path(name).exists():
        return _checked(Path(name))
    tried = [f"{Path(name)} (no such path)"]
    if Path(name).name == name:
        for folder in weight_folders():
            for suffix in SUFFIXES:
                file = folder / (name if name.endswith(suffix) else name + suffix)
                if file.is_file():
                    return _checked(file)
            tried.append(f"{folder} (no {name}.safetensors)")
    elif name.count("/") == 1 and not name.startswith((".", "/", "~")) and not name.endswith(SUFFIXES):
        found = _from_hub(name, download)
        if isinstance(found, Path):
            return found
        tried.append(f"the Hub ({found})")
    known = ", ".join(entry.name for entry in list_weights()) or "none"
    raise FaceCycleError(
        f"no weights {name!r}; looked at {'; '.join(tried)}. Known here: {known}. "
        "Train some (`facecycle train --data synthetic --run RUN --preset smoke`) and name the run folder"
    )


def _checked(file: Path) -> Path:
    """A file, if it is the one that ``SHA256SUMS`` beside it names; where nothing does, as it is.

    Raises:
        FaceCycleError: its SHA-256 is another one.
    """
    beside = file.with_name(SUMS.name)
    if not file.is_file() or not beside.is_file():
        return file
    lines = [line.split() for line in beside.read_text("utf-8").splitlines()]
    sums = {line[1]: line[0] for line in lines if len(line) == 2}
    wanted = sums.get(file.name, "none" if file.parent == SHIPPED else "")
    if wanted and wanted != (found := hashlib.sha256(file.read_bytes()).hexdigest()):
        raise FaceCycleError(
            f"{file}: SHA-256 {found[:12]}..., shipped with {wanted[:12]}...: the file was changed or cut; "
            "get it again, or keep weights of your own in another folder"
        )
    return file


def _licence(path: Path) -> str:
    if path.suffix != ".safetensors":
        return "see the model's metadata"
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return (file.metadata() or {}).get("licence", "unknown")
    except (SafetensorError, OSError) as error:
        return f"unreadable ({error})"


def _from_hub(repository: str, download: bool) -> Path | str:
    """The file in the Hub's cache, or fetched if asked for; else why not."""
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError:
        return "huggingface_hub is not installed: pip install 'facecycle[hub]'"
    try:
        return Path(hf_hub_download(repository, "weights.safetensors", local_files_only=not download))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        if not download:
            return "not in its cache, and no download was asked for: embed ... --download, or download=True"
        return str(error).splitlines()[0]
