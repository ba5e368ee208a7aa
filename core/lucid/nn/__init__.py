"""Losses, and as much of a neural-network library as their examples need."""

from lucid.nn import functional
from lucid.nn.activation import ReLU, Sigmoid
from lucid.nn.linear import Linear
from lucid.nn.loss import BCELoss, BCEWithLogitsLoss
from lucid.nn.module import Module, Parameter, Sequential

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "Linear",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "functional",
]
