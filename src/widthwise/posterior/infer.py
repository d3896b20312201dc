"""From a network and its training data to a posterior: the one entrance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from widthwise.actions import Cavity, MonteCarlo, ScalarAction
from widthwise.errors import InputError, NumericalError, unknown_name
from widthwise.kernels import TrainingKernel
from widthwise.networks import Convolutional, FullyConnected, PrecomputedKernel
from widthwise.numerics.spectra import (
    AbstractSpectrum,
    EigenSpectrum,
    Eigensystem,
    FactoredSpectrum,
    TridiagonalSpectrum,
)
from widthwise.posterior import checks
from widthwise.posterior.cavity import CavityLaw, infer_cavity
from widthwise.posterior.cavity_depth import infer_cavity_depth
from widthwise.posterior.cavity_outputs import infer_cavity_outputs
from widthwise.posterior.certificate import NUMBER, Certificate
from widthwise.posterior.engine import Engine
from widthwise.posterior.law import AbstractLaw
from widthwise.posterior.layers import infer_layers
from widthwise.posterior.outputs import infer_outputs
from widthwise.posterior.patches import infer_patches
from widthwise.posterior.posterior import Posterior
from widthwise.posterior.prepare import Prepared
from widthwise.posterior.scalar import infer_scalar
from widthwise.posterior.sources import AbstractSource, Inputs, Network, is_linear, source_of
from widthwise.saddle import Status

APPROXIMATIONS = ("saddle", "infinite", "integrated", "two-parameter", "cavity")
SOLVERS = ("tridiagonal", "Cholesky", "eigenvalues")
EIGENVALUES_UP_TO = 4000  # examples; above, a second look would cost minutes
CAVITY_UP_TO = 256  # examples up to which neurons that may specialise are looked at without being asked
_ASKED = Cavity(levels=10, draws=400, warmup=200)  # how: longer than by default, nobody is there to sample again
_TELLING = 2.0  # nats, or standard errors, of log evidence that decide for the cavity
TRIDIAGONAL_UP_TO = 1200  # examples; above, one Cholesky factorisation is faster (docs/benchmarks.md)


def infer(
    network: Network | Prepared,
    X: Any,
    y: Any = None,
    *,
    temperature: float,
    approximation: str | None = None,
    widths: Any = None,
    readout_precision: float | None = None,
    solver: str | None = None,
    monte_carlo: MonteCarlo | None = None,
    cavity: Cavity | None = None,
    throw: bool = True,
) -> Posterior:
    """The posterior of a Bayesian network of finite width, from its training data alone.

        p(Q | D) ∝ p(Q) N(y; 0, T I + K_R(Q)),   exp(−N_L S(Q)/2) its large-N_L form
                                        [Pacelli et al. 2023, arXiv 2209.04882; Baglioni et al. 2024, arXiv 2401.11004]

    The order parameter Q and the kernel that it renormalises:

        one output         K_R = Q K, Q = Π_ℓ Q_ℓ over the hidden layers (or another `closure`)      [arXiv 2209.04882]
        D outputs          K_R = Q ⊗ K, Q (D, D)                                                     [arXiv 2412.15911]
        patches, dense     K_R = Σ_ij Q_ij κ_ij/(λ_1 n), Q (n, n), of D outputs (n D, n D)           [arXiv 2307.11807]
        several layers of  the same of Q_1, Q_ℓ | Q_{ℓ+1} a Wishart matrix on the grid of layer ℓ    (identity only)

    Assumes: Gaussian priors, quadratic loss, likelihood exp(−Σ|y − f|²/2T); widths and P large at fixed loads P/N_ℓ for
    the saddle. `integrated` is exact at every width and depth for the identity activation.
    Reduces to: Gaussian-process regression with K and noise T as N_ℓ → ∞; the theory of one hidden layer on the deep
    kernel as all widths but the last do.

    Args:
        network: `FullyConnected`, `Convolutional` or `PrecomputedKernel`; or what `prepare` returned, followed by y
            alone.
        X: inputs (P, N_0), images (P, H, W) or (P, H, W, C), any array; the kernel (P, P) of a `PrecomputedKernel`.
        y: targets (P,) or (P, D).
        temperature: T > 0, the variance of the noise that the likelihood assumes.
        approximation: "saddle", "infinite" (the NNGP), "integrated" (averaged over p(Q | D)) or "two-parameter" (Q and
            Q̂, for one hidden layer whose activation has a mean), or "cavity" (a few neurons as they are, in a bath of
            Gaussian ones: sampled, seconds to minutes; fully connected); by default integrated for the identity
            and for patches, else saddle. Where the saddle says that it is "outside" (`posterior.validity`), of one
            hidden layer, one output and P ≤ 256 examples, the cavity is asked too, and taken if the evidence is for it.
        widths: with `prepare`d data, other widths.
        readout_precision: with `prepare`d data, another λ_L.
        solver: "tridiagonal", "Cholesky" or "eigenvalues"; by default the fastest for P. One output only.
        monte_carlo: how a matrix Q is integrated over: chains, draws, nodes, seed; of layers that reshape the kernel
            nodes and seed alone; without effect elsewhere.
        cavity: how many neurons the cavity keeps, and how it is sampled; with approximation="cavity" alone.
        throw: whether a search that did not converge raises; otherwise see `posterior.certificate`.

    Raises:
        InputError: the input is not usable; the message says why.
        NumericalError: the saddle did not converge, or T I + K_R is singular at working precision.
    """
    T = checks.temperature(temperature)
    if solver is not None and solver not in SOLVERS:
        raise unknown_name("solver", solver, SOLVERS)
    if monte_carlo is not None and not isinstance(monte_carlo, MonteCarlo):
        raise InputError(f"monte_carlo: expected MonteCarlo(...), got {monte_carlo!r}; pass MonteCarlo(draws=1000).")
    if isinstance(network, Prepared):
        if y is not None:
            raise InputError("infer: expected (prepared, y), got X as well; the inputs are already in `prepared`.")
        if solver is not None:
            raise InputError(f"solver: expected none with prepared data, got {solver!r}; they have their eigenvalues.")
        engine = _from_prepared(network, X, widths, readout_precision)
        source, y, name = engine.source, engine.y, _approximation(engine.network, approximation)
    else:
        if widths is not None or readout_precision is not None:
            raise InputError("infer: widths and readout_precision go with prepared data; set them in the network.")
        source, engine = source_of(network, X, copies=2), None
        if y is None:
            raise InputError("infer: expected (network, X, y), got no y; pass the training targets.")
        y, name = checks.targets(y, source.size, outputs=0), _approximation(network, approximation)
        checks.warn_if_degenerate(source.X, y)
    _check_covered(source.network, name)
    if cavity is not None and (name != "cavity" or not isinstance(cavity, Cavity)):
        raise InputError(f'cavity: expected Cavity(...) with approximation="cavity", got {cavity!r} with "{name}".')
    if name == "cavity" and solver not in (None, "eigenvalues"):
        raise InputError(f'solver: expected "eigenvalues" for the cavity, got {solver!r}; leave it out.')
    if solver is not None and not multiplies_one_kernel(source.network) and name != "infinite":
        raise InputError(f"solver: expected none for {source.network.name}, got {solver!r}; leave it out.")
    exact = name in ("integrated", "cavity") and is_linear(source.network)
    law: AbstractLaw
    if _by_patches(source.network, name):
        if isinstance(network, Prepared):
            raise InputError(
                "infer: expected (network, X, y) for a convolutional network of finitely many channels with a dense "
                "readout or several layers, got prepared data; its kernel has no one spectrum."
            )
        law, found = infer_patches(source, y, T, name, monte_carlo, throw=throw)
    elif _by_layers(source.network, name):
        if not isinstance(source, Inputs) or readout_precision is not None:
            raise InputError("readout_precision: expected none with this closure, got one; set it in the network.")
        law, found = infer_layers(source, y, T, name, monte_carlo, throw=throw)
    elif name == "cavity":
        engine = engine or _from_data(source, y, "eigenvalues")
        law, found = _cavity_of(source.network, y)(engine, T, cavity or Cavity(), throw=throw)
    elif y.ndim == 2:
        engine = engine or _from_data(source, y, solver or "eigenvalues")
        law, found = infer_outputs(engine, T, name, monte_carlo, throw=throw)
    else:
        engine = engine or _from_data(source, y, solver or _solver(source.size, name))
        action = engine.action(T)
        if solver is None and _nearly_singular(action, name):
            engine = _from_data(source, y, "eigenvalues")
            action = engine.action(T)
        law, found = infer_scalar(action, engine, name, throw=throw)
        if approximation is None and isinstance(network, FullyConnected) and _may_specialise(network, action):
            asked = _condensed(engine, T)
            law, found, name = (*asked, "cavity") if asked else (law, found, name)
    return Posterior(source.network, T, name, found, exact, law)


def _cavity_of(network: Network, y: np.ndarray) -> Callable[..., tuple[CavityLaw, Certificate]]:
    """The cavity that suits the network and the targets."""
    if network.depth > 1 and y.ndim == 2:
        raise InputError(
            f'approximation: "cavity" of {network.depth} hidden layers is for one output, got {y.shape[1]}; '
            'use "saddle".'
        )
    if network.depth > 1:
        return infer_cavity_depth
    return infer_cavity_outputs if y.ndim == 2 else infer_cavity


def _may_specialise(network: FullyConnected, action: ScalarAction) -> bool:
    """Whether neurons may have left the Gaussian regime, and looking takes no more than about a minute."""
    if network.depth > 1 or network.widths[0] < 2 or is_linear(network) or action.spectrum.size > CAVITY_UP_TO:
        return False
    tau, rho = action.shares
    return rho * tau >= NUMBER.outside


def _condensed(engine: Engine, temperature: float) -> tuple[AbstractLaw, Certificate] | None:
    """The cavity, where it could be sampled and the evidence is for it."""
    try:
        law, found = infer_cavity(engine.with_eigenvalues(), temperature, _ASKED, throw=False)
    except InputError:  # of an activation that JAX cannot differentiate
        return None
    told = law.evidence
    return (law, found) if found.converged and told.gain > _TELLING * max(1.0, told.standard_error) else None


def _nearly_singular(action: ScalarAction, approximation: str) -> bool:
    """Whether rounding decides, so that an eigendecomposition, which tells zero from small, should be asked."""
    spectrum = action.spectrum
    if approximation == "infinite" or isinstance(spectrum, EigenSpectrum) or spectrum.size > EIGENVALUES_UP_TO:
        return False
    try:
        return action.saddle.status is not Status.CONVERGED or action.rounding > 1e-6
    except NumericalError:  # T I + Q K could not be factorised
        return True


def _approximation(network: Network, name: str | None) -> str:
    if name is None:
        patches = _by_patches(network, "integrated")
        return "integrated" if patches or is_linear(network) else "saddle"
    if name not in APPROXIMATIONS:
        raise unknown_name("approximation", name, APPROXIMATIONS)
    return name


def multiplies_one_kernel(network: Network) -> bool:
    """Whether the finite network's order parameters multiply one kernel, so that `prepare` serves it."""
    return not (_by_patches(network, "saddle") or _by_layers(network, "saddle"))


