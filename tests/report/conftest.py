"""Results made up from plain numbers, so that a table or a figure is tested without any theory."""

from types import SimpleNamespace

import numpy as np
import pytest

import widthwise as ww


def errors(total, bias, **more):
    return SimpleNamespace(total=total, bias=bias, variance=total - bias, theory_error=0.0123, **more)


def posterior(total, Q, approximation):
    score = errors(total, 0.6 * total, accuracy=0.975, negative_log_likelihood=0.321)
    return SimpleNamespace(
        approximation=approximation,
        order_parameters={"Q": np.array([Q])},
        certificate=SimpleNamespace(status="converged", residual=2e-13),
        validity=SimpleNamespace(tau=0.4, rho=0.3, product=0.12, verdict="sound"),
        load=(1.0,),
        log_evidence=-123.456,
        log_evidence_gain=2.345,
        training_error=errors(0.01234, 0.005),
        score=score,
    )


@pytest.fixture
def shown():
    finite, wide = posterior(0.13579, 0.75, "saddle"), posterior(0.15, 1.0, "infinite")
    return {
        "data": {
            "name": "digits", "task": "classification", "classes": ["0", "1"], "labels": "sign", "train_size": 200,
            "test_size": 100, "features": 64, "standardise": "global", "seed": 0,
        },
        "temperature": 0.01,
        "network": ww.FullyConnected(widths=(200,), weight_precisions=(1.0, 2.5)),
        "posterior": finite, "score": finite.score, "infinite": wide, "infinite_score": wide.score,
    }  # fmt: skip
