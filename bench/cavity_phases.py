"""Two phases of one network: MNIST odd/even, P = 256, N = 64, T = 0.1, by the cavity and as sampled.

    python bench/cavity_phases.py --data FOLDER [--seed 0] [--draws 300] [--seeds 2] [--chains 8]

A line for each number of specialised neurons: its probability, ε_t, ε_g, and the largest shares of Q.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from problems import images
from truth_cases import EVEN, ODD

import widthwise as ww

P, N, TEST, T = 256, 64, 500, 0.1


def main() -> None:
    """Runs both and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--data", type=Path, required=True, help="folder of mnist.npz")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of images")
    parser.add_argument("--draws", type=int, default=300, help="of each of the cavity's ladders")
    parser.add_argument("--seeds", type=int, default=2, help="runs of the cavity")
    parser.add_argument("--chains", type=int, default=8, help="of the sampled network; 0: not sampled")
    parser.add_argument("--store", help="where the chains are kept")
    given = parser.parse_args()
    X, y, X_test, y_test = images(str(given.data / "mnist.npz"), P, TEST, (EVEN, ODD), seed=given.seed)
    network = ww.FullyConnected((N,), "erf")
    saddle = ww.infer(network, X, y, temperature=T, approximation="saddle")
    total = saddle.score(X_test, y_test).total
    print(f"saddle: test error {total:.4f}, training error {saddle.training_error.total:.4f}")
    for seed in range(given.seeds):
        how = ww.Cavity(draws=given.draws, seed=seed)
        posterior = ww.infer(network, X, y, temperature=T, approximation="cavity", cavity=how, throw=False)
        law, prediction = posterior.law, posterior.predict(X_test)
        errors = ((y_test - prediction.means) ** 2 + prediction.variances).mean(axis=1)
        found = law.explicit
        fit = (T * T * (found.a**2).sum(axis=1) + T * found.freedom) / P
        told = posterior.certificate
        print(f"cavity, seed {seed}: {told.status}, R-hat {told.rhat:.2f}, log evidence {posterior.log_evidence:.1f}")
        for phase in posterior.phases:
            print(
                f"  {phase.specialised} specialised: probability {phase.probability:.2f} ± {phase.standard_error:.2f}"
            )
        _show(law.shares, posterior.specialisation.threshold, errors, fit)
    if not given.chains:
        return
    sampler = ww.CollapsedHMC(chains=given.chains, draws=400, warmup=300, weights_memory=1.0)
    samples = ww.sample(
        network, X, y, X_test, y_test, temperature=T, sampler=sampler, key=0, throw=False, store=given.store
    )
    told = samples.diagnostics
    print(f"sampled: {told.status}; test error {samples.generalisation_error.value:.4f}")
    off = samples.test_mean[..., 0] - y_test
    errors = (off**2 + samples.test_variance).mean(axis=2)
    fit = ((samples.train_mean[..., 0] - y) ** 2).mean(axis=2) + samples.train_spread
    shares, threshold = samples.readout_shares, samples.specialisation.threshold
    if shares.shape[:2] == errors.shape:
        _show(shares.reshape(-1, N), threshold, errors.ravel(), fit.ravel())
        m = (shares > threshold).sum(axis=2)
        for chain, counts in enumerate(m):
            tenths = [round(float(part.mean()), 1) for part in np.array_split(counts, 10)]
            print(f"  chain {chain}: specialised, in each tenth of the draws", tenths)


def _show(q: np.ndarray, threshold: float, errors: np.ndarray, fit: np.ndarray) -> None:
    m = (q > threshold).sum(axis=1)
    for count in np.unique(m):
        of = m == count
        top = np.sort(q[of], axis=1)[:, ::-1][:, :3].mean(axis=0)
        print(
            f"  {count} specialised: {of.sum()} draws, test error {errors[of].mean():.3f}, training error "
            f"{fit[of].mean():.4f}, largest shares", np.array2string(top, precision=2, separator=", "),
        )  # fmt: skip


if __name__ == "__main__":
    np.seterr(under="ignore")
    main()
