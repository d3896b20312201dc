"""From a network and its training data to a posterior: the one entrance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from widthwise.actions import ScalarAction, TwoParameterAction
from widthwise.activations import resolve
from widthwise.errors import InputError, NumericalError, unknown_name
from widthwise.kernels import TrainingKernel
from widthwise.networks import FullyConnected, PrecomputedKernel
from widthwise.numerics.spectra import (
    AbstractSpectrum,
    EigenSpectrum,
    Eigensystem,
    FactoredSpectrum,
    TridiagonalSpectrum,
)
from widthwise.posterior import certificate, checks
from widthwise.posterior.engine import Engine, Network
from widthwise.posterior.mixture import Mixture
from widthwise.posterior.posterior import Posterior
from widthwise.posterior.prepare import Prepared, training, unknown_network
from widthwise.saddle import Status

APPROXIMATIONS = ("saddle", "infinite", "integrated", "two-parameter")
SOLVERS = ("tridiagonal", "Cholesky", "eigenvalues")
EIGENVALUES_UP_TO = 4000  # examples; above, a second look would cost minutes
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
    throw: bool = True,
) -> Posterior:
    """The posterior of a Bayesian network of finite width, from its training data alone.

        S = Σ_ℓ (N_ℓ/N_L)(Q_ℓ − log Q_ℓ) + (1/N_L)[log det(T I + Q K) + yᵀ(T I + Q K)⁻¹y],   Q = Π_ℓ Q_ℓ
        K_R = Q* K
                                        [Pacelli et al. 2023, arXiv 2209.04882; Baglioni et al. 2024, arXiv 2401.11004]

    Assumes: Gaussian priors, quadratic loss, likelihood exp(−Σ(y − f)²/2T); widths and P large at fixed loads P/N_ℓ for
    the saddle; of several hidden layers the `global` closure. `integrated` is exact at every width and depth for the
    identity activation.
    Reduces to: Gaussian-process regression with K and noise T as N_ℓ → ∞; the theory of one hidden layer on the deep
    kernel as all widths but the last do.

    Args:
        network: `FullyConnected` or `PrecomputedKernel`; or what `prepare` returned, followed by y alone.
        X: inputs (P, N_0), any array; the kernel (P, P) of a `PrecomputedKernel`.
        y: targets (P,).
        temperature: T > 0, the variance of the noise that the likelihood assumes.
        approximation: "saddle", "infinite" (the NNGP), "integrated" (averaged over p(log Q | D)) or "two-parameter"
            (Q and Q̂, for one hidden layer whose activation has a mean); by default integrated for the identity, else
            saddle.
        widths: with `prepare`d data, other widths.
        readout_precision: with `prepare`d data, another λ_L.
        solver: "tridiagonal", "Cholesky" or "eigenvalues"; by default the fastest for P.
        throw: whether a search that did not converge raises; otherwise see `posterior.certificate`.

    Raises:
        InputError: the input is not usable; the message says why.
        NumericalError: the saddle did not converge, or T I + Q K is singular at working precision.
    """
    T = checks.temperature(temperature)
    if isinstance(network, Prepared):
        if y is not None:
            raise InputError("infer: expected (prepared, y), got X as well; the inputs are already in `prepared`.")
        if solver is not None:
            raise InputError(f"solver: expected none with prepared data, got {solver!r}; they have their eigenvalues.")
        engine = _from_prepared(network, X, widths, readout_precision)
        approximation = _covered(engine.network, _approximation(engine.network, approximation))
    else:
        if widths is not None or readout_precision is not None:
            raise InputError("infer: widths and readout_precision go with prepared data; set them in the network.")
        if not isinstance(network, FullyConnected | PrecomputedKernel):
            raise unknown_network(network)
        if y is None:
            raise InputError("infer: expected (network, X, y), got no y; pass the training targets.")
        approximation = _covered(network, _approximation(network, approximation))
        engine = _from_data(network, X, y, approximation, solver)
    action = engine.action(T)
    if solver is None and _nearly_singular(action, approximation):
        engine = _from_data(engine.network, engine.X, engine.y, approximation, "eigenvalues")
        action = engine.action(T)
    return posterior_of(action, engine, approximation, throw=throw)


def _nearly_singular(action: ScalarAction, approximation: str) -> bool:
    """Whether rounding decides, so that an eigendecomposition, which tells zero from small, should be asked."""
    spectrum = action.spectrum
    if approximation == "infinite" or isinstance(spectrum, EigenSpectrum) or spectrum.size > EIGENVALUES_UP_TO:
        return False
    try:
        return action.saddle.status is not Status.CONVERGED or action.rounding > 1e-6
    except NumericalError:  # T I + Q K could not be factorised
        return True


def posterior_of(action: ScalarAction, engine: Engine, approximation: str, *, throw: bool) -> Posterior:
    """The posterior of an action, by the approximation named."""
    N, T = action.width, action.temperature
    exact = approximation == "integrated" and _is_linear(engine.network)
    one = np.ones(1)
    two: TwoParameterAction | None = None
    if approximation == "infinite":
        mixture = Mixture(one, one, np.ones((engine.network.depth, 1)))
        found = certificate.closed_form(engine.spectrum.kind)
    elif approximation == "two-parameter":
        spectrum, mean = engine.spectrum, engine.rotated_mean
        if not isinstance(spectrum, EigenSpectrum) or mean is None:
            raise InputError(
                'approximation: "two-parameter" is for activations with a mean (relu, quadratic, cos, …), got '
                f'{engine.network.name}; use "saddle".'
            )
        two = TwoParameterAction(spectrum, mean, N, T, engine.scale)
        saddle = two.saddle
        if throw:
            saddle.check("two-parameter action", "raise the temperature, or use approximation='saddle'.")
        mixture = Mixture(np.array([two.Q]), one, np.array([[two.Q]]), np.array([two.c]))
        found = certificate.of_saddle(saddle, engine.spectrum.kind)
    else:
        saddle = action.saddle
        if throw:
            saddle.check("effective action", "raise the temperature, or pass throw=False to look at the certificate.")
        if approximation == "saddle":
            mixture, error = Mixture(np.array([action.Q]), one, action.layers[:, None]), None
        else:
            quadrature = action.quadrature
            if throw and quadrature.error > 1e-2:  # of every second node: its own error is about the square
                raise NumericalError(
                    f"integral over the order parameter: {quadrature.error:.1g} between two grids; "
                    "use approximation='saddle', or pass throw=False."
                )
            mixture, error = Mixture(quadrature.Q, quadrature.weights, quadrature.layers), quadrature.error
        found = certificate.of_saddle(saddle, engine.spectrum.kind, rounding=action.rounding, quadrature_error=error)
    return Posterior(
        network=engine.network,
        temperature=T,
        approximation=approximation,
        certificate=found,
        mixture=mixture,
        exact=exact,
        engine=engine,
        effective_action=action,
    )


def _approximation(network: Network, name: str | None) -> str:
    if name is None:
        return "integrated" if _is_linear(network) else "saddle"
    if name not in APPROXIMATIONS:
        raise unknown_name("approximation", name, APPROXIMATIONS)
    return name


def _covered(network: Network, approximation: str) -> str:
    """The approximation, where it covers the network's depth.

    Several layers are covered where the output's kernel is the NNGP kernel times one number: by the `global` closure,
    or because φ is homogeneous, when all closures coincide. An order parameter never multiplies a bias.
    """
    if network.depth == 1 or approximation == "infinite" or not isinstance(network, FullyConnected):
        return approximation
    if approximation == "two-parameter":
        raise InputError(f'approximation: "two-parameter" is for one hidden layer, got {network.depth}; use "saddle".')
    if any(network.bias_variances):
        raise InputError(
            "bias_variance: expected 0 for several hidden layers of finite width, got "
            f"{network.bias_variance}; the global closure does not hold with biases: use one hidden layer, or "
            'approximation="infinite".'
        )
    if network.closure != "global" and not network.phi.homogeneous:
        raise InputError(
            f'closure: expected "global" for {network.phi.name}, got {network.closure!r}, which is not covered yet.'
        )
    return approximation


def _is_linear(network: Network) -> bool:
    return isinstance(network, FullyConnected) and network.phi == resolve("identity")


def _from_data(network: Network, X: Any, y: Any, approximation: str, solver: str | None) -> Engine:
    """Checks, builds the kernel, and reduces it by the means that suits its size and the approximation."""
    if solver is not None and solver not in SOLVERS:
        raise unknown_name("solver", solver, SOLVERS)
    if solver is None:
        P = len(X) if hasattr(X, "__len__") else 0
        if approximation == "two-parameter":
            solver = "eigenvalues"
        elif approximation == "integrated" or P <= TRIDIAGONAL_UP_TO:
            solver = "tridiagonal"
        else:
            solver = "Cholesky"
    X, kernel = training(network, X, copies=3 if solver == "Cholesky" else 2)
    y = checks.targets(y, len(X))
    checks.warn_if_degenerate(X, y)
    spectrum = make_spectrum(kernel, y, solver)
    return Engine(network, X, y, lambda: spectrum, kernel.mean)


def make_spectrum(kernel: TrainingKernel, y: np.ndarray, solver: str) -> AbstractSpectrum:
    """The spectrum of a kernel whose memory may be overwritten."""
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
        network = replace(network, widths=widths)
    if readout_precision is not None:
        if not isinstance(network, FullyConnected):
            raise InputError(
                "readout_precision: expected a FullyConnected network; scale the precomputed kernel instead."
            )
        old = network.precisions
        lam = checks.positive("readout_precision", readout_precision)
        network = replace(network, weight_precisions=(*old[:-1], lam))
        scale = old[-1] / lam
    y = checks.targets(y, len(prepared.X))
    checks.warn_if_degenerate(prepared.X, y)
    spectrum = prepared.system.with_target(y)
    return Engine(network, prepared.X, y, lambda: spectrum, prepared.mean, scale)