def covers_several_outputs(network: Network) -> bool:
    """Whether y may have several columns: not where the layers of a deep network reshape the kernel."""
    return not _by_layers(network, "saddle")


def _by_patches(network: Network, approximation: str) -> bool:
    """Whether the order parameter is a matrix over the patches."""
    patches = isinstance(network, Convolutional) and (network.readout == "dense" or network.depth > 1)
    return patches and approximation != "infinite"


def _by_layers(network: Network, approximation: str) -> bool:
    """Whether the layers' order parameters reshape the kernel, instead of multiplying it by their product.

    They multiply it in one hidden layer, under the `global` closure, and where φ is homogeneous, when all closures
    coincide. An order parameter never multiplies a bias: with biases a deep kernel is reshaped.
    """
    if not isinstance(network, FullyConnected) or network.depth == 1 or approximation == "infinite":
        return False
    return any(network.bias_variances) or (network.closure != "global" and not network.phi.homogeneous)


def _check_covered(network: Network, approximation: str) -> None:
    """Refuses what no theory here covers."""
    if approximation == "two-parameter" and (network.depth > 1 or isinstance(network, Convolutional)):
        what = f"{network.depth} hidden layers" if network.depth > 1 else "a convolutional layer"
        raise InputError(f'approximation: "two-parameter" is for one fully connected layer, got {what}; use "saddle".')
    if approximation == "cavity" and (not isinstance(network, FullyConnected) or _by_layers(network, approximation)):
        raise InputError(
            'approximation: "cavity" is for fully connected layers whose order parameters multiply one kernel (one '
            f'layer, or closure="global" without biases), got {network.name}; use "saddle".'
        )
    if isinstance(network, Convolutional) and network.depth > 1 and approximation != "infinite":
        _check_stack(network, approximation)


