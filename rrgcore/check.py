"""Recipe → Plan: names, options, types and references, with every problem collected."""

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal, TypeVar, cast, final, get_type_hints

import torch
from torch.optim import lr_scheduler

from rrgcore import interfaces
from rrgcore.annotations import Annotation
from rrgcore.errors import Problem, RecipeError, RegistryError, did_you_mean
from rrgcore.interfaces import Part
from rrgcore.plan import Block, Plan, Ref, problem_at
from rrgcore.recipe import Recipe, expand
from rrgcore.registry import KINDS, Registry
from rrgcore.settings import (
    DataSettings,
    EvaluationSettings,
    OptimizerSettings,
    ScheduleSettings,
    StageSettings,
)
from rrgcore.signatures import Option, check_value, has_option, options_of
from rrgcore.types import Generation

S = TypeVar("S")

OF_ONE_STAGE = ("epochs", "steps", "only", "start_from", "warmup", "freeze")
"""What a stage does not continue from the one before."""
SLOTS = ("encoder", "adapter", "decoder", "text_encoder")

# what needs more than a recipe can say, or a step of another kind than training takes
NOT_BY_NAME = {
    "LBFGS": "needs to evaluate the loss several times a step",
    "SparseAdam": "takes sparse gradients only",
    "Muon": "takes matrices only",
    "ReduceLROnPlateau": "steps by a score; use `patience`",
    "SequentialLR": "is made of other schedules",
    "ChainedScheduler": "is made of other schedules",
    "LambdaLR": "is made of a function",
    "MultiplicativeLR": "is made of a function",
}
"""Classes of torch that cannot be named in a stage, and why."""


def check_recipe(recipe: Recipe, registry: Registry, *, expand_paths: bool = True) -> Plan:
    """Return the plan of a recipe; raises RecipeError with everything that is wrong with it.

    Imports the classes that the recipe names and reads their signatures; builds nothing. Without
    `expand_paths`, an unset `$NAME` in a path is left as it is (to show a recipe without its data).
    """
    checker = _Checker(recipe, registry, expand_paths)
    plan = checker.plan()
    if checker.problems:
        raise RecipeError(recipe.source, checker.problems)
    assert plan is not None, "a plan without problems is complete"
    return plan


