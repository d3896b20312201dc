"""`probe`: what it prints and writes of a teacher's students and of real data, and how it refuses."""

import json

import pytest

from widthwise.probes import Teacher, phase_diagram

SMALL = ("--inputs", 10, "--units", 2, "--width", 2, "--sizes", "0.5,5", "--seeds", 5)


def strict(path):
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)


def test_it_writes_what_python_computes(call, here):
    status, out, err = call("probe", *SMALL, "--store", "p.db", "--json", "p.json", "--figure", "p.png", "--seed", 3)
    assert (status, err) == (0, "")
    teacher = Teacher.one_hidden_layer(10, 2, gain=2.0, key=3)
    expected = phase_diagram(
        teacher, sizes=(0.5, 5.0), widths=(1.0,), seeds=5, repeats=1, key=3, store="p.db", activation="erf"
    )
    record = strict(here / "p.json")
    assert [{**row, "seconds": 0} for row in record["runs"]] == [{**row, "seconds": 0} for row in expected.records()]
    assert record["runs"] == expected.records()  # of the store: not even trained again
    assert [said["word"] for said in record["verdicts"][0]] == ["memorised", "collapsed"]
    assert record["trajectory"][-1]["overlap"] == pytest.approx(1.0)
    assert record["recipe"]["key"] == 3
    assert (here / "p.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in here.iterdir()) == ["p.db", "p.json", "p.png"]
    for part in ("memorised 5/5", "collapsed 5/5", "from P = 100 it has become its teacher", "overlap above chance"):
        assert part in " ".join(out.split())
    assert max(map(len, out.splitlines()[:-2])) <= 100


def test_true_labels_beside_shuffled_ones(call, here):
    status, out, err = call(
        "probe", "--data", "digits", "--classes", "0,1", "--train-size", 40, "--test-size", 50, "--width", 3,
        "--json", "d.json", "--figure", "d.png",
    )  # fmt: skip
    assert (status, err) == (0, "")
    record = strict(here / "d.json")
    assert record["true"]["student"]["test_error"] < 0.5 < record["shuffled"]["student"]["test_error"]
    assert record["true"]["theory"]["alignment_before"] > record["shuffled"]["theory"]["alignment_before"]
    assert record["true"]["student"]["memorisation"] == pytest.approx(1.0, abs=0.02)  # p = 195 for 40 labels
    assert (here / "d.png").stat().st_size > 10_000
    for part in ("true labels", "shuffled labels", "order parameter Q", "R² on permuted labels", "p = 195"):
        assert part in out
    assert max(map(len, out.splitlines()[:-2])) <= 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("students",), "unknown teacher 'students'"),
        (("--sizes", "1,x"), "--sizes: expected numbers"),
        (("--sizes", "-1"), "sizes: expected numbers above zero"),
        (("--width", "0"), "--width: expected whole numbers of at least 1"),
        (("--width", "two"), "--width: expected whole numbers"),
        (("--method", "newton"), "unknown method 'newton'"),
        (("--activation", "erff"), "unknown activation"),
        (("--units", "30"), "30"),
        (("--gain", "-2"), "gain"),
        (("--figure", "p.gif"), "unknown figure format"),
        (("--data", "digits", "--noise", "0.1"), "--data: expected one --width, and no --noise"),
        (("--data", "digits", "--width", "3,4"), "--data: expected one --width"),
        (("--data", "nothing.npz"), "nothing.npz"),
    ],
)
def test_bad_input_is_one_line(call, here, arguments, message):
    status, out, err = call("probe", *arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not list(here.iterdir())


@pytest.mark.parametrize("family", ["deep", "hidden-manifold"])
def test_other_teachers(call, family):
    status, out, err = call("probe", family, "--inputs", 6, "--units", 2, "--width", 2, "--sizes", 2, "--seeds", 1)
    assert status == 0
    assert "expected 5 seeds or more, got 1" in err
    assert "P = 24" in out or "P = 12" in out
