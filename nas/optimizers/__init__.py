"""The optimizers of step 2, as ask/tell: they evaluate nothing and write nothing."""

from nas.optimizers.base import Candidate, Member, Optimizer, Problem, Result
from nas.optimizers.guided import Guided
from nas.optimizers.mcd import MCD
from nas.optimizers.netadapt import NetAdapt
from nas.optimizers.nsga2 import NSGA2
from nas.optimizers.random_search import RandomSearch
from nas.optimizers.registry import OPTIMIZERS, names, optimizer, register
from nas.optimizers.sampler import MCDSampler
from nas.optimizers.schedule import Schedule
from nas.optimizers.tpe import TPE

__all__ = [
    "MCD",
    "NSGA2",
    "OPTIMIZERS",
    "TPE",
    "Candidate",
    "Guided",
    "MCDSampler",
    "Member",
    "NetAdapt",
    "Optimizer",
    "Problem",
    "RandomSearch",
    "Result",
    "Schedule",
    "names",
    "optimizer",
    "register",
]
