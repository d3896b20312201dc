"""Real networks, trained: the experiment beside the bound. Knows nothing of the theory."""

from widthwise.training.architectures import Architecture, Parameters, lenet, mlp, resnet, vgg
from widthwise.training.gauss_newton import GaussNewton, gauss_newton
from widthwise.training.gradients import LBFGS, Adam, descend
from widthwise.training.layers import Average, Conv, Dense, Pool, Residual
from widthwise.training.train import Trained, Training, features, loss, train

__all__ = [
    "LBFGS",
    "Adam",
    "Architecture",
    "Average",
    "Conv",
    "Dense",
    "GaussNewton",
    "Parameters",
    "Pool",
    "Residual",
    "Trained",
    "Training",
    "descend",
    "features",
    "gauss_newton",
    "lenet",
    "loss",
    "mlp",
    "resnet",
    "train",
    "vgg",
]
