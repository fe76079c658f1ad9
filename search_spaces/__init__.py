"""What a network is: operations, choices, architectures and the spaces. Imports no torch."""

from search_spaces import fastdepth, mobilenet_v1, mobilenet_v2, mobilenet_v3  # noqa: F401
from search_spaces.architecture import Architecture
from search_spaces.batch import Additive
from search_spaces.choices import Choice, Unit
from search_spaces.errors import UserError, unknown
from search_spaces.limits import Tied, limited, tied
from search_spaces.network import Network
from search_spaces.operation import Operation, Shape
from search_spaces.registry import SPACES, names, register, space, space_of
from search_spaces.space import SearchSpace

__all__ = [
    "SPACES",
    "Additive",
    "Architecture",
    "Choice",
    "Network",
    "Operation",
    "SearchSpace",
    "Shape",
    "Tied",
    "Unit",
    "UserError",
    "limited",
    "names",
    "register",
    "space",
    "space_of",
    "tied",
    "unknown",
]