@final
class _Checker:
    def __init__(self, recipe: Recipe, registry: Registry, expand_paths: bool) -> None:
        self.recipe = recipe
        self.registry = registry
        self.expand_paths = expand_paths
        self.problems: list[Problem] = []
        self.shared: dict[str, Block] = {}

    def problem(self, address: str, text: str) -> None:
        self.problems.append(problem_at(self.recipe, address, text))

    # ---- the whole --------------------------------------------------------------------------

    def plan(self) -> Plan | None:
        values = self.recipe.values
        model = self.mapping("model", values.get("model", {}))
        data = self.mapping("data", values.get("data", {}))
        evaluation = self.mapping("evaluation", values.get("evaluation", {}))

        for key, value in self.mapping("model.shared", model.get("shared", {})).items():
            block = self.component("part", value, f"model.shared.{key}", Part)
            if isinstance(block, Block):
                self.shared[key] = block
        self.shared_order()
        slots: dict[str, Block | None] = {}
        for slot, kind in (
            ("encoder", "encoder"),
            ("adapter", "adapter"),
            ("decoder", "decoder"),
            ("text_encoder", "decoder"),
        ):
            if slot not in model:
                if slot in ("encoder", "decoder"):
                    self.problem("model", f"needs `{slot}`: the name of a {kind}, or a block")
                slots[slot] = (
                    self.block("adapter", "identity", "model.adapter")
                    if slot == "adapter"
                    else None
                )
                continue
            slots[slot] = self.block(kind, model[slot], f"model.{slot}")
        objectives, weights = self.objectives(values.get("objectives", {}))
        dataset, data_settings, annotators = self.data(data)
        metrics = {
            name: block
            for name, value in self.mapping(
                "evaluation.metrics", evaluation.get("metrics", {})
            ).items()
            if (block := self.block("metric", value, f"evaluation.metrics.{name}", default=name))
        }
        evaluated = self.settings(
            EvaluationSettings,
            {k: v for k, v in evaluation.items() if k != "metrics"},
            "evaluation",
        )
        generation = self.settings(Generation, values.get("generation", {}), "generation")
        stages = self.stages(values.get("stages", {}), weights)
        seed = self.value(int, values.get("seed", 0), "seed")
        if isinstance(seed, int) and not 0 <= seed < 2**32:
            self.problem("seed", f"expected a number from 0 to 4294967295, got {seed}")
        views = self.value(Literal["concat", "mean"], model.get("views", "concat"), "model.views")
        freeze = self.value(tuple[str, ...], model.get("freeze", []), "model.freeze") or ()
        self.parts_exist(freeze, "model.freeze", objectives)
        for name, stage in stages.items():
            self.parts_exist(stage.freeze, f"stages.{name}.freeze", objectives)
            self.parts_exist(
                tuple(stage.optimizer.lr_of), f"stages.{name}.optimizer.lr_of", objectives
            )
        init = self.mapping("init", values.get("init", {}))
        self.parts_exist(tuple(init), "init", objectives)
        self.all_shared_used([*filter(None, slots.values()), *objectives.values()])
        encoder, adapter, decoder = slots["encoder"], slots["adapter"], slots["decoder"]
        if self.problems or not (encoder and adapter and decoder and dataset):
            return None
        assert data_settings is not None, "a section without problems is there"
        assert evaluated is not None, "a section without problems is there"
        assert generation is not None, "a section without problems is there"
        plan = Plan(
            recipe=self.recipe,
            seed=cast(int, seed),
            data=data_settings,
            dataset=dataset,
            annotators=annotators,
            shared=self.shared,
            encoder=encoder,
            adapter=adapter,
            decoder=decoder,
            text_encoder=slots["text_encoder"],
            views=cast(Literal["concat", "mean"], views),
            freeze=cast(tuple[str, ...], freeze),
            objectives=objectives,
            weights=weights,
            stages=stages,
            generation=generation,
            evaluation=evaluated,
            metrics=metrics,
            init={part: self.path(value, f"init.{part}") for part, value in init.items()},
        )
        self.capabilities(plan)
        return plan

    # ---- components -------------------------------------------------------------------------

    def block(
        self, kind: str, value: Any, address: str, default: str | None = None
    ) -> Block | None:
        """A component that is owned where it stands; a reference is refused."""
        found = self.component(kind, value, address, None, default)
        if isinstance(found, Ref):
            self.problem(address, f"expected a {kind} of its own, got a reference to a shared part")
            return None
        return found

    def component(
        self,
        kind: str,
        value: Any,
        address: str,
        wanted: type | None = None,
        default: str | None = None,
    ) -> Block | Ref | None:
        wanted = wanted or cast(type, getattr(interfaces, KINDS[kind]))
        if isinstance(value, Mapping) and "ref" in value:
            return self.reference(value, address, wanted)
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, Mapping):
            self.problem(
                address,
                f"expected the name of a {kind}, or a block `{{name: …, option: …}}`, "
                f"got {value!r}",
            )
            return None
        name = value.get("name", default)
        if not isinstance(name, str):
            known = ", ".join(self.registry.names(kind))
            self.problem(address, f"needs a `name`: which {kind}?\nKnown: {known}")
            return None
        try:
            cls = self.registry.get(kind, name)
        except RegistryError as error:
            self.problem(f"{address}.name" if "name" in value else address, str(error))
            return None
        if not issubclass(cls, wanted):
            self.problem(
                address,
                f"{kind} '{name}' is no {wanted.__name__}. "
                f"Those that are: {self.those_that_are(kind, wanted)}",
            )
            return None
        given = {key: item for key, item in value.items() if key != "name"}
        return Block(kind, name, cls, self.options(kind, name, cls, given, address), address)

    def options(
        self, kind: str, name: str, cls: type, given: Mapping[str, Any], address: str
    ) -> dict[str, Any]:
        known = options_of(cls)
        checked: dict[str, Any] = {}
        for key in given:
            if key not in known:
                self.problem(
                    f"{address}.{key}",
                    f"{kind} '{name}' has no option '{key}'.{did_you_mean(key, known)}\n"
                    f"Options: {has_option(known.values())}",
                )
        for option in known.values():
            where = f"{address}.{option.name}"
            if option.name in given:
                checked[option.name] = self.option(option, given[option.name], where)
            elif option.required and not option.wired:
                self.problem(
                    address,
                    f"{kind} '{name}' needs the option '{option.name}': {option.expected}",
                )
        return checked

    def option(self, option: Option, value: Any, address: str) -> Any:
        if option.component is not None and value is not None:
            kind, wanted = option.component
            return self.component(kind, value, address, wanted)
        if option.is_tokenizer:
            name = self.value(str, value, address)
            return self.path(name, address) if isinstance(name, str) else name
        if isinstance(value, str):
            value = self.path(value, address)
        return self.value(option.annotation, value, address)

    def reference(self, value: Mapping[str, Any], address: str, wanted: type) -> Ref | None:
        key = value["ref"]
        if len(value) > 1:
            others = ", ".join(k for k in value if k != "ref")
            self.problem(
                address,
                f"a reference has no options of its own, got {others}; "
                f"set them at model.shared.{key}",
            )
        if key not in self.shared:
            # a part of model.shared that has problems itself is reported there
            if key not in (self.recipe.values.get("model", {}).get("shared") or {}):
                self.problem(
                    f"{address}.ref",
                    f"model.shared has no '{key}'.{did_you_mean(str(key), self.shared)}\n"
                    f"Shared parts: {', '.join(self.shared) or 'none'}",
                )
            return None
        if not issubclass(self.shared[key].cls, wanted):
            self.problem(
                f"{address}.ref",
                f"model.shared.{key} is a {self.shared[key].cls.__name__}, "
                f"expected a {wanted.__name__}",
            )
        return Ref(key)

    def those_that_are(self, kind: str, wanted: type) -> str:
        names = [
            n for n in self.registry.names(kind) if issubclass(self.registry.get(kind, n), wanted)
        ]
        return ", ".join(names) or "none"

    def shared_order(self) -> None:
        for key, block in self.shared.items():
            for other in block.refs():
                if other not in self.shared or list(self.shared).index(other) >= list(
                    self.shared
                ).index(key):
                    self.problem(
                        f"model.shared.{key}", f"refers to '{other}', which must stand before it"
                    )

    def all_shared_used(self, roots: Sequence[Block]) -> None:
        used = {key for block in (*roots, *self.shared.values()) for key in block.refs()}
        for key in self.shared:
            if key not in used:
                self.problem(
                    f"model.shared.{key}",
                    f"nothing refers to it: use `{{ref: {key}}}`, or remove it",
                )

    def parts_exist(
        self, names: Sequence[str], address: str, objectives: Mapping[str, Block]
    ) -> None:
        known = [
            *SLOTS,
            *(f"shared.{key}" for key in self.shared),
            *(f"objectives.{name}" for name in objectives),
        ]
        for name in names:
            if name not in known:
                self.problem(
                    address,
                    f"there is no part '{name}'.{did_you_mean(name, known)}\n"
                    f"Parts: {', '.join(known)}",
                )

    def capabilities(self, plan: Plan) -> None:
        """Compare what objectives require with the classes in the slots."""
        for name, block in plan.objectives.items():
            for slot, capability in getattr(block.cls, "requires", {}).items():
                filled = getattr(plan, slot) or plan.decoder
                if not issubclass(filled.cls, capability):
                    kind = "decoder" if slot == "text_encoder" else slot
                    offered = self.those_that_are(kind, capability)
                    article = "an" if slot[0] in "ae" else "a"
                    hint = (
                        "\nGive the model one beside its decoder: model.text_encoder"
                        if slot == "text_encoder" and offered != "none"
                        else ""
                    )
                    self.problem(
                        f"objectives.{name}",
                        f"objective '{block.name}' needs {article} {slot} that is "
                        f"{capability.__name__}; '{filled.name}' is not. "
                        f"Those that are: {offered}{hint}",
                    )

    # ---- sections ---------------------------------------------------------------------------

    def objectives(self, value: Any) -> tuple[dict[str, Block], dict[str, float]]:
        blocks: dict[str, Block] = {}
        weights: dict[str, float] = {}
        for name, item in self.mapping("objectives", value).items():
            address = f"objectives.{name}"
            weight: Any = 1.0
            if isinstance(item, Mapping):
                weight = self.value(float, item.get("weight", 1.0), f"{address}.weight")
                item = {key: option for key, option in item.items() if key != "weight"}
            if isinstance(weight, float) and weight < 0:
                self.problem(f"{address}.weight", f"expected a weight of at least 0, got {weight}")
            if block := self.block("objective", item, address, default=name):
                blocks[name] = block
                weights[name] = cast(float, weight)
        if not blocks and not self.problems:
            self.problem("objectives", "there is nothing to train: name at least one objective")
        return blocks, weights

    def data(
        self, value: Mapping[str, Any]
    ) -> tuple[Block | None, DataSettings | None, dict[type, Block]]:
        own = [f.name for f in fields(DataSettings)]
        annotators = self.annotators(self.mapping("data.annotations", value.get("annotations", {})))
        rest = {k: v for k, v in value.items() if k not in own and k != "annotations"}
        if "name" not in value:
            known = ", ".join(self.registry.names("dataset"))
            self.problem("data", f"needs a `name`: which dataset?\nKnown: {known}")
            return None, None, annotators
        try:
            cls = self.registry.get("dataset", value["name"])
            unknown = [k for k in rest if k not in options_of(cls) and k != "name"]
            for key in unknown:
                names = list(dict.fromkeys([*own, *options_of(cls), "annotations"]))
                self.problem(
                    f"data.{key}",
                    f"neither `data` nor dataset '{value['name']}' has an option '{key}'."
                    f"{did_you_mean(key, names)}\nOptions: {', '.join(names)}",
                )
                rest.pop(key)
        except RegistryError:
            rest = {"name": value["name"]}  # reported once, below
        dataset = self.block("dataset", rest, "data")
        settings = self.settings(DataSettings, {k: v for k, v in value.items() if k in own}, "data")
        return dataset, settings, annotators

    def annotators(self, value: Mapping[str, Any]) -> dict[type, Block]:
        found: dict[type, Block] = {}
        for slug, item in value.items():
            address = f"data.annotations.{slug}"
            block = self.block("annotator", item, address)
            if block is None:
                continue
            writes = cast(type[Annotation], cast(Any, block.cls).writes)
            if writes.slug != slug:
                self.problem(
                    address, f"annotator '{block.name}' writes {writes.slug}, expected {slug}"
                )
            found[writes] = block
        return found

    def stages(self, value: Any, weights: Mapping[str, float]) -> dict[str, StageSettings]:
        found: dict[str, StageSettings] = {}
        before: dict[str, Any] = {}
        for name, item in self.mapping("stages", value).items():
            address = f"stages.{name}"
            own = dict(self.mapping(address, item))
            for key in ("optimizer", "schedule"):
                if isinstance(own.get(key), str):
                    own[key] = {"name": own[key]}
            continues = bool(before) and not (
                "schedule" in own
                or "lr" in self.mapping(f"{address}.optimizer", own.get("optimizer"))
            )
            merged = _continued(before, own)
            if "name" not in merged.setdefault("schedule", {}):
                # of itself torch's ConstantLR begins at a third
                merged["schedule"] = {"name": "ConstantLR", "factor": 1.0, **merged["schedule"]}
            raw = {**merged, "continues": continues}
            for key, settings, module, base in (
                ("optimizer", OptimizerSettings, torch.optim, torch.optim.Optimizer),
                ("schedule", ScheduleSettings, lr_scheduler, lr_scheduler.LRScheduler),
            ):
                raw[key] = self.torch_class(
                    cast(Any, settings), module, base, merged.get(key, {}), f"{address}.{key}"
                )
            if raw["optimizer"] and raw["schedule"]:
                stage = self.settings(StageSettings, raw, address, ready=("optimizer", "schedule"))
                if stage:
                    found[name] = stage
            before = merged
        if not found and not self.problems:
            self.problem("stages", "there is nothing to run: name at least one stage")
        for name, stage in found.items():
            self.trains_something(name, stage, weights)
        precisions = {stage.precision for stage in found.values()}
        if len(precisions) > 1:
            self.problem(
                "stages",
                f"every stage of a run has one precision, got {', '.join(sorted(precisions))}",
            )
        return found

    def trains_something(
        self, name: str, stage: StageSettings, weights: Mapping[str, float]
    ) -> None:
        address = f"stages.{name}.only"
        for chosen in stage.only or ():
            if chosen not in weights:
                self.problem(
                    address,
                    f"there is no objective '{chosen}'.{did_you_mean(chosen, weights)}\n"
                    f"Objectives: {', '.join(weights) or 'none'}",
                )
        chosen_weights = [weights.get(key, 1.0) for key in weights if stage.trains(key)]
        if weights and not any(chosen_weights):
            self.problem(
                f"stages.{name}", "there is nothing to train: no objective in it has a weight"
            )

    def torch_class(
        self, settings: type[S], module: Any, base: type, value: Any, address: str
    ) -> S | None:
        """An optimizer or schedule: a class of torch by name, its arguments checked as options."""
        before = len(self.problems)
        value = dict(self.mapping(address, value))
        own = {f.name: f for f in fields(cast(Any, settings)) if f.name != "options"}
        name = str(value.get("name", own["name"].default))
        known = [
            key
            for key, item in vars(module).items()
            if isinstance(item, type) and issubclass(item, base) and item is not base
            if key not in NOT_BY_NAME and not key.startswith("_") and key != "LRScheduler"
        ]
        if name not in known:
            why = f" that a recipe can name: it {NOT_BY_NAME[name]}" if name in NOT_BY_NAME else ""
            self.problem(
                f"{address}.name",
                f"torch has no {_noun(base)} '{name}'{why}.{did_you_mean(name, known)}\n"
                f"Known: {', '.join(sorted(known))}",
            )
            return None
        cls = getattr(module, name)
        skip = {"self", "params", "optimizer", "lr", "last_epoch", "verbose"}
        arguments = {k: v for k, v in inspect.signature(cls).parameters.items() if k not in skip}
        hints = get_type_hints(cls.__init__)
        options: dict[str, Any] = {}
        for key, item in value.items():
            if key in own:
                continue
            if key not in arguments:
                names = [*arguments, *(key for key in own if key != "name")]
                self.problem(
                    f"{address}.{key}",
                    f"{name} has no argument '{key}'.{did_you_mean(key, names)}\n"
                    f"Arguments: {', '.join(names)}",
                )
                continue
            options[key] = self.value(hints.get(key, Any), item, f"{address}.{key}")
        if missing := [k for k, v in arguments.items() if v.default is v.empty and k not in value]:
            self.problem(address, f"{name} needs {', '.join(f'`{key}`' for key in missing)}")
            return None
        plain = {key: item for key, item in value.items() if key in own}
        found = self.settings(settings, {**plain, "options": options}, address, ready=("options",))
        if found and len(self.problems) == before:
            self.torch_accepts(cls, options, address)
        return found

    def torch_accepts(self, cls: type, options: Mapping[str, Any], address: str) -> None:
        """Build it on one parameter: torch checks ranges when it is built, and only then."""
        parameter = torch.nn.Parameter(torch.zeros(2, 2))
        try:
            if issubclass(cls, torch.optim.Optimizer):
                cast(Any, cls)([parameter], lr=1e-3, **options)
            else:
                cast(Any, cls)(torch.optim.AdamW([parameter]), **options)
        except (ValueError, TypeError, ZeroDivisionError) as error:
            self.problem(address, f"torch refuses this {cls.__name__}: {error}")

    def settings(
        self, cls: type[S], value: Any, address: str, *, ready: Sequence[str] = ()
    ) -> S | None:
        """Fill a settings class from a section; what is in `ready` is checked already."""
        hints = get_type_hints(cls)
        before = len(self.problems)
        values = {
            key: item if key in ready else self.value(hints[key], item, f"{address}.{key}")
            for key, item in self.mapping(address, value).items()
        }
        if len(self.problems) > before:
            return None
        try:
            return cls(**values)
        except ValueError as error:
            self.problem(address, str(error))
            return None

    # ---- values -----------------------------------------------------------------------------

    def value(self, annotation: Any, value: Any, address: str) -> Any:
        try:
            return check_value(annotation, value)
        except ValueError as error:
            self.problem(address, str(error))
            return None

    def path(self, value: Any, address: str) -> Any:
        if not self.expand_paths or not isinstance(value, str):
            return value
        try:
            return expand(value)
        except ValueError as error:
            self.problem(address, str(error))
            return value

    def mapping(self, address: str, value: Any) -> Mapping[str, Any]:
        if value is None or isinstance(value, Mapping):
            return value or {}
        self.problem(address, f"expected a mapping, got {json.dumps(value)}")
        return {}


def _continued(before: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stage with what it does not say from the one before: its length and its like
    excepted.

    An optimizer or schedule that names no other class is adjusted, as blocks are everywhere.
    """
    merged = {key: item for key, item in before.items() if key not in OF_ONE_STAGE}
    for key, item in own.items():
        above = merged.get(key)
        if key in ("optimizer", "schedule") and isinstance(item, Mapping) and above is not None:
            renamed = "name" in item and item["name"] != above.get("name")
            item = dict(item) if renamed else {**above, **item}
        merged[key] = item
    return merged


def _noun(base: type) -> str:
    return "optimizer" if base is torch.optim.Optimizer else "schedule"
