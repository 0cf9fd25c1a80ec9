"""What is mixed: every registered component that a model is made of, as small as it goes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, final

from rrgcore.api import MaskingStrategy, TextGivenImage
from rrgcore.registry import Registry
from rrgcore.signatures import options_of

from ..backbones.tiny_llama import write_llama

WIDTH = 16
"""Of everything, so that `identity` fits everywhere; widths that differ are not what is tried."""
NOTHING = "none"
"""The level of a slot that is left empty."""
LLAMA = "RRG_TINY_LLAMA"
"""The environment variable that names the folder of `write_tiny_llama`."""


def _trunk(norm: str, cross_layers: str = "all") -> Mapping[str, Any]:
    sizes = {"dim": WIDTH, "depth": 1, "heads": 2}
    return {"name": "transformer", **sizes, "norm": norm, "cross_layers": cross_layers}


CFE = {"name": "cfe", "heads": 2}
NMIA = {"name": "nmia", "k": 8}

SMALL: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "encoder swin": {"": {"window": 4, "dim": 8, "depths": [1, 1], "heads": [1, 2]}},
    "encoder vit": {
        "": {"patch_size": 8, "trunk": _trunk("pre")},
        "that reads no text": {"patch_size": 8, "trunk": _trunk("pre", "none")},
    },
    "adapter cmeaa": {
        "": {"enhance": CFE, "align": NMIA},
        "without cfe": {"align": NMIA},
        "without nmia": {"enhance": CFE},
    },
    "adapter identity": {"": {}},
    "adapter linear": {"": {}},
    "decoder bert": {
        "": {"tokenizer": "words", "trunk": _trunk("post")},
        "that reads no image": {"tokenizer": "words", "trunk": _trunk("post", "none")},
    },
    "decoder llama2": {
        "": {
            **{"tokenizer": "words", "frozen": False, "max_tokens": 128},
            **{"dim": WIDTH, "depth": 1, "heads": 2, "hidden": 32},
        },
        "frozen, with weights": {
            **{"tokenizer": f"${LLAMA}", "weights": f"${LLAMA}", "dtype": "bfloat16"},
        },
    },
    "objective irc": {"": {"space": {"name": "projections", "dim": 8}, "queue": 3}},
    "objective irm": {"": {"space": {"name": "projections", "dim": 8}}},
    "objective mim": {"": {}},
    "objective mine": {"": {}},
    "objective mlm": {"": {}},
    "objective report": {"": {}},
    "masking anatomy": {"": {}},
    "masking graph": {"": {}},
    "masking label": {"": {}},
    "masking random_patches": {"": {}},
    "masking random_words": {"": {}},
}
"""Options by component and setting. The first setting has everything that the component can do; the
others have options that another part may trip over, or that take something away.
"""

BASE: Mapping[str, Any] = {
    "data": {
        **{"name": "phantom", "train": 4, "val": 1, "test": 2, "lateral": True},
        **{"image_size": 32, "batch_size": 2, "max_report_tokens": 24},
        # n-grams for cfe, of the phantoms' exact labels: what is learned is not the subject
        **{"oracle": True, "annotations": {"ngrams": {"name": "organ", "frequency": 0}}},
    },
    # a weight that nothing teaches stays where it is
    "stages": {"train": {"steps": 2, "optimizer": {"lr": 1e-2, "weight_decay": 0}}},
    "generation": {"beams": 2, "min_new_tokens": 3, "max_new_tokens": 5},
    "evaluation": {"select": "last"},
}


VIEWS = ("concat", "mean")
"""How the tokens of two images are put together."""


class Model(NamedTuple):
    """A level for each slot."""

    encoder: str
    adapter: str
    decoder: str
    text_encoder: str = NOTHING


class Mix(NamedTuple):
    """A model, what it is trained for beside the report, and its views."""

    encoder: str
    adapter: str
    decoder: str
    text_encoder: str
    task: str
    views: str = "concat"

    @property
    def model(self) -> Model:
        return Model(*self[: len(Model._fields)])

    def __str__(self) -> str:
        beside = "" if self.text_encoder == NOTHING else f" + {self.text_encoder}"
        return (
            f"{self.encoder} → {self.adapter} → {self.decoder}{beside}: {self.task} ({self.views})"
        )


@final
@dataclass(frozen=True)
class Choices:
    """The levels of each factor, taken from a registry.

    Names with a dot are strangers', installed by chance.
    """

    registry: Registry
    small: Mapping[str, Mapping[str, Mapping[str, Any]]]

    @cached_property
    def encoders(self) -> Mapping[str, Any]:
        return dict(self._levels("encoder"))

    @cached_property
    def adapters(self) -> Mapping[str, Any]:
        return dict(self._levels("adapter"))

    @cached_property
    def decoders(self) -> Mapping[str, Any]:
        return dict(self._levels("decoder"))

    @cached_property
    def text_encoders(self) -> Mapping[str, Any]:
        """Nothing, or what encodes texts, with an image too, beside the decoder that writes."""
        able = {
            label: block
            for label, block in self.decoders.items()
            if issubclass(self.registry.get("decoder", block["name"]), TextGivenImage)
        }
        return {NOTHING: None, **able}

    @cached_property
    def tasks(self) -> Mapping[str, Any]:
        """Each objective, with each masking that it takes."""
        return {task: block for task, (block, fits) in self._tasks.items() if fits}

    @cached_property
    def misplaced(self) -> Mapping[str, Any]:
        """Objectives that take a masking, with those of the other kind."""
        return {task: block for task, (block, fits) in self._tasks.items() if not fits}

    @cached_property
    def _tasks(self) -> Mapping[str, tuple[Any, bool]]:
        found: dict[str, tuple[Any, bool]] = {}
        for objective, block in self._levels("objective"):
            options = options_of(self.registry.get("objective", block["name"]))
            wanted = {
                name: option.component[1]
                for name, option in options.items()
                if option.component and issubclass(option.component[1], MaskingStrategy)
            }
            for name, kind in wanted.items():
                for masking, inner in self._levels("masking"):
                    fits = issubclass(self.registry.get("masking", inner["name"]), kind)
                    found[f"{objective}, {masking}"] = {**block, name: inner}, fits
            if not wanted:
                found[objective] = block, True
        return found

    def name_of(self, slot: str, level: str) -> str:
        """Return the component of a level, whatever its setting."""
        block = getattr(self, f"{slot}s")[level]
        return NOTHING if block is None else str(block["name"])

    def is_first(self, slot: str, level: str) -> bool:
        """Whether a level is its component's first setting."""
        return level == self.name_of(slot, level)

    def models(self) -> list[Model]:
        """List the models of first settings, each with each."""
        return [model for model in self._models() if self.plain(model) == model]

    def plain(self, model: Model) -> Model:
        """Return a model with the first setting of each component."""
        return Model(*(self.name_of(slot, level) for slot, level in model._asdict().items()))

    def mixes(self) -> list[Mix]:
        """List every combination of all levels."""
        every = product(self._models(), self.tasks, VIEWS)
        return [Mix(*model, task, views) for model, task, views in every]

    def recipe(self, model: Model, tasks: Sequence[str], views: str = "concat") -> dict[str, Any]:
        """Return a recipe of a model that is trained to write and for these tasks."""
        slots = {slot: getattr(self, f"{slot}s")[level] for slot, level in model._asdict().items()}
        return {
            **BASE,
            "model": {"views": views, **{k: v for k, v in slots.items() if v is not None}},
            "objectives": {"report": {}, **{key_of(task): self._tasks[task][0] for task in tasks}},
        }

    def _models(self) -> Iterator[Model]:
        slots = (self.encoders, self.adapters, self.decoders, self.text_encoders)
        return (Model(*levels) for levels in product(*slots))

    def _levels(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for name in self.registry.names(kind):
            if "." in name:
                continue
            settings = self.small.get(f"{kind} {name}")
            assert settings is not None, (
                f"{kind} '{name}' is registered, and nobody says how small it goes: give it an "
                f"entry '{kind} {name}' in SMALL, tests/mixing/choices.py, and it is tried with "
                "everything else"
            )
            for setting, options in settings.items():
                yield f"{name} {setting}".strip(), {"name": name, **options}


def key_of(task: str) -> str:
    """Return what a recipe calls a task: `mim_anatomy`, and `report`, which is always there."""
    return task.replace(", ", "_")


def write_tiny_llama(folder: Path) -> Path:
    """Write the published Llama that `$RRG_TINY_LLAMA` stands for."""
    return write_llama(
        folder,
        **{"hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2},
        **{"num_key_value_heads": 1, "intermediate_size": 32, "max_position_embeddings": 128},
    )
