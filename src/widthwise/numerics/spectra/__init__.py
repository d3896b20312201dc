"""Spectra: what a kernel matrix says about T I + Q K, by the means that suit its size.

| how | costs | serves |
|---|---|---|
| `Eigensystem` | one eigendecomposition | every (Q, T) and every target, O(P) each |
| `TridiagonalSpectrum` | one Householder reduction | every (Q, T) of one target, O(P) each |
| `FactoredSpectrum` | one exact Cholesky factorisation and a single-precision one | one fit of a large kernel |
"""

from widthwise.numerics.spectra.abstract import AbstractSpectrum, AnswersTerms, GaussianTerms
from widthwise.numerics.spectra.eigen import EigenSpectrum, Eigensystem
from widthwise.numerics.spectra.factored import FactoredSpectrum
from widthwise.numerics.spectra.ritz import RitzSpectrum
from widthwise.numerics.spectra.tridiagonal import TridiagonalSpectrum

__all__ = [
    "AbstractSpectrum",
    "AnswersTerms",
    "EigenSpectrum",
    "Eigensystem",
    "FactoredSpectrum",
    "GaussianTerms",
    "RitzSpectrum",
    "TridiagonalSpectrum",
]
