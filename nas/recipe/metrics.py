"""From the names a user writes to metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from lut.cost import CostModel, Precision
from nas.metrics.additive import macs, params, priced
from nas.metrics.base import Metric
from nas.metrics.budgets import absolute_budgets
from nas.metrics.memory import PeakMemory
from nas.metrics.phones import Phones
from nas.metrics.user import UserMetric
from nas.own_code import is_own
from nas.recipe.experiment import Named, PhonesSection
from nas.recipe.named import Kind
from nas.recipe.settings import settings_of
from search_spaces import SearchSpace, UserError, unknown

OpenCostModel = Callable[[str | None], CostModel]

RESOURCES = ("latency", "energy", "memory")
"""What a cost model may price."""


def open_metric(
    name: str,
    space: SearchSpace,
    *,
    cost_model: OpenCostModel | None = None,
    functions: Mapping[str, str | Named] | None = None,
    phones: PhonesSection | None = None,
    folder: Path | None = None,
    precision: Precision = "float32",
) -> Metric:
    """The metric called ``name`` for networks of ``space``.

    Args:
        name: ``latency`` (of the search's own device), ``latency@DEVICE``, ``macs``, ``params``,
            ``peak_memory``, ``phones`` or a key of ``functions``.
        space: whose architectures the metric will price.
        cost_model: opens the cost model of a device by name; None stands for the search's own.
        functions: the recipe's own metrics, name → ``module:function`` or ``file.py:function`` of
            the network description, with settings where it has some.
        phones: what ``phones`` is made of.
        folder: what relative paths in ``functions`` start from.
        precision: of the networks whose peak memory counts.

    Raises:
        UserError: unknown name, a device's table prices another resource, or a function that
            cannot be loaded.
    """
    functions = functions or {}
    if name in functions:
        return _of_the_user(space, name, functions[name], folder)
    if name == "macs":
        return macs(space)
    if name == "params":
        return params(space)
    if name == "peak_memory":
        return PeakMemory(space, precision)
    if name == "phones":
        return _of_phones(space, cost_model, phones)
    resource, at, device = name.partition("@")
    if resource not in RESOURCES or (at and not device):
        known = [*RESOURCES, "latency@DEVICE", "macs", "params", "peak_memory", "phones"]
        known += functions
        raise unknown("metric", name, known)
    return _latency(space, name, resource, cost_model, device or None)


def _latency(
    space: SearchSpace,
    name: str,
    resource: str,
    cost_model: OpenCostModel | None,
    device: str | None,
) -> Metric:
    if cost_model is None:
        raise UserError(f"metric {name} needs a device: give --device NAME or --table FILE")
    model = cost_model(device)
    if model.resource != resource:
        raise UserError(
            f"metric {name}: the table of {model.device.name} prices {model.resource}, "
            f"not {resource}"
        )
    return priced(space, name, model)


def _of_phones(
    space: SearchSpace, cost_model: OpenCostModel | None, section: PhonesSection | None
) -> Phones:
    if section is None:
        raise UserError(
            "metric phones: no phone is named; give search.phones.budgets, such as "
            "--set 'search.phones.budgets={pixel4-cpu: 50%, iphone-xs-cpu: 20ms}'"
        )
    opened = {
        device: _latency(space, f"latency@{device}", "latency", cost_model, device)
        for device in section.budgets
    }
    texts = {opened[device].name: text for device, text in section.budgets.items()}
    absolute = absolute_budgets(texts, list(opened.values()), space)
    budgets = {device: absolute[metric.name] for device, metric in opened.items()}
    return Phones(opened, budgets, section.reduce)


def _of_the_user(
    space: SearchSpace, name: str, given: str | Named, folder: Path | None
) -> UserMetric:
    named = given if isinstance(given, Named) else Named(name=given)
    where = f"search.metrics.{name}"
    if not is_own(named.name):
        raise UserError(f"{where}: {named.name!r} is no MODULE:FUNCTION and no FILE.py:FUNCTION")
    kind = Kind("metric", where, {}, folder=folder)
    function = kind.find(named.name)
    network = next(iter(settings_of(function)), None)
    if network is None:
        raise UserError(f"{where}: {named.name} takes no network description")
    kind = replace(kind, arguments=(network,))
    return UserMetric(space, name, function, kind.settings(named.name, named.settings))
