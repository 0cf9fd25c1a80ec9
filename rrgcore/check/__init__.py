"""Recipe → Plan: names, options, types and references, with every problem collected.

Here is the whole, in order; each section that has rules of its own has a module.
"""

from collections.abc import Mapping
from typing import Any, Literal, cast

from rrgcore.check.components import Components
from rrgcore.check.data import data_of
from rrgcore.check.model import part_names, refuse_unknown_parts, refuse_unused_parts, slots_of
from rrgcore.check.objectives import objectives_of, refuse_missing_capabilities
from rrgcore.check.reader import Reader
from rrgcore.check.stages import stages_of
from rrgcore.errors import RecipeError
from rrgcore.plan import Block, Plan
from rrgcore.recipe import Recipe
from rrgcore.registry import Registry
from rrgcore.settings import EvaluationSettings
from rrgcore.types import Generation


def check_recipe(recipe: Recipe, registry: Registry, *, expand_paths: bool = True) -> Plan:
    """Return the plan of a recipe; raises RecipeError with everything that is wrong with it.

    Imports the classes that the recipe names and reads their signatures; builds nothing. Without
    `expand_paths`, an unset `$NAME` in a path is left as it is (to show a recipe without its data).
    """
    reader = Reader(recipe, expand_paths=expand_paths)
    plan = _plan(reader, Components(reader, registry))
    if reader.problems:
        raise RecipeError(recipe.source, list(dict.fromkeys(reader.problems)))
    assert plan is not None, "a plan without problems is complete"
    return plan


def _plan(reader: Reader, components: Components) -> Plan | None:
    """Read every section; no plan where something in them is wrong."""
    values = reader.recipe.values
    model = reader.mapping(values.get("model", {}), "model")
    data = reader.mapping(values.get("data", {}), "data")
    evaluation = reader.mapping(values.get("evaluation", {}), "evaluation")
    components.read_shared(model.get("shared", {}))
    slots = slots_of(components, model)
    objectives, weights = objectives_of(components, values.get("objectives", {}))
    dataset, data_settings, annotators = data_of(components, data)
    metrics, evaluated = _evaluation_of(components, evaluation)
    generation = reader.settings(Generation, values.get("generation", {}), "generation")
    stages = stages_of(reader, values.get("stages", {}), weights)
    seed = reader.value(int, values.get("seed", 0), "seed")
    if isinstance(seed, int) and not 0 <= seed < 2**32:
        reader.problem("seed", f"expected a number from 0 to 4294967295, got {seed}")
    views = reader.value(Literal["concat", "mean"], model.get("views", "concat"), "model.views")
    freeze = reader.value(tuple[str, ...], model.get("freeze", []), "model.freeze") or ()
    parts = part_names(components.shared, objectives)
    refuse_unknown_parts(reader, freeze, parts, "model.freeze")
    for name, stage in stages.items():
        refuse_unknown_parts(reader, stage.freeze, parts, f"stages.{name}.freeze")
        refuse_unknown_parts(reader, stage.optimizer.lr_of, parts, f"stages.{name}.optimizer.lr_of")
    init = reader.mapping(values.get("init", {}), "init")
    starts = {
        part: str(reader.path(reader.value(str, source, f"init.{part}"), f"init.{part}"))
        for part, source in init.items()
    }
    refuse_unknown_parts(reader, init, parts, "init")
    refuse_unused_parts(components, [*filter(None, slots.values()), *objectives.values()])
    encoder, adapter, decoder = slots["encoder"], slots["adapter"], slots["decoder"]
    if reader.problems or not (encoder and adapter and decoder and dataset):
        return None
    assert data_settings is not None, "a section without problems is there"
    assert evaluated is not None, "a section without problems is there"
    assert generation is not None, "a section without problems is there"
    plan = Plan(
        recipe=reader.recipe,
        seed=cast(int, seed),
        data=data_settings,
        dataset=dataset,
        annotators=annotators,
        shared=components.shared,
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
        init=starts,
    )
    refuse_missing_capabilities(components, plan)
    return plan


def _evaluation_of(
    components: Components, evaluation: Mapping[str, Any]
) -> tuple[dict[str, Block], EvaluationSettings | None]:
    reader = components.reader
    metrics: dict[str, Block] = {}
    for name, value in reader.mapping(evaluation.get("metrics", {}), "evaluation.metrics").items():
        address = f"evaluation.metrics.{name}"
        if block := components.block("metric", value, address, default=name):
            metrics[name] = block
    own = {key: value for key, value in evaluation.items() if key != "metrics"}
    return metrics, reader.settings(EvaluationSettings, own, "evaluation")
