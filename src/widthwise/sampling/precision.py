"""JAX as sampling needs it: 64 bits whatever the caller's setting, and random keys from what the caller gives."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from widthwise.errors import InputError


def float64() -> AbstractContextManager[Any]:
    """64-bit JAX inside, the caller's own setting outside."""
    import jax

    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax.experimental import enable_x64

    return enable_x64(True)


def random_key(key: Any) -> Any:
    """A JAX random key from a whole number or such a key.

    Raises:
        InputError: anything else.
    """
    import jax

    if isinstance(key, int | np.integer) and not isinstance(key, bool) and 0 <= key < 2**63:
        return jax.random.key(int(key))
    if isinstance(key, jax.Array):
        if jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key) and key.shape == ():
            return key
        if key.dtype == np.uint32 and key.shape == (2,):
            return jax.random.wrap_key_data(key)
    raise InputError(f"key: expected a whole number of zero or more, or one JAX random key, got {key!r}; pass e.g. 0.")
