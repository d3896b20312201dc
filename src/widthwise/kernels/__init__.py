"""Kernels: from a network and inputs to its infinite-width (NNGP) kernel. No statistics here."""

from widthwise.kernels.design import PatchKernels
from widthwise.kernels.nngp import CrossKernel, TrainingKernel, cross_kernel, training_kernel
from widthwise.kernels.pooled import infinite_cross, infinite_training, pooled_cross, pooled_training

__all__ = [
    "CrossKernel",
    "PatchKernels",
    "TrainingKernel",
    "cross_kernel",
    "infinite_cross",
    "infinite_training",
    "pooled_cross",
    "pooled_training",
    "training_kernel",
]
