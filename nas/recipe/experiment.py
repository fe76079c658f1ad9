"""What a recipe says: typed, nested sections. The one place where they have defaults."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from nas.own_code import is_own
from nas.recipe.spaces import open_space
from nas.urls import shown
from search_spaces import SearchSpace, limited
from search_spaces.storage import graph_from_dict


class Section(BaseModel):
    """A part of a recipe: immutable, no unknown keys, a docstring below each field."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        defer_build=True,  # a command builds what it reads: a tenth of a second at start-up
    )


class Named(Section):
    """Something chosen by name, with settings of its own."""

    name: str
    """The registered name, or FILE.py:NAME or MODULE:NAME of the user's own."""
    settings: dict[str, Any] = {}
    """Keyword arguments of what is named; unknown ones are refused."""


class SpaceSection(Section):
    """Where the search space comes from."""

    name: str
    """A registered space; FILE.py:FUNCTION or MODULE:FUNCTION that returns a space or a torch
    module; timm:NAME; or an architecture file. A module's widths are the space."""
    settings: dict[str, Any] = {}
    """Keyword arguments of the space; of a network resolution, channels and classes."""
    keep: list[str] = []
    """Names or patterns (stage1.*) of choices, units or layers that stay as they are in the
    largest network; a layer's name means all whose widths are tied to its."""
    multiple: int = Field(default=1, ge=1)
    """Widths and expansions are multiples of it, besides the largest."""
    minimum: float | dict[str, float] = 0.0
    """The least width, in filters, or below 1 as a share of the largest; for all or by name or
    pattern. Above 0 no unit can be removed."""
    graph: dict[str, Any] | None = None
    """The space itself where it is not registered; filled in, so that a run folder needs neither
    the file nor the model."""


class TaskSection(Named):
    """The problem and its data."""

    data: Path | None = None
    """Where the data is; None for a task that brings its own."""
    holdout: float = Field(default=0.1, gt=0)
    """Cut from the training images, stratified, fixed by the seed: a share below 1, else images."""
    seed: int | None = Field(default=None, ge=0)
    """Of hold-out, order and augmentation; None for the experiment's. Another ``--seed`` beside
    it searches or trains anew with the same images held out."""


class Training(Section):
    """One training; steps 1 and 3 share it."""

    epochs: int = Field(default=30, ge=1)
    """Passes over the training images."""
    steps_per_epoch: int | None = Field(default=None, ge=1)
    """Cut each epoch short after so many batches; None for all of them."""
    batch_size: int = Field(default=128, ge=1)
    """Images per step, over all devices."""
    accumulate: int = Field(default=1, ge=1)
    """Compute a batch in so many parts, one after another, which need less memory."""
    optimizer: str = "sgd"
    """A name of timm's optimizer factory."""
    lr: float = Field(default=0.1, gt=0)
    """Highest learning rate."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of optimizers that have one."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """Not applied to biases and normalisation."""
    schedule: str = "cosine"
    """A name of timm's scheduler factory, moved after every step."""
    warmup_epochs: float = Field(default=0.5, ge=0)
    """Linear warm-up from a hundredth of ``lr``."""
    min_lr: float = Field(default=0.0, ge=0)
    """Learning rate at the end of the schedule."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Of the cross-entropy."""
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Decay per step of an exponential moving average of the weights; None for none."""
    clip_norm: float | None = Field(default=None, gt=0)
    """Clip the gradient to this norm."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Before the classifier."""
    nonfinite_limit: int = Field(default=20, ge=0)
    """Steps with a loss that is not finite are skipped; more of them than this end the run."""
    encoder: Path | None = None
    """Start the layers that a trained network of this project shares by name (an encoder that was
    trained for classification) from its weights: a run, ``train/<name>`` or ``supernet`` folder."""
    teacher: Path | None = None
    """A trained network of this project whose outputs are targets beside the labels: a run, a
    ``train/<name>`` folder or a weights file."""
    teacher_share: float = Field(default=0.5, gt=0, le=1)
    """The share of the teacher in the targets."""
    checkpoint_seconds: float = Field(default=60.0, ge=0)
    """Write a checkpoint when the last is older than this, beside one after every epoch."""


class SupernetSection(Training):
    """Step 1: the super-network."""

    strategy: Named = Named(name="ordered_dropout")
    """How sub-networks are drawn."""
    probe_epochs: int = Field(default=5, ge=0)
    """Score the largest, the smallest and random sub-networks every so many epochs; 0 never."""
    probes: int = Field(default=2, ge=0)
    """Random sub-networks among them."""


class PhonesSection(Section):
    """What the metric ``phones`` is made of: devices, and a budget for each."""

    budgets: dict[str, str] = Field(min_length=1)
    """Device → its budget, absolute with a unit (30ms) or a share of the largest network (50%)."""
    reduce: Literal["worst", "mean"] = "worst"
    """Over the ratios of latency to budget: the worst, or their mean."""


