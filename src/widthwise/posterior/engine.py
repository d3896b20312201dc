"""The training data behind a posterior, with the spectrum that answers for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.actions import ScalarAction
from widthwise.errors import InputError
from widthwise.kernels import CrossKernel, cross_kernel
from widthwise.networks import FullyConnected, PrecomputedKernel
from widthwise.numerics.spectra import AbstractSpectrum
from widthwise.posterior import checks

Network = FullyConnected | PrecomputedKernel


@dataclass(frozen=True)
class Engine:
    """One training set, one spectrum of its kernel, any temperature and order parameters.

    Args:
        network: whose kernel it is.
        X: inputs (P, N_0), or the kernel (P, P) of a `PrecomputedKernel`.
        y: targets (P,).
        make_spectrum: makes the spectrum, with the target, when it is first needed.
        mean: m/√λ_1 of the training points (P,), where φ has a mean.
        scale: the network's kernel is `scale` times that of the spectrum (another readout precision).
    """

    network: Network
    X: Float[np.ndarray, "P N0"]
    y: Float[np.ndarray, " P"]
    make_spectrum: Callable[[], AbstractSpectrum]
    mean: Float[np.ndarray, " P"] | None
    scale: float = 1.0

    @cached_property
    def spectrum(self) -> AbstractSpectrum:
        """The spectrum; made once."""
        return self.make_spectrum()

    @cached_property
    def rotated_mean(self) -> Float[np.ndarray, " P"] | None:
        """`mean` in the spectrum's coordinates."""
        return None if self.mean is None else self.spectrum.rotate(self.mean[:, None].copy())[:, 0]

    def action(self, temperature: float) -> ScalarAction:
        """The effective action of this network on these data."""
        *below, width = self.network.widths
        return ScalarAction(self.spectrum, width, temperature, self.scale, tuple(below))

    def cross(self, X_new: Any, diagonal: Any = None) -> CrossKernel:
        """The spectrum's own kernel (that is, before `scale`) between new points and the training points."""
        raw = cross(self.network, X_new, self.X, diagonal)
        if self.scale == 1.0:
            return raw
        mean = None if raw.mean is None else raw.mean / np.sqrt(self.scale)
        return CrossKernel(raw.k / self.scale, raw.diagonal / self.scale, mean)


def cross(network: Network, X_new: Any, X: Float[np.ndarray, "P N0"], diagonal: Any = None) -> CrossKernel:
    """The network's kernel between new points and the training points.

    Args:
        network: the network.
        X_new: new inputs (n, N_0), or k (n, P) for a precomputed kernel.
        X: training inputs.
        diagonal: for a precomputed kernel the new points' own variances (n,), or their kernel (n, n).
    """
    if isinstance(network, FullyConnected):
        if diagonal is not None:
            raise InputError(
                "diagonal: expected only with PrecomputedKernel; this network computes its own, leave it out."
            )
        return cross_kernel(network, checks.inputs(X_new, "X_new", X.shape[1]), X)
    k = checks.real_array("k", X_new, (2,), "(n, P): the kernel of new points with training points")
    if k.shape[1] != len(X):
        raise InputError(f"k: expected {len(X)} columns, one per training point, got {k.shape[1]}.")
    if diagonal is None:
        raise InputError(
            "diagonal: expected the new points' own variances (n,), got nothing; pass predict(k, diagonal)."
        )
    own = checks.real_array("diagonal", diagonal, (1, 2), "(n,) or (n, n)")
    if own.shape not in ((len(k),), (len(k), len(k))):
        raise InputError(f"diagonal: expected shape ({len(k)},) or ({len(k)}, {len(k)}), got {own.shape}.")
    variances = own.diagonal().copy() if own.ndim == 2 else own
    if float(variances.min()) < 0.0:
        raise InputError(f"diagonal: expected variances of at least zero, got {variances.min():.3g}.")
    return CrossKernel(k, variances, None)
