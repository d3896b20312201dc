"""Studies by name, and how they are asked to run."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import widthwise as ww
import widthwise.sampling
from widthwise.errors import InputError
from widthwise.reproduce import STUDIES, Reproduction, Row, Setup, Study, registry, reproduce


def toy(run):
    return Study("toy", "a title", "nobody", "", run, lambda found: None, ("0", "0"))


@pytest.fixture
def study(monkeypatch):
    """Puts a study of the name "toy" among the others."""

    def register(run):
        monkeypatch.setitem(registry._MODULES, "toy", "toy")
        monkeypatch.setitem(sys.modules, "widthwise.reproduce.toy", SimpleNamespace(STUDY=toy(run)))

    return register


def test_reproduce_hands_everything_on_and_takes_the_time(study):
    seen = []

    def run(setup):
        seen.append(setup)
        setup.say("working")
        return Reproduction("toy", "a title", (Row("a", 1, "q", 0.4),), (), 0.0, {})

    said = []
    study(run)
    found = reproduce("toy", full=True, data="here", seed=3, store="s.db", resume=False, say=said.append)
    assert found.seconds > 0
    assert said == ["working"]
    assert replace(seen[0], say=print) == Setup(True, Path("here"), 3, "s.db", False, print)
    reproduce("toy")
    assert (seen[1].full, seen[1].data, seen[1].store, seen[1].resume) == (False, None, None, True)


def test_a_setup_samples_with_its_own_settings(monkeypatch):
    def sample(*data, **options):
        return data, options

    monkeypatch.setattr(widthwise.sampling, "sample", sample)
    setup = Setup(full=False, seed=5, store="s.db", resume=False)
    data, options = setup.sample("net", 1, 2, 3, 4, temperature=0.5, sampler=ww.HMC(draws=30))
    assert data == ("net", 1, 2, 3, 4)
    assert options == {
        "temperature": 0.5,
        "sampler": ww.HMC(draws=30, weights_memory=0.01),
        "key": 5,
        "progress": False,
        "throw": False,
        "store": "s.db",
        "resume": False,
    }


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(InputError, match=r"unknown study 'baglioni'.*did you mean 'baglioni2024'"):
        reproduce("baglioni")


@pytest.mark.parametrize("name", registry._MODULES)
def test_every_study_says_what_it_is(name):
    study = STUDIES[name]
    assert study.name == name
    assert study.title
    assert study.source
    assert all(float(minutes.strip("<~ ").split("-")[0]) >= 0 for minutes in study.minutes)


def test_the_list_is_a_mapping():
    assert len(STUDIES) == len(list(STUDIES)) == len(registry._MODULES)
    assert "nothing" not in STUDIES


def test_looking_at_the_list_imports_nothing_heavy():
    code = (
        "import sys; from widthwise.reproduce import STUDIES; list(STUDIES);"
        "assert not {'jax', 'matplotlib', 'scipy.stats', 'blackjax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
