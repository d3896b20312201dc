"""`make bench`: the engine against LAPACK called directly, every architecture end to end, and against deepbays
where it can be installed.

CPU seconds of one thread, interleaved, medians. "Limit" is this package's kernel build and one in-place Cholesky
factorisation. Run with OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from pathlib import Path

import numpy as np
import peers
import scale
import scipy
import scipy.linalg
from problems import synthetic
from scipy.linalg import blas, lapack
from timing import interleaved

import widthwise as ww
from widthwise.actions import ScalarAction
from widthwise.kernels import training_kernel
from widthwise.numerics.lapack import gram

T = 0.01


def fit(sizes: list[int]) -> list[str]:
    """Target 1: one fit against the limit, with its error in Q."""
    rows = ["| P | T | limit, s | fit, s | ratio | solver | relative error of Q |", "|---|---|---|---|---|---|---|"]
    for P in sizes:
        X, y, *_ = synthetic(P)
        network = ww.FullyConnected([P], "erf")
        for temperature in (T, 0.1) if P <= 4000 else (T,):

            def limit(X=X, network=network, temperature=temperature):
                A = training_kernel(network, X).K
                A.reshape(-1)[:: len(A) + 1] += temperature
                lapack.dpotrf(A.T, lower=1, overwrite_a=1, clean=0)

            def predict(X=X, y=y, network=network, temperature=temperature):
                posterior = ww.infer(network, X, y, temperature=temperature, approximation="saddle")
                return posterior, posterior.training_error

            posterior, _ = predict()
            floor, ours = interleaved(7 if P <= 2000 else 3 if P <= 4000 else 1, limit, predict)
            Q = float(posterior.order_parameters["Q"][0])
            error = abs(Q / exact_Q(posterior, Q) - 1.0)
            rows.append(
                f"| {P} | {temperature:g} | {floor:.3f} | {ours:.3f} | **{ours / floor:.2f}** "
                f"| {posterior.certificate.solver} | {error:.0e} |"
            )
            print(rows[-1], flush=True)
    return rows


def exact_Q(posterior, Q: float) -> float:
    """One more Newton step on a fresh exact factorisation at Q: its error is the square of ours."""
    from widthwise.numerics.spectra import FactoredSpectrum

    K = training_kernel(posterior.network, posterior.law.source.X).K
    action = ScalarAction(FactoredSpectrum(K, posterior.targets), posterior.network.widths[0], posterior.temperature)
    jet = action.jet(np.log(Q))
    return float(np.exp(np.log(Q) - jet.slope / jet.curvature))


def kernel() -> list[str]:
    """Target 2: the kernel build against a rank-k update and one copy; the elementwise arcsine."""
    rows = ["| P | syrk + copy, s | kernel, s | ratio |", "|---|---|---|---|"]
    for P in (1000, 2000, 4000):
        X, *_ = synthetic(P)
        network = ww.FullyConnected([P], "erf")
        target = np.empty((P, P))

        def floor(X=X, target=target):
            target[...] = gram(X, 1.0 / 784)

        a, b = interleaved(9, floor, lambda: training_kernel(network, X))  # noqa: B023
        rows.append(f"| {P} | {a:.4f} | {b:.4f} | **{b / a:.2f}** |")
        print(rows[-1], flush=True)
    tile = np.random.default_rng(0).uniform(-1, 1, (256, 256))
    out = np.empty_like(tile)
    (seconds,) = interleaved(9, lambda: [np.arcsin(tile, out=out) for _ in range(40)])
    rows += ["", f"Elementwise arcsine on a tile that stays in cache: {seconds / 40 / tile.size * 1e9:.1f} ns."]
    return rows


def sweep() -> list[str]:
    """Target 3: 1000 points (N, T, λ_1) with the errors of 1000 test points, against what they cannot do without."""
    rows = ["| P | eigh + rotation + products, s | prepare + scan, s | ratio |", "|---|---|---|---|"]
    for P in (1000, 2000, 4000):
        X, y, X_test, y_test = synthetic(P, 1000)
        network = ww.FullyConnected([P], "erf")
        N, temperature, lam = (
            a.ravel()
            for a in np.meshgrid(
                np.geomspace(10, 1e5, 10).round(), np.geomspace(1e-3, 10, 10), np.geomspace(0.1, 10, 10)
            )
        )
        K = training_kernel(network, X).K
        k_test = np.random.default_rng(1).normal(size=(P, 1000))
        weights = np.random.default_rng(2).normal(size=(1000, P))

        def floor(K=K, k_test=k_test, weights=weights):
            _, U = scipy.linalg.eigh(K, driver="evd", check_finite=False)
            rotated = U.T @ k_test
            weights @ rotated
            weights @ np.einsum("ij,ij->i", rotated, rotated)

        def ours(X=X, y=y, X_test=X_test, y_test=y_test, network=network, N=N, temperature=temperature, lam=lam):
            prepared = ww.prepare(network, X)
            return ww.scan(
                prepared, y, width=N, temperature=temperature, readout_precision=lam, X_test=X_test, y_test=y_test
            )

        def kernels(X=X, X_test=X_test, network=network):
            from widthwise.kernels import cross_kernel

            training_kernel(network, X)
            cross_kernel(network, X_test, X)

        a, b, c = interleaved(3 if P <= 2000 else 1, floor, ours, kernels)
        rows.append(f"| {P} | {a:.3f} | {b:.3f} (kernels {c:.3f}) | **{(b - c) / a:.2f}** |")
        print(rows[-1], flush=True)
    rows += ["", "The ratio leaves out building the kernels, which both need."]
    return rows


def layered() -> list[str]:
    """Target 4: value and gradient of a deep action in log Q_1, log Q_2, against its value."""
    from widthwise.actions.layered import LayeredAction
    from widthwise.kernels.closures import Linearised, Nested

    rows = ["| closure | φ | P | value, s | value + gradient, s | ratio |", "|---|---|---|---|---|---|"]
    P, u = 1500, np.array([-0.3, 0.2])
    X, y, *_ = synthetic(P)
    for closure in (Nested, Linearised):
        for activation in ("erf", "relu"):
            network = ww.FullyConnected([P, P], activation)
            action = LayeredAction(closure(network, X), y, network.widths, T)
            action.value(u)  # what the closure keeps is made once
            a, b = interleaved(7, lambda: action.value(u), lambda: action.value_and_gradient(u))  # noqa: B023
            rows.append(f"| {closure.__name__} | {activation} | {P} | {a:.3f} | {b:.3f} | **{b / a:.2f}** |")
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", help="a Markdown file for the tables")
    parser.add_argument("--sizes", default="1000,2000,4000,8000", help="P of the single fits")
    arguments = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1" or os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        sys.exit("bench: expected OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1; set them, or use `make bench`.")
    blas.dsyrk(1.0, np.eye(2))  # loads the library before the first clock starts
    sections = [
        ("One fit: kernel, saddle, dual vector, training error", fit([int(P) for P in arguments.sizes.split(",")])),
        ("Building the kernel, N0 = 784", kernel()),
        ("A sweep of 1000 points (N, T, λ_1) with 1000 test points", sweep()),
        ("Two layers, nested and linearised: value and gradient of the action", layered()),
        ("Architectures, end to end: order parameters, training error, 1000 test points", scale.table()),
        ("deepbays, erf, T = 0.01, end to end with 200 test points", peers.table()),
    ]
    machine = (
        f"{platform.machine()}, NumPy {np.__version__}, SciPy {scipy.__version__}, Python {platform.python_version()}"
    )
    text = [
        "# Benchmarks",
        "",
        f"Written by `make bench` on {machine}: CPU seconds of one thread, tasks interleaved, medians.",
        "Limit: the kernel build and one in-place Cholesky factorisation (LAPACK potrf). Ratios within one session are",
        "good to about ±20 %; absolute times are this machine's.",
        "",
    ]
    for title, rows in sections:
        text += [f"## {title}", "", *rows, ""]
    if arguments.write:
        Path(arguments.write).write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