def _check_stack(network: Convolutional, approximation: str) -> None:
    """Several convolutional layers of finitely many channels: integrated over, for the identity."""
    if not is_linear(network):
        raise InputError(
            f'approximation: expected "infinite" for {network.depth} convolutional layers of {network.phi.name}, got '
            f"finitely many channels ({approximation}): those are exact for the identity alone; for another activation "
            "the covariance of a layer's channels, which fluctuates with the layer below, needs a closure that is not "
            "known to be exact. Take infinite channels or one layer, or sample the network."
        )
    if approximation != "integrated":
        raise InputError(
            f'approximation: expected "integrated" or "infinite" for {network.depth} convolutional layers, got '
            f'"{approximation}"; their order parameters live on different grids and do not commute; leave it out.'
        )


def _solver(P: int, approximation: str) -> str:
    """What suits the size and the approximation, of one output."""
    if approximation == "two-parameter":
        return "eigenvalues"
    return "tridiagonal" if approximation == "integrated" or P <= TRIDIAGONAL_UP_TO else "Cholesky"


def _from_data(source: AbstractSource, y: np.ndarray, solver: str) -> Engine:
    """Builds the kernel and reduces it."""
    if solver != "eigenvalues" and y.ndim == 2:
        raise InputError(f'solver: expected "eigenvalues" for {y.shape[1]} outputs, got {solver!r}; leave it out.')
    if solver == "Cholesky":
        checks.estimate_memory(source.size, copies=3)
    kernel = source.training()
    spectrum = make_spectrum(kernel, y, solver)
    return Engine(source, y, lambda: spectrum, kernel.mean)


