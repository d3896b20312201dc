"""Activations: φ (`phi`), its dual kernel and mean (`duals` in closed form, `hermite` for any callable)."""

from widthwise.activations.phi import Activation, leaky_relu, resolve

__all__ = ["Activation", "leaky_relu", "resolve"]
