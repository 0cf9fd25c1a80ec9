"""The section `data`: a dataset, how its studies become batches, and who annotates them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast

from rrgcore.annotations import Annotation
from rrgcore.check.components import Components
from rrgcore.errors import RegistryError, did_you_mean
from rrgcore.plan import Block
from rrgcore.settings import AugmentSettings, DataSettings
from rrgcore.signatures import options_of


def data_of(
    components: Components, data: Mapping[str, Any]
) -> tuple[Block | None, DataSettings | None, dict[type, Block]]:
    """Read the dataset, core's own settings beside its options, and the annotators."""
    reader = components.reader
    annotators = _annotators_of(components, data.get("annotations", {}))
    own = [f.name for f in fields(DataSettings)]
    options = {k: v for k, v in data.items() if k not in own and k != "annotations"}
    if not isinstance(data.get("name"), str):
        known = ", ".join(components.registry.names("dataset"))
        reader.problem("data", f"needs a `name`: which dataset?\nKnown: {known}")
        return None, None, annotators
    try:
        cls = components.registry.get("dataset", data["name"])
        unknown = [k for k in options if k not in options_of(cls) and k != "name"]
        for key in unknown:
            names = list(dict.fromkeys([*own, *options_of(cls), "annotations"]))
            reader.problem(
                f"data.{key}",
                f"neither `data` nor dataset '{data['name']}' has an option '{key}'."
                f"{did_you_mean(key, names)}\nOptions: {', '.join(names)}",
            )
            options.pop(key)
    except RegistryError:
        options = {"name": data["name"]}  # reported once, below
    dataset = components.block("dataset", options, "data")
    augment = reader.settings(AugmentSettings, data.get("augment", {}), "data.augment")
    if augment is None:
        return dataset, None, annotators
    values = {**{k: v for k, v in data.items() if k in own}, "augment": augment}
    settings = reader.settings(DataSettings, values, "data", ready=("augment",))
    return dataset, settings, annotators


def _annotators_of(components: Components, value: Any) -> dict[type, Block]:
    """Read the annotators, each under the slug of what it writes."""
    found: dict[type, Block] = {}
    for slug, item in components.reader.mapping(value, "data.annotations").items():
        address = f"data.annotations.{slug}"
        block = components.block("annotator", item, address)
        if block is None:
            continue
        writes = cast(type[Annotation], cast(Any, block.cls).writes)
        if writes.slug != slug:
            components.reader.problem(
                address,
                f"annotator '{block.name}' writes {writes.slug}, which have their place under "
                f"data.annotations.{writes.slug}",
            )
        found[writes] = block
    return found