def make_spectrum(kernel: TrainingKernel, y: np.ndarray, solver: str) -> AbstractSpectrum:
    """The spectrum of a kernel whose memory may be overwritten; of several targets it holds the first."""
    y = y if y.ndim == 1 else y[:, 0]
    if solver == "tridiagonal":
        return TridiagonalSpectrum.of(kernel.K, y)
    if solver == "Cholesky":
        return FactoredSpectrum(kernel.K, y)
    return Eigensystem.of(kernel.K, overwrite=True).with_target(y)


def _from_prepared(prepared: Prepared, y: Any, widths: Any, readout_precision: float | None) -> Engine:
    network, scale = prepared.network, 1.0
    if widths is not None:
        given = len(widths) if hasattr(widths, "__len__") else 1
        if given != network.depth:
            raise InputError(f"widths: expected {network.depth} of them, as in the prepared network, got {given}.")
        if isinstance(network, Convolutional):
            network = replace(network, channels=widths)
        else:
            network = replace(network, widths=widths)
    if readout_precision is not None:
        if isinstance(network, PrecomputedKernel):
            raise InputError(
                "readout_precision: expected a FullyConnected network; scale the precomputed kernel instead."
            )
        old = network.precisions
        lam = checks.positive("readout_precision", readout_precision)
        network = replace(network, weight_precisions=(*old[:-1], lam))
        scale = old[-1] / lam
    y = checks.targets(y, prepared.source.size, outputs=0)
    checks.warn_if_degenerate(prepared.X, y)
    spectrum = prepared.system.with_target(y if y.ndim == 1 else y[:, 0])
    return Engine(prepared.source.of(network), y, lambda: spectrum, prepared.mean, scale)
