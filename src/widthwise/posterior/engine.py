"""The training data behind a posterior, with the spectrum that answers for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.actions import ScalarAction
from widthwise.errors import InputError
from widthwise.kernels import CrossKernel
from widthwise.networks import PrecomputedKernel
from widthwise.numerics.spectra import AbstractSpectrum, EigenSpectrum, Eigensystem
from widthwise.posterior.prepare import PreparedInputs
from widthwise.posterior.sources import AbstractSource, Network

_BLOCK = 2**25  # entries of a cross kernel held at a time


@dataclass(frozen=True)
class Engine:
    """One training set, one spectrum of its kernel, any temperature and order parameters.

    Args:
        source: the training inputs (P) and their kernel.
        y: targets (P,), or (P, D).
        make_spectrum: makes the spectrum, with the target (of several the first), when it is first needed.
        mean: m/√λ_1 of the training points (P,), where φ has a mean.
        scale: the network's kernel is `scale` times that of the spectrum (another readout precision).
    """

    source: AbstractSource
    y: Float[np.ndarray, "P *D"]
    make_spectrum: Callable[[], AbstractSpectrum]
    mean: Float[np.ndarray, " P"] | None
    scale: float = 1.0

    @property
    def network(self) -> Network:
        """Whose kernel it is."""
        return self.source.network

    @property
    def X(self) -> np.ndarray:
        """The training inputs."""
        return self.source.X

    @cached_property
    def spectrum(self) -> AbstractSpectrum:
        """The spectrum; made once."""
        return self.make_spectrum()

    def with_eigenvalues(self) -> Engine:
        """The same data on eigenvalues, itself if that is what it has."""
        if isinstance(self.spectrum, EigenSpectrum):
            return self
        return Engine(self.source, self.y, self._decomposed, self.mean, self.scale)

    def _decomposed(self) -> EigenSpectrum:
        return Eigensystem.of(self.source.training().K, overwrite=True).with_target(self.y)

    @cached_property
    def rotated_mean(self) -> Float[np.ndarray, " P"] | None:
        """`mean` in the spectrum's coordinates."""
        return None if self.mean is None else self.spectrum.rotate(self.mean[:, None].copy())[:, 0]

    @cached_property
    def rotated_targets(self) -> Float[np.ndarray, "P D"]:
        """y (P, D) in the spectrum's coordinates."""
        return self.spectrum.rotate(self.y.reshape(len(self.y), -1).copy())

    def action(self, temperature: float) -> ScalarAction:
        """The effective action of this network on these data."""
        *below, width = self.network.widths
        return ScalarAction(self.spectrum, width, temperature, self.scale, tuple(below))

    def cross(self, X_new: Any, diagonal: Any = None) -> CrossKernel:
        """The spectrum's own kernel (that is, before `scale`) between new points and the training points."""
        raw = self.source.cross(X_new, diagonal)
        if self.scale == 1.0:
            return raw
        mean = None if raw.mean is None else raw.mean / np.sqrt(self.scale)
        return CrossKernel(raw.k / self.scale, raw.diagonal / self.scale, mean)

    def blocks(
        self, X_new: Any, diagonal: Any, covariance: bool
    ) -> Iterator[tuple[CrossKernel, Float[np.ndarray, "P n"], Float[np.ndarray, "n n"] | None]]:
        """(cross kernel, its rotation, prior covariance or None) by blocks of new points that fit in memory.

        Args:
            X_new: new inputs, or `PreparedInputs` of this spectrum.
            diagonal: for a precomputed kernel the new points' own variances or kernel.
            covariance: whether the kernel among the new points is wanted (they then come in one block).
        """
        spectrum, scale = self.spectrum, self.scale
        if isinstance(X_new, PreparedInputs):
            if not (isinstance(spectrum, EigenSpectrum) and spectrum.system is X_new.system):
                raise InputError(
                    "X_new: expected points of the preparation that this posterior was inferred from, got another's; "
                    "pass the inputs themselves."
                )
            yield X_new.cross, X_new.rotated, self.source.among(X_new.X) / scale if covariance else None
            return
        P = len(self.y)
        n = len(X_new) if hasattr(X_new, "__len__") else 1
        rows = n if covariance or isinstance(self.network, PrecomputedKernel) else max(1, _BLOCK // P)
        if n > rows:
            X_new = self.source.check(X_new)
        for start in range(0, max(n, 1), rows):
            block = X_new if n <= rows else X_new[start : start + rows]
            cross = self.cross(block, diagonal)
            rotated = spectrum.rotate(np.asfortranarray(cross.k.T))
            yield cross, rotated, self.source.among(block, diagonal) / scale if covariance else None
