"""An oracle for κ that shares nothing with the library: the plane in polar coordinates, split at the kinks."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest


def polar_quadrature(phi: Callable, cxx: float, cxy: float, cyy: float, radial: int = 12, angular: int = 3) -> float:
    """E[φ(h)φ(h')] with (h, h') = chol(c)·(r cos θ, r sin θ): a kink at 0 is a ray, and becomes a panel's edge."""
    a = np.sqrt(cxx)
    b = cxy / a
    d = np.sqrt(max(cyy - b * b, 0.0))
    ray = np.arctan2(d, b) + np.pi / 2  # where h' = 0
    edges = np.unique(np.mod([np.pi / 2, -np.pi / 2, ray, ray + np.pi], 2 * np.pi))
    edges = np.append(edges, edges[0] + 2 * np.pi)
    edges = np.unique(np.concatenate([np.linspace(s, e, angular + 1) for s, e in itertools.pairwise(edges)]))
    x, w = np.polynomial.legendre.leggauss(40)

    def panels(e: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        half, middle = np.diff(e) / 2, (e[1:] + e[:-1]) / 2
        return (middle[:, None] + half[:, None] * x).ravel(), (half[:, None] * w).ravel()

    theta, w_theta = panels(edges)
    r, w_r = panels(np.concatenate([[0.0], np.geomspace(0.02, 1.0, 6), np.linspace(1, 12, radial)[1:]]))
    density = w_theta * (w_r * r * np.exp(-0.5 * r * r))[:, None] / (2 * np.pi)
    h = a * r[:, None] * np.cos(theta)
    return float((density * phi(h) * phi(b * r[:, None] * np.cos(theta) + d * r[:, None] * np.sin(theta))).sum())


@pytest.fixture
def oracle() -> Callable:
    return polar_quadrature
