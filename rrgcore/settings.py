"""The sections of a recipe that are core's own, typed; components bring their own options."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, final

Split = Literal["train", "val", "test"]
ROLES: tuple[Split, ...] = ("train", "val", "test")
Precision = Literal["fp32", "bf16", "fp16"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentSettings:
    """How training images are varied; nothing is unless said. One draw a study, for all its
    images: each value evenly from its range.
    """

    flip: float = 0.0
    """Probability that a study is mirrored: frontal images flipped, sides exchanged in its texts
    and annotations. One that cannot be mirrored truthfully never is.
    """
    rotate: float = 0.0
    """Degrees, at most so many either way."""
    shift: float = 0.0
    """Share of the image's side, at most so much either way, across and down."""
    scale: float = 0.0
    """Larger or smaller by at most this share."""
    brightness: float = 0.0
    """Share of the range from black to white that is added, at most so much either way."""
    contrast: float = 0.0
    """Distances from the image's mean grey grow or shrink by at most this share."""
    gamma: float = 0.0
    """Greys, from 0 to 1, are raised to a power between 1 / (1 + gamma) and 1 + gamma, its
    logarithm drawn evenly.
    """
    noise: float = 0.0
    """Standard deviation of Gaussian noise, at most this share of the range from black to white."""

    @property
    def moves(self) -> bool:
        """Whether images are rotated, shifted or scaled."""
        return max(self.rotate, self.shift, self.scale) > 0

    def __post_init__(self) -> None:
        for name, most in AUGMENT_LIMITS.items():
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise ValueError(f"`{name}` is {value}; expected 0 to {most:g}")


AUGMENT_LIMITS: Mapping[str, float] = {
    "flip": 1.0,
    "rotate": 45.0,
    "shift": 0.25,
    "scale": 0.5,
    "brightness": 0.5,
    "contrast": 0.9,
    "gamma": 2.0,
    "noise": 0.25,
}
"""The most that each may be; beyond it a chest image is none."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DataSettings:
    """How studies become batches; every other key of `data` is an option of the dataset."""

    image_size: int = 224
    """Pixels; images are resized to a square, never cropped."""
    batch_size: int = 16
    max_report_tokens: int = 100
    """Longer reports are cut for training (a warning counts them); references are scored whole."""
    min_word_count: int = 1
    """For the tokenizer `words`: rarer words of the training reports become [UNK]."""
    workers: int = 0
    cache: float | Literal[False] = 20.0
    """Gigabytes that decoded images may take on disk, those of other recipes counted; or none are
    kept.
    """
    limit: int | None = None
    """Only the first so many studies of each split."""
    splits: Mapping[Split, str] = field(default_factory=dict)
    """Which of the data's splits plays a role, where it is not the one of that name."""
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    terms: str | None = None
    """Licence and terms of the data, for the run's card, where neither the dataset nor its ids tell
    them.
    """
    oracle: bool = False
    """Whether the model may read annotations that were made of the very reports it is to predict:
    an upper bound, and marked as one wherever its scores stand.
    """

    def __post_init__(self) -> None:
        _at_least(1, self, "image_size", "batch_size", "min_word_count", "limit")
        _at_least(3, self, "max_report_tokens")  # a word between [CLS] and [SEP]
        _at_most(10_000, self, "image_size")  # no detector has as many
        _at_most(1_000_000, self, "max_report_tokens")
        _at_least(0, self, "workers")
        if not 0 <= self.cache < float("inf"):
            raise ValueError(f"`cache` is {self.cache}; expected gigabytes, or off")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerSettings:
    """A class of torch.optim by name, and its arguments."""

    name: str = "AdamW"
    lr: float = 1e-4
    options: Mapping[str, Any] = field(default_factory=dict)
    """The class's other arguments, checked against its signature."""
    lr_of: Mapping[str, float] = field(default_factory=dict)
    """Learning rates of single parts (`encoder: 1e-5`)."""
    exempt: bool = True
    """Whether biases, norms and other vectors are spared weight decay."""

    def __post_init__(self) -> None:
        for part, rate in {"lr": self.lr, **self.lr_of}.items():
            if not 0 < rate < float("inf"):
                raise ValueError(f"`{part}` is {rate}; expected a learning rate above 0")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSettings:
    """A class of torch.optim.lr_scheduler by name, its arguments, and when it steps."""

    name: str = "ConstantLR"
    options: Mapping[str, Any] = field(default_factory=dict)
    every: Literal["epoch", "step"] = "epoch"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class StageSettings:
    """One stretch of training."""

    optimizer: OptimizerSettings
    schedule: ScheduleSettings
    epochs: int | None = None
    steps: int | None = None
    """Exactly one of epochs and steps."""
    warmup: int = 0
    """Optimizer steps over which the learning rate rises from zero."""
    only: tuple[str, ...] | None = None
    """The objectives that take part; all of them when None."""
    start_from: Literal["last", "best"] = "last"
    """Which weights of the stage before."""
    continues: bool = False
    """Whether the schedule goes on where the stage before ended it, since this one names none."""
    evaluate_every: int = 1
    """Epochs between validations; the last epoch is always validated."""
    tested: bool = True
    """Whether the run may be tested with its best checkpoint; not where it trains for others."""
    patience: int | None = None
    """Stop after so many validations without a better score."""
    save_every: int | None = None
    """Optimizer steps between saves within an epoch, at the end of which it is saved anyway."""
    precision: Precision = "fp32"
    compile: bool = False
    """Whether torch.compile makes steps faster; the first ones take minutes."""
    clip: float | None = None
    """Largest norm of the gradient."""
    accumulate: int = 1
    freeze: tuple[str, ...] = ()
    """Parts that stand still in this stage."""

    def trains(self, objective: str) -> bool:
        """Whether an objective takes part."""
        return self.only is None or objective in self.only

    def __post_init__(self) -> None:
        if self.epochs is None and self.steps is None:
            raise ValueError("a stage needs `epochs` or `steps`, and has neither")
        if self.epochs is not None and self.steps is not None:
            raise ValueError(
                f"a stage needs either `epochs` or `steps`, and has both, {self.epochs} and "
                f"{self.steps}, of which a variant may have brought one: set the other to null"
            )
        _at_least(1, self, "epochs", "steps", "evaluate_every", "accumulate")
        _at_least(1, self, "patience", "save_every")
        _at_least(0, self, "warmup")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"`clip` is {self.clip}; expected a norm above 0")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """What is measured, and which score decides."""

    select: str = "CIDEr"
    """The validation score by which the best checkpoint is chosen; `last` keeps the newest."""
    batch_size: int | None = None
    """Studies generated at a time; the training batch size when None."""
    val_studies: int | None = None
    """Validate on the first so many studies only."""
    val_beams: int | None = None
    """Beams while validating, which then searches; as `generation` says when None."""
    baselines: bool = True
    probes: bool = True
    """Measure shuffled images, retrieval, masked words and patches on the test split after
    training.
    """

    def __post_init__(self) -> None:
        _at_least(1, self, "batch_size", "val_studies", "val_beams")


def _at_most(most: int, settings: object, *names: str) -> None:
    for name in names:
        if (value := getattr(settings, name)) > most:
            raise ValueError(f"`{name}` is {value}; expected at most {most:,}")


def _at_least(least: int, settings: object, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        if value is not None and value < least:
            raise ValueError(f"`{name}` is {value}; expected at least {least}")
