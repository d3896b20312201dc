"""Shared fixtures; and every jaxtyping annotation of the package checked at run time by beartype.

Left out are the modules that take what the caller gives and answer bad input in their own words.
"""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from pathlib import Path

from jaxtyping import install_import_hook

_FACE = {
    "widthwise.networks",
    "widthwise.store.store",
    *(f"widthwise.posterior.{name}" for name in ("infer", "prediction", "prepare", "scan", "storage")),
}
_ROOT = Path(__file__).parents[1] / "src"
_MODULES = {".".join(path.relative_to(_ROOT).with_suffix("").parts) for path in _ROOT.glob("widthwise/*/**/*.py")}
_hook = install_import_hook(sorted(_MODULES - _FACE), "typechecker.check")

import numpy as np
import pytest


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240607)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(here, capsys):
    """Run the command line in this process: (status, stdout, stderr)."""

    from widthwise import cli

    def run(*arguments):
        status = cli.run(list(map(str, arguments)))
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run
