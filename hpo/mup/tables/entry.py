"""Power laws of one role in a rule table."""

from collections.abc import Mapping
from dataclasses import dataclass

from windtunnel.types.powers import ONE, Power
from windtunnel.types.results import Role


@dataclass(frozen=True)
class Entry:
    """Power laws of one role, relative to the proxy. A quantity that is left out does not depend on the width.

    **abc-symmetry** (Yang & Hu 2021, Tensor Programs IV, section 3). The forward pass sees multiplier * tensor only.
    For any theta, the same function is trained, step by step, after

        multiplier * theta,   init_std / theta,   gradient * theta,   adam / theta,   orthogonal / theta,   sgd / theta^2

    because the stored tensor is smaller by theta, its gradient larger by theta, and Adam's update, with eps going as
    the gradient does, does not see the gradient's size. Tables that differ by such a theta for each role are the same
    parametrization written differently. A global clip threshold is outside of the symmetry: it sees gradients of
    stored tensors.
    """

    init_std: Power = ONE
    multiplier: Power = ONE
    sgd: Power = ONE
    """Learning rate of an update that is proportional to the gradient: SGD."""
    adam: Power = ONE
    """Learning rate of an update whose entries are of order 1, whatever the gradient's size: Adam and AdamW."""
    orthogonal: Power | None = None
    """Learning rate of an update whose singular values are of order 1: Muon's. It is Adam's times sqrt(m_in m_out), for an
    update with entries of order 1 has a singular value of that order. None: no such update is used for this role, or rates
    are copied."""
    gradient: Power = ONE
    """Size of one entry of the gradient of the stored tensor. Adam's eps scales with it: an update is consistent over
    widths if eps keeps its ratio to the gradient."""


Table = Mapping[Role, Entry]