class SearchSection(Section):
    """Step 2: the search."""

    optimizer: str = "guided"
    """guided, mcd, netadapt, random, nsga2 or tpe, or a class of the user's own (FILE.py:CLASS)."""
    optimizers: dict[str, dict[str, Any]] = {}
    """Settings of each optimizer, by its name; what is left out has the optimizer's default."""
    evaluator: Named | None = None
    """How candidates are scored: shared_weights, fine_tuning (steps, lr and further settings), or
    the user's own; None for what belongs to the optimizer."""
    metric: str = "latency"
    """The metric that is descended: latency, macs, params, peak_memory, phones or one of
    ``metrics``."""
    budget: str = "50%"
    """Its budget, absolute with a unit (30ms, 220M) or a share of the largest network (50%)."""
    constraints: list[str] = []
    """Further budgets: params=5M, latency@pixel6-cpu=12ms."""
    metrics: dict[str, str | Named] = {}
    """Metrics of the user's own: name → FILE.py:FUNCTION or MODULE:FUNCTION of the network
    description, or ``{name, settings}``."""
    phones: PhonesSection | None = None
    """What the metric ``phones`` is made of; with a budget of 1 every phone keeps its own."""
    device: str | None = None
    """Whose latency: host, or a fitted or imported device; None for host unless ``table``."""
    table: Path | None = None
    """A latency table file in place of ``device``."""
    precision: Literal["float32", "int8"] | None = None
    """Of the networks that are priced: whose table of a measured device, and what a fitted device
    or a table file must be of; None for float32 on a measured device, else whatever it is of."""
    resolution: int | None = Field(default=None, ge=1)
    """Price networks at this resolution in pixels, where they will be used at another one than
    the super-network was trained at; None for the space's own."""
    recalibration_images: int = Field(default=512, ge=2)
    """Training images for the batch statistics of every candidate."""
    batch_size: int = Field(default=256, ge=1)
    """Images at once while a candidate is evaluated."""
    weights: str | None = None
    """What a search by fine-tuning starts from: pretrained (timm's hub), a checkpoint file of the
    network's state, or a trained network or super-network of this project; None for the run's own
    super-network, or for a network as its function builds it."""
    storage: str | None = None
    """Optuna storage URL; None for an SQLite file in the run folder. Its password is not stored."""
    workers: int = Field(default=1, ge=1)
    """Processes on this machine that evaluate candidates."""


class Quantization(Section):
    """How a trained network becomes int8."""

    calibration_images: int = Field(default=256, ge=1)
    """Training images, without augmentation, that the ranges of activations are taken from."""
    epochs: int = Field(default=0, ge=0)
    """After the training, train on for so many epochs with weights and activations rounded as
    int8 rounds them; 0 quantizes the trained network as it is."""
    lr: float = Field(default=0.002, gt=0)
    """Highest learning rate of these epochs."""


class TrainSection(Training):
    """Step 3: the discovered network."""

    weights: Literal["scratch", "inherited"] = "scratch"
    """Start from random weights or from the super-network's."""
    compile: bool = False
    """Compile the network with torch.compile: minutes at the start, less time a step."""
    validate_epochs: int = Field(default=5, ge=0)
    """Score on the hold-out every so many epochs; 0 only at the end."""
    quantization: Quantization | None = None
    """Write and score the network as a float32 and as an int8 file too; None does not."""


class Experiment(Section):
    """A whole experiment, as a recipe describes it."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    """Version of this file format."""
    name: str
    """The name of the run folder; a recipe's file name unless given."""
    description: str = ""
    """What it is for, in a line."""
    seed: int = Field(default=0, ge=0)
    """Of everything random: splits, order, augmentation, sub-networks, weights, proposals."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads; None for torch's default. Results are bit-identical only for equal numbers."""
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks are trained and evaluated."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the forward pass in training; float16 scales the loss; neither is a gain on a CPU."""
    code_folder: Path | None = None
    """Where files and modules of the user's own are looked for first; the current folder, filled
    in where the recipe names one, so that its run folder finds them from anywhere."""
    space: SpaceSection
    """The search space; its settings say resolution, channels and classes."""
    task: TaskSection
    """The problem and its data."""
    supernet: SupernetSection = SupernetSection()
    """Step 1."""
    search: SearchSection = SearchSection()
    """Step 2."""
    train: TrainSection = TrainSection()
    """Step 3."""

    def search_space(self) -> SearchSpace:
        """The search space that the recipe names; the same object at every call.

        Raises:
            UserError: unknown name or setting, or a network that cannot be described.
        """
        return self._opened_space

    @cached_property
    def _opened_space(self) -> SearchSpace:
        section = self.space
        if section.graph is not None:
            found = graph_from_dict(section.graph)
        else:
            found = open_space(section.name, section.settings, self.code_folder)
        return limited(found, keep=section.keep, multiple=section.multiple, minimum=section.minimum)

    def with_space_of(self, other: Experiment) -> Experiment:
        """This experiment with the space of one that names the same, not built again."""
        assert self.space == other.space
        copy = self.model_copy()
        copy.__dict__["_opened_space"] = other.search_space()
        return copy

    def priced_space(self) -> SearchSpace:
        """The search space at the resolution that the search's metrics are to price.

        Raises:
            UserError: as `search_space`.
        """
        space = self.search_space()
        wanted = self.search.resolution or space.resolution
        return space if wanted == space.resolution else space.at(wanted)

    def own_names(self) -> list[str]:
        """What the recipe names of the user's own, as it names it."""
        search = self.search
        metrics = [m if isinstance(m, str) else m.name for m in search.metrics.values()]
        evaluator = [] if search.evaluator is None else [search.evaluator.name]
        words = [self.task.name, self.supernet.strategy.name, search.optimizer, *evaluator]
        return [name for name in [self.space.name, *words, *metrics] if is_own(name)]

    @property
    def traced(self) -> bool:
        """True where the space is that of a model, which has weights of its own."""
        # a traced space is called as its model is in the recipe
        return self.space.graph is not None and self.space.graph["name"] == self.space.name

    def shareable(self) -> Experiment:
        """The experiment without the database's password: run folders and studies are shown."""
        url = self.search.storage
        hidden = url and shown(url)
        search = self.search.model_copy(update={"storage": hidden})
        return self.model_copy(update={"search": search})

    def to_dict(self) -> dict[str, Any]:
        """The resolved experiment as plain YAML types."""
        return self.model_dump(mode="json", by_alias=True)
