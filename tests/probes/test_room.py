"""The room's names: all there, no heavier than need be, and never hidden by a file of the same name."""

import importlib
import subprocess
import sys
from types import ModuleType

import pytest

from widthwise import probes


@pytest.mark.parametrize("name", probes.__all__)
def test_every_public_name_is_there(name):
    value = getattr(probes, name)
    assert callable(value)
    assert value.__name__ == name
    assert value.__doc__


@pytest.mark.parametrize("name", ["report", "train", "verdict", "copy_average", "story"])
def test_a_file_does_not_hide_the_function_of_its_name(name):
    assert isinstance(importlib.import_module(f"widthwise.probes.{name}"), ModuleType)
    assert not isinstance(getattr(probes, name), ModuleType)


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'techer'"):
        _ = probes.techer
    assert set(probes.__all__) <= set(dir(probes))


def test_teachers_need_no_jax():
    code = (
        "import sys; from widthwise.probes import Teacher; t = Teacher.one_hidden_layer(5, 2); "
        "t.sample(9, noise=0.1); t.power; t.spectrum(); sys.exit('jax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
