"""The optimizers of step 2, as ask/tell: they evaluate nothing and write nothing."""

from nas.optimizers.base import Candidate, Member, Optimizer, Problem, Result
from nas.optimizers.mcd import MCD
from nas.optimizers.netadapt import NetAdapt
from nas.optimizers.registry import names, optimizer, register
from nas.optimizers.schedule import Schedule

__all__ = [
    "MCD",
    "Candidate",
    "Member",
    "NetAdapt",
    "Optimizer",
    "Problem",
    "Result",
    "Schedule",
    "names",
    "optimizer",
    "register",
]
