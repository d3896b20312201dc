"""What a trained network's last layer says of its generalisation gap: a scikit-learn MLP on digits, and its report.

    python examples/last_layer.py --write features.npz
    widthwise bound features.npz --figure bound.png

A few seconds, without data from elsewhere. `ww.bound.fetch` takes PyTorch, Equinox and Flax modules in the same way.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.neural_network import MLPRegressor

import widthwise as ww
from widthwise.files import whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, required=True, metavar="FEATURES.npz", help="where the arrays go")
    parser.add_argument("--shuffled", action="store_true", help="labels permuted: nothing to learn, all to memorise")
    arguments = parser.parse_args()

    X, y, X_fresh, y_fresh = ww.load_data("digits", classes="parity", train_size=600, test_size=1100, seed=0)
    if arguments.shuffled:
        rng = np.random.default_rng(0)
        y, y_fresh = rng.permutation(y), rng.permutation(y_fresh)
    network = MLPRegressor(hidden_layer_sizes=(64, 24), alpha=0.0, max_iter=2000, random_state=0).fit(X, y)

    training, fresh = ww.bound.fetch(network, X), ww.bound.fetch(network, X_fresh)
    with whole(arguments.write) as file:
        np.savez(
            file, features=training.features, targets=y, predictions=training.predictions,
            fresh_features=fresh.features, fresh_targets=y_fresh, fresh_predictions=fresh.predictions,
        )  # fmt: skip


if __name__ == "__main__":
    main()
