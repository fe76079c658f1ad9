"""Makes timm and torchvision importable beside a CPU build of torch.

The torchvision wheel on PyPI is built for CUDA. Beside a CPU torch its C++ operators are missing
and the import stops at the first Python code that names one. Everything that this project uses
(models, image pipelines, mixup) is Python, so the two names are registered without a body: only
calling them raises. Where torchvision is healthy this module does nothing.

Import it before timm or torchvision, also in data-loader workers and spawned processes.
"""

from __future__ import annotations

import importlib
import sys

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

# torch drops the schemas when the library object is collected
_library: torch.library.Library | None = None


def _import_torchvision() -> None:
    global _library
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
        for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        _library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for schema in _SCHEMAS:
            _library.define(schema)  # type: ignore[no-untyped-call]
        importlib.import_module("torchvision")


_import_torchvision()
