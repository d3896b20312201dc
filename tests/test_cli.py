"""The command line as users meet it: what it prints and writes, and how it refuses."""

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

import widthwise as ww
from widthwise import cli
from widthwise.errors import NumericalError

FEW = ["digits", "--train-size", "30", "--test-size", "20"]
SMALL = [*FEW, "--width", "40"]
KEYS = [
    "network", "data", "temperature", "approximation", "order_parameters", "certificate", "validity", "load",
    "log_evidence", "log_evidence_gain", "training_error", "generalisation_error", "accuracy", "calibration",
    "infinite_width", "seconds",
]  # fmt: skip


def strict(path):
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)


def test_predict_writes_what_python_computes(call, here):
    status, out, err = call(
        "predict", *SMALL, "--temperature", 0.1, "--weight-precisions", "2,0.5", "--bias-variance", 0.3, "--classes",
        "3,8", "--seed", 5, "--json", "p.json", "--figure", "p.png",
    )  # fmt: skip
    assert (status, err) == (0, "")
    record = strict(here / "p.json")
    assert list(record) == KEYS
    X, y, X_test, y_test = ww.load_data("digits", classes=(3, 8), train_size=30, test_size=20, seed=5)
    network = ww.FullyConnected(widths=(40,), weight_precisions=(2.0, 0.5), bias_variance=0.3)
    posterior = ww.infer(network, X, y, temperature=0.1)
    score = posterior.score(X_test, y_test)
    assert record["order_parameters"]["Q"] == pytest.approx(posterior.order_parameters["Q"], rel=1e-9)
    assert record["log_evidence"] == pytest.approx(posterior.log_evidence, rel=1e-9)
    assert record["log_evidence_gain"] == pytest.approx(posterior.log_evidence_gain, rel=1e-7)
    assert f"{posterior.log_evidence_gain:+.2f} nats" in out
    predicted = posterior.calibration(X_test, y_test)
    assert record["calibration"]["coverage"] == list(predicted.coverage)
    assert record["calibration"]["brier_score"] == pytest.approx(predicted.brier_score, rel=1e-7)
    for name in ("total", "bias", "variance"):
        assert record["generalisation_error"][name] == pytest.approx(getattr(score, name), rel=1e-7)
        assert record["training_error"][name] == pytest.approx(getattr(posterior.training_error, name), rel=1e-7)
    assert record["accuracy"] == score.accuracy
    assert record["load"] == [0.75]
    assert record["network"]["weight_precisions"] == [2.0, 0.5]
    assert record["data"]["classes"] == ["3", "8"]
    assert f"{score.total:#.5g}" in out
    assert record["validity"]["verdict"] in out
    assert (here / "p.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in here.iterdir()) == ["p.json", "p.png"]


def test_infinite_width_is_scikit_learn_s_gaussian_process(call, here):
    """Identity network: K = X Xᵀ/(λ_0 λ_1 N_0), against GaussianProcessRegressor with that kernel."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct

    call("predict", *SMALL, "--activation", "identity", "--weight-precisions", "2,0.5", "--json", "p.json")
    X, y, X_test, y_test = ww.load_data("digits", classes="0,1", train_size=30, test_size=20)
    kernel = ConstantKernel(1 / 64, "fixed") * DotProduct(1e-9, "fixed")
    mean, deviation = GaussianProcessRegressor(kernel, alpha=0.01, optimizer=None).fit(X, y).predict(X_test, True)
    expected = strict(here / "p.json")["infinite_width"]["generalisation_error"]
    assert expected["bias"] == pytest.approx(np.mean((y_test - mean) ** 2), rel=1e-6)
    assert expected["variance"] == pytest.approx(np.mean(deviation**2), rel=1e-6)


ARCHITECTURES = {
    "three classes": (["--classes", "0,1,2"], {}),
    "nested": (["--width", "30,20", "--closure", "nested"], {"widths": (30, 20), "closure": "nested"}),
    "biases at depth": (["--depth", "2", "--bias-variance", "0.2"], {"widths": (40, 40), "bias_variance": 0.2}),
    "average": (["--conv", "12,4x2", "--stride", "2", "--readout", "average"], None),
    "patches": (["--conv", "12,4", "--padding", "same", "--approximation", "saddle"], None),
}


@pytest.mark.parametrize("case", ARCHITECTURES)
def test_every_architecture_has_its_options(case, call, here):
    options, described = ARCHITECTURES[case]
    images = described is None
    small = FEW if images else SMALL
    status, _, err = call("predict", *small, "--temperature", 0.1, *options, "--json", "p.json", "--figure", "p.png")
    assert (status, err) == (0, "")
    classes = (0, 1, 2) if case == "three classes" else (0, 1)
    data = ww.load_data("digits", classes=classes, train_size=30, test_size=20, flatten=not images)
    if case == "average":
        network = ww.Convolutional(12, (4, 2), stride=2, readout="average")
    elif case == "patches":
        network = ww.Convolutional(12, 4, padding="same")
    else:
        network = ww.FullyConnected(**({"widths": (40,)} | described))
    X, y, X_test, y_test = data
    posterior = ww.infer(network, X, y, temperature=0.1, approximation="saddle")
    record = strict(here / "p.json")
    assert record["generalisation_error"]["total"] == pytest.approx(posterior.score(X_test, y_test).total, rel=1e-6)
    assert record["accuracy"] == posterior.score(X_test, y_test).accuracy
    np.testing.assert_allclose(record["order_parameters"]["Q"], posterior.order_parameters["Q"], rtol=1e-5, atol=1e-7)
    wide = ww.infer(network, X, y, temperature=0.1, approximation="infinite")
    assert record["infinite_width"]["training_error"]["total"] == pytest.approx(wide.training_error.total, rel=1e-6)
    assert (here / "p.png").read_bytes().startswith(b"\x89PNG")


def test_two_convolutional_layers_of_a_linear_network(call, here, monkeypatch):
    small = ww.MonteCarlo(draws=60)
    monkeypatch.setattr("widthwise.posterior.patches.MonteCarlo", lambda: small)
    options = ["--conv", "6,4", "--conv", "5,2x1", "--stride", "2", "--stride", "1", "--activation", "identity"]
    status, _, err = call("predict", *FEW, "--temperature", 1.0, *options, "--json", "p.json", "--figure", "p.png")
    assert (status, err) == (0, "")
    X, y, X_test, y_test = ww.load_data("digits", classes=(0, 1), train_size=30, test_size=20, flatten=False)
    network = ww.Convolutional((6, 5), ((4, 4), (2, 1)), stride=((2, 2), (1, 1)), activation="identity")
    posterior = ww.infer(network, X, y, temperature=1.0, monte_carlo=small)
    record = strict(here / "p.json")
    assert record["generalisation_error"]["total"] == pytest.approx(posterior.score(X_test, y_test).total, rel=1e-9)
    assert set(record["order_parameters"]) == {"Q", "Q_2"}
    assert record["network"]["channels"] == [6, 5]
    assert (here / "p.png").read_bytes().startswith(b"\x89PNG")


def test_bare_predict_is_sensible(call, here):
    status, out, err = call("predict", "--json", "p.json")
    assert (status, err) == (0, "")
    record = strict(here / "p.json")
    assert record["data"]["classes"] == ["0", "1"]
    assert (record["data"]["train_size"], record["data"]["test_size"]) == (200, 100)
    assert (record["network"]["widths"], record["network"]["activation"]) == ([200], "erf")
    assert record["temperature"] == 0.01
    assert "width 200" in out


def test_a_csv_regression(call, here, rng):
    X = rng.normal(size=(60, 3))
    lines = [",".join(f"{v:.6f}" for v in row) for row in np.column_stack([X, X @ [1.0, -2.0, 0.5]])]
    (here / "t.csv").write_text("\n".join(["a,b,c,strength", *lines]))
    status, out, err = call("predict", "t.csv", "--target", "strength", "--width", 30, "--json", "t.json")
    assert (status, err) == (0, "")
    record = strict(here / "t.json")
    assert record["data"]["task"] == "regression"
    assert record["accuracy"] is None
    assert "accuracy" not in out


@pytest.mark.parametrize("approximation", ["saddle", "integrated", "infinite"])
def test_approximations_by_name(call, here, approximation):
    assert call("predict", *SMALL, "--approximation", approximation, "--json", "a.json")[0] == 0
    assert strict(here / "a.json")["approximation"] == approximation


def test_the_figure_of_every_format(call, here):
    for suffix in ("pdf", "svg"):
        assert call("predict", *SMALL, "--figure", f"f.{suffix}")[0] == 0
        assert (here / f"f.{suffix}").stat().st_size > 5000


def test_warnings_are_notes_on_stderr(call, here):
    np.savez(here / "t.npz", X=np.random.default_rng(0).normal(size=(20, 3)), y=np.full(20, 0.5))
    status, _, err = call("predict", "t.npz", "--width", 10)
    assert status == 0
    assert err.startswith("widthwise: note: ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("option", ["--json", "--store", "--trace", "--figure"])
@pytest.mark.parametrize("command", ["predict", "verify"])
def test_what_is_read_is_not_written_over(call, here, command, option):
    if command == "predict" and option in ("--store", "--trace"):
        pytest.skip("no such option")
    name = "t.npz" if option in ("--json", "--store") else "t.png"
    np.savez(here / "t.npz", X=np.random.default_rng(0).normal(size=(20, 3)), y=np.arange(20) % 2)
    if name == "t.png":
        (here / name).symlink_to("t.npz")
    before = (here / "t.npz").read_bytes()
    status, _, err = call(command, "t.npz", option, name)
    assert status == 2
    assert f"{option}: expected another file than the data are read from" in err
    assert (here / "t.npz").read_bytes() == before


def test_a_dash_is_no_file(call, here):
    """Stdout has the table."""
    status, _, err = call("predict", *SMALL, "--json", "-")
    assert (status, list(here.iterdir())) == (2, [])
    assert "--json: expected the name of a file, got '-'" in err


@pytest.mark.parametrize("width", [50, 60, 80])
def test_no_number_is_cut_however_narrow(call, monkeypatch, width):
    from rich.console import Console

    wide = call("predict", *SMALL)[1]
    monkeypatch.setattr("widthwise.cli.commands.console", lambda: Console(width=width))
    status, narrow, _ = call("predict", *SMALL)
    assert status == 0
    assert "…" not in narrow
    assert max(map(len, narrow.splitlines())) <= width
    numbers = [word for word in wide[: wide.index("validity")].split() if word[-1:].isdigit()]
    assert set(numbers) <= set(narrow.split())


def write_bad_files(folder):
    X, y = np.arange(24.0).reshape(8, 3), np.arange(8) % 2
    np.savez(folder / "good.npz", X=X, y=y)
    np.savez(folder / "nan.npz", X=np.where(X == 5, np.nan, X), y=y)
    np.savez(folder / "inf.npz", X=np.where(X == 5, np.inf, X), y=y)
    np.savez(folder / "lengths.npz", X=X, y=y[:5])
    np.savez(folder / "empty.npz", X=X[:0], y=y[:0])
    np.savez(folder / "one_class.npz", X=X, y=np.zeros(8, dtype=int))
    np.savez(folder / "keys.npz", data=X, y=y)
    np.savez(folder / "objects.npz", X=np.array([[{}]], dtype=object), y=y[:1])
    (folder / "truncated.npz").write_bytes((folder / "good.npz").read_bytes()[:200])
    (folder / "text.npz").write_text("not an archive")
    (folder / "good.csv").write_text("a,b,y\n1,2,0\n2,1,1\n3,1,0\n1,0,1\n")
    (folder / "words.csv").write_text("a,b,y\n1,red,0\n2,blue,1\n")
    (folder / "ragged.csv").write_text("a,b,y\n1,2,0\n1\n")
    (folder / "junk.parquet").write_bytes(b"PAR1 nothing PAR1")


BAD = {
    "unknown data set": (["predict", "digist"], "did you mean 'digits'"),
    "no such file": (["predict", "nowhere.npz"], "there is none"),
    "near file": (["predict", "god.npz"], "did you mean 'good.npz'"),
    "unknown suffix": (["predict", "file.xlsx"], "convert or rename"),
    "folder": (["predict", "./"], "expected a"),
    "nan": (["predict", "nan.npz"], "nan at index (1, 2)"),
    "inf": (["predict", "inf.npz"], "inf at index"),
    "lengths": (["predict", "lengths.npz"], "5 targets for 8 examples"),
    "no examples": (["predict", "empty.npz"], "at least one example"),
    "one class": (["predict", "one_class.npz"], "at least two classes"),
    "array names": (["predict", "keys.npz"], "got data, y"),
    "objects": (["predict", "objects.npz"], "never unpickled"),
    "truncated": (["predict", "truncated.npz"], "truncated.npz"),
    "not an archive": (["predict", "text.npz"], "text.npz"),
    "text column": (["predict", "words.csv"], "'b'"),
    "ragged": (["predict", "ragged.csv"], "ragged.csv"),
    "junk parquet": (["predict", "junk.parquet"], "junk.parquet"),
    "missing column": (["predict", "good.csv", "--target", "z"], "unknown column"),
    "near column": (["predict", "words.csv", "--target", "yy"], "did you mean 'y'"),
    "target of digits": (["predict", "digits", "--target", "y"], "leave target out"),
    "class": (["predict", "--classes", "0,77"], "unknown class '77'"),
    "single class": (["predict", "--classes", "0"], "at least two classes"),
    "too many": (["predict", "--train-size", "9999"], "ask for fewer"),
    "none to train on": (["predict", "--train-size", "0"], "train_size"),
    "labels": (["predict", "--labels", "onehott"], "did you mean 'onehot'"),
    "standardise": (["predict", "--standardise", "featur"], "did you mean 'feature'"),
    "seed": (["predict", "--seed", "-1"], "seed"),
    "width": (["predict", "--width", "0"], "widths"),
    "negative width": (["predict", "--width", "-5"], "widths"),
    "fractional width": (["predict", "--width", "2.5"], "--width"),
    "worded width": (["predict", "--width", "wide"], "--width"),
    "huge width": (["predict", "--width", "9" * 400], "expected"),
    "depth zero": (["predict", "--depth", "0"], "--depth"),
    "closure": (["predict", "--closure", "nestd"], "did you mean 'nested'"),
    "conv without a patch": (["predict", "--conv", "16"], "expected CHANNELS,PATCH"),
    "conv of words": (["predict", "--conv", "many,4"], "--conv"),
    "conv of a channel, a patch and a stride": (["predict", "--conv", "16,4,2"], "expected CHANNELS,PATCH"),
    "conv of half a patch": (["predict", "--conv", "16,x"], "got 'x'"),
    "width of a conv": (["predict", "--conv", "16,4", "--width", "30"], "--width: expected none with --conv"),
    "closure of a conv": (["predict", "--conv", "16,4", "--closure", "nested"], "--closure: expected none with --conv"),
    "patch too large": (["predict", "--conv", "16,9"], "at most the image's 8x8"),
    "padding without conv": (["predict", "--padding", "same"], "with --conv only"),
    "stride without conv": (["predict", "--stride", "2"], "with --conv only"),
    "conv of depth two": (["predict", "--conv", "16,4", "--depth", "2"], "one per --conv"),
    "two erf convolutions": (["predict", "--conv", "8,2", "--conv", "8,2"], "identity"),
    "conv on rows": (["predict", "good.npz", "--conv", "16,2"], "(examples, height, width)"),
    "depth against widths": (["predict", "--width", "20,30", "--depth", "3"], "--depth"),
    "activation": (["predict", "--activation", "relo"], "did you mean 'relu'"),
    "temperature zero": (["predict", "--temperature", "0"], "temperature"),
    "temperature negative": (["predict", "--temperature", "-1"], "temperature"),
    "temperature nan": (["predict", "--temperature", "nan"], "temperature"),
    "temperature inf": (["predict", "--temperature", "inf"], "temperature"),
    "temperature word": (["predict", "--temperature", "hot"], "--temperature"),
    "precision": (["predict", "--weight-precisions", "0"], "weight_precisions"),
    "precisions": (["predict", "--weight-precisions", "1,2,3"], "weight_precisions"),
    "precision word": (["predict", "--weight-precisions", "a"], "--weight-precisions"),
    "bias": (["predict", "--bias-variance", "-1"], "bias_variance"),
    "approximation": (["predict", "--approximation", "sadle"], "did you mean 'saddle'"),
    "json folder": (["predict", "--json", "no/such/p.json"], "--json"),
    "json is a folder": (["predict", "--json", "."], "--json"),
    "figure folder": (["predict", "--figure", "no/such/p.png"], "--figure"),
    "figure suffix": (["predict", "--figure", "p.bmp"], "figure format"),
    "same file": (["predict", "--json", "p.png", "--figure", "p.png"], "expected two files"),
    "option": (["predict", "--widht", "3"], "--width"),
    "command": (["predct"], "predict"),
    "no value": (["predict", "--width"], "--width"),
    "too many arguments": (["predict", "digits", "mnist"], "unexpected"),
    "whole number": (["predict", "--train-size", "many"], "--train-size"),
    "sampler": (["verify", "--sampler", "nutz"], "unknown sampler"),
    "chains": (["verify", "--chains", "0"], "chains"),
    "draws": (["verify", "--draws", "0"], "draws"),
    "verify data": (["verify", "digist"], "did you mean 'digits'"),
    "verify json": (["verify", "--json", "no/such/p.json"], "--json"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(case, call, here):
    arguments, words = BAD[case]
    write_bad_files(here)
    before = sorted(p.name for p in here.iterdir())
    outputs = [] if "--json" in arguments or "--figure" in arguments else ["--json", "p.json", "--figure", "p.png"]
    status, out, err = call(*arguments, *([] if arguments == ["predct"] or arguments[-1] == "--width" else outputs))
    assert status == 2, err
    assert out == ""
    assert err.startswith("widthwise: ")
    assert len(err.splitlines()) == 1
    assert words in err
    assert "Traceback" not in err
    assert sorted(p.name for p in here.iterdir()) == before


def test_unwritable_paths_are_found_before_the_work(call, monkeypatch):
    monkeypatch.setattr(cli.commands, "_predict", lambda request: pytest.fail("computed first"))
    for arguments in (["--json", "no/such/p.json"], ["--figure", "no/such/p.png"], ["--figure", "p.bmp"]):
        assert call("predict", *arguments)[0] == 2
        assert call("verify", *arguments)[0] == 2


def test_numerical_failure_is_status_one(call, monkeypatch, here):
    def fail(*_, **__):
        raise NumericalError("the saddle did not converge;\nraise the temperature.")

    monkeypatch.setattr("widthwise.posterior.infer", fail)
    monkeypatch.setattr(ww, "infer", fail, raising=False)
    status, out, err = call("predict", *SMALL, "--json", "p.json")
    assert (status, out, len(err.splitlines())) == (1, "", 1)
    assert list(here.iterdir()) == []


def test_a_fault_of_ours_is_one_line_too(call, monkeypatch):
    monkeypatch.setattr(cli.commands, "network_of", lambda request: [][1])
    status, _, err = call("predict")
    assert (status, len(err.splitlines())) == (1, 1)
    assert "IndexError" in err
    monkeypatch.setenv("WIDTHWISE_TRACEBACK", "1")
    with pytest.raises(IndexError):
        call("predict")


def test_a_failing_figure_leaves_no_json(call, monkeypatch, here):
    monkeypatch.setattr(cli.commands, "_figure", lambda *_: [][1])
    assert call("predict", *SMALL, "--json", "p.json", "--figure", "p.png")[0] == 1
    assert list(here.iterdir()) == []


def test_an_interrupt_is_status_130(call, monkeypatch):
    def interrupt(request):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.commands, "_predict", interrupt)
    status, out, err = call("predict")
    assert (status, out, len(err.splitlines())) == (130, "", 1)


def test_version_and_help(call):
    assert call("--version") == (0, f"widthwise {ww.__version__}\n", "")
    for arguments in ([], ["--help"], ["predict", "--help"], ["verify", "-h"]):
        status, out, err = call(*arguments)
        assert (status, err) == (0, "")
        assert "Usage" in out


def fake_samples(offset):
    def estimate(value):
        return SimpleNamespace(value=value, standard_error=0.001, ess=300.0, rhat=1.0)

    def sample(network, X, y, X_test, y_test, *, temperature, sampler, key, progress):
        posterior = ww.infer(network, X, y, temperature=temperature)
        test = posterior.score(X_test, y_test).total
        return SimpleNamespace(
            network=network,
            temperature=temperature,
            y=y,
            X_test=X_test,
            y_test=y_test,
            training_error=estimate(posterior.training_error.total),
            generalisation_error=estimate(test + offset),
            mean=np.zeros(len(y_test)),
            coverage=lambda lower, upper: estimate(float(np.mean((lower < 0) & (upper > 0)))),
            probability_below=lambda values, observed: np.full(len(values), 0.3),
            negative_log_likelihood=estimate(0.54321),
        )

    return sample


def test_verify_compares_with_what_was_sampled(call, here, monkeypatch):
    monkeypatch.setattr(ww, "sample", fake_samples(0.02), raising=False)
    status, out, err = call("verify", *SMALL, "--draws", 20, "--quiet", "--json", "v.json", "--figure", "v.png")
    assert (status, err) == (0, "")
    record = strict(here / "v.json")
    assert set(KEYS) < set(record)
    training, test = record["comparison"]
    assert training["verdict"] == "agrees"
    assert test["z"] == pytest.approx(20, abs=0.1)
    assert test["verdict"].startswith("differs by")
    calibration = record["calibration"]
    assert {"coverage", "brier_score", "rows", "log_evidence_gain"} <= set(calibration)
    assert [row["targets_sampled"] for row in calibration["rows"]] == [1.0] * 4
    assert calibration["log_evidence_gain"] == pytest.approx(record["log_evidence_gain"], abs=1e-8)
    assert "0.54321 ± 0.00100" in out
    assert "agrees" in out
    assert "differs by" in out
    assert (here / "v.png").stat().st_size > 5000


def test_chains_that_did_not_mix_leave_the_prediction_and_advice(call, here):
    status, out, err = call(
        "verify", *SMALL, "--draws", 10, "--chains", 2, "--warmup", 20, "--quiet", "--json", "v.json"
    )
    assert status == 1
    assert "test error" in out
    assert "have not mixed" in err
    assert "--draws 40 --warmup 40" in err
    assert not (here / "v.json").exists()


def test_a_deep_network_has_a_figure(call, here):
    status, _, err = call("predict", *SMALL, "--width", "40,20", "--figure", "deep.png", "--json", "deep.json")
    assert (status, err) == (0, "")
    assert len(strict(here / "deep.json")["order_parameters"]["Q"]) == 2
    assert (here / "deep.png").stat().st_size > 5000


@pytest.fixture
def heeded_interrupts():
    """A background job ignores SIGINT and hands that on; what has a handler starts its children with the default."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("delay", [0.3, 4.0])
def test_an_interrupt_ends_it_at_once(here, heeded_interrupts, delay):
    code = [sys.executable, "-m", "widthwise.cli", "verify", "--quiet", "--draws", "20000", "--json", "v.json"]
    streams = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(code, cwd=here, **streams) as process:
        try:
            time.sleep(delay)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=10)
        finally:
            process.kill()  # should it not heed them: nobody waits for 20000 draws
    assert process.returncode in (130, -2)  # -2: before the interpreter had reached our code
    assert "Traceback" not in err or process.returncode == -2
    assert list(here.iterdir()) == []


