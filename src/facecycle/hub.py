"""Where weights are found: a path, a name, or the Hugging Face Hub. What is on this machine comes first."""

from __future__ import annotations

import os
from pathlib import Path

from facecycle.errors import FaceCycleError

DEFAULT = "synthetic"
"""The name of the weights that are used when none are named."""
SHIPPED = Path(__file__).parent / "pretrained"
SUFFIXES = (".safetensors", ".onnx")


def weight_folders() -> list[Path]:
    """Where names are looked up, in order: ``$FACECYCLE_WEIGHTS``, the user's cache, the package itself."""
    named = [Path(folder) for folder in os.environ.get("FACECYCLE_WEIGHTS", "").split(os.pathsep) if folder]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "facecycle" / "weights"
    return [*named, cache, SHIPPED]


def list_weights() -> list[str]:
    """The names that `find_weights` knows on this machine."""
    files = [file for folder in weight_folders() if folder.is_dir() for file in folder.iterdir()]
    return sorted({file.stem for file in files if file.suffix in SUFFIXES})


def find_weights(name_or_path: str | Path = DEFAULT, download: bool = False) -> Path:
    """The file or run folder meant.

    Args:
        name_or_path: a run folder, a ``.safetensors`` or ``.onnx`` file, a name of `list_weights`, or a Hub
            repository ``owner/name`` that holds a ``weights.safetensors``.
        download: fetch a Hub repository that is not in its cache. Nothing is ever fetched otherwise.

    Raises:
        FaceCycleError: found nowhere; the message says every place that was looked at, and how to get weights.
    """
    name = str(name_or_path)
    if Path(name).exists():
        return Path(name)
    tried = [f"{Path(name)} (no such path)"]
    if Path(name).name == name:
        for folder in weight_folders():
            for suffix in SUFFIXES:
                file = folder / (name if name.endswith(suffix) else name + suffix)
                if file.is_file():
                    return file
            tried.append(f"{folder} (no {name}.safetensors)")
    elif name.count("/") == 1 and not name.startswith((".", "/", "~")) and not name.endswith(SUFFIXES):
        found = _from_hub(name, download)
        if isinstance(found, Path):
            return found
        tried.append(f"the Hub ({found})")
    raise FaceCycleError(
        f"no weights {name!r}; looked at {'; '.join(tried)}. Known here: {', '.join(list_weights()) or 'none'}. "
        "Train some (`facecycle train --data synthetic --run RUN --preset smoke`) and name the run folder"
    )


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
            return "not in its cache, and no download was asked for: --download, or download=True"
        return str(error).splitlines()[0]
