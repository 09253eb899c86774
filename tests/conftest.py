"""Shapes in annotations are enforced under pytest, and only there."""

from jaxtyping import install_import_hook

install_import_hook("facecycle", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")
