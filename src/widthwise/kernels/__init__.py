"""Kernels: from a network and inputs to its infinite-width (NNGP) kernel. No statistics here."""

from widthwise.kernels.descent import stack_cross, stack_training
from widthwise.kernels.design import PatchKernels
from widthwise.kernels.nngp import CrossKernel, TrainingKernel, cross_kernel, training_kernel
from widthwise.kernels.pooled import infinite_cross, infinite_training, pooled_cross, pooled_training
from widthwise.kernels.propagation import Layer, Propagation, carried, layers
from widthwise.kernels.stack import StackKernels, patch_kernels

__all__ = [
    "CrossKernel",
    "Layer",
    "PatchKernels",
    "Propagation",
    "StackKernels",
    "TrainingKernel",
    "carried",
    "cross_kernel",
    "infinite_cross",
    "infinite_training",
    "layers",
    "patch_kernels",
    "pooled_cross",
    "pooled_training",
    "stack_cross",
    "stack_training",
    "training_kernel",
]