@pytest.mark.slow
def test_verify_samples_the_real_network(call, here):
    status, out, err = call(
        "verify", *SMALL, "--activation", "identity", "--temperature", 0.1, "--weight-precisions", "2,0.5", "--json",
        "v.json", "--quiet",
    )  # fmt: skip
    assert (status, err) == (0, "")
    rows = strict(here / "v.json")["comparison"]
    assert {"training error", "test error"} <= {row["quantity"] for row in rows}
    assert all(abs(row["z"]) < 4.5 for row in rows)  # the identity's integrated theory is exact
    assert "sampled" in out


def command(*arguments, **options):
    code = [sys.executable, "-m", "widthwise.cli", *arguments]
    return subprocess.run(code, capture_output=True, text=True, encoding="utf-8", **options)


def test_as_a_process(here):
    bad = command("predict", "digist", cwd=here)
    assert (bad.returncode, bad.stdout, len(bad.stderr.splitlines())) == (2, "", 1)
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    good = command("predict", *SMALL, "--json", "p.json", cwd=here, env=environment)
    assert (good.returncode, good.stderr) == (0, "")
    assert "test error" in good.stdout


def test_predict_needs_neither_jax_nor_matplotlib():
    code = (
        "import sys; from widthwise.cli import run; assert run(['predict', 'digits']) == 0;"
        "sys.exit(any(name in sys.modules for name in ('jax', 'matplotlib', 'blackjax')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.slow
def test_a_reader_that_leaves_early():
    line = f"{sys.executable} -m widthwise.cli predict digits | head -c 1"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, encoding="utf-8")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.slow
def test_control_c_while_working(here):
    child = subprocess.Popen(
        [sys.executable, "-m", "widthwise.cli", "verify", *SMALL, "--draws", "100000", "--quiet", "--json", "v.json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=here,
    )  # fmt: skip
    time.sleep(6)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (130, "")
    assert err == "widthwise: interrupted; nothing was written.\n"
    assert list(here.iterdir()) == []
