"""Kernels: from a network and inputs to its infinite-width (NNGP) kernel. No statistics here."""

from widthwise.kernels.nngp import CrossKernel, TrainingKernel, cross_kernel, training_kernel

__all__ = ["CrossKernel", "TrainingKernel", "cross_kernel", "training_kernel"]
