"""Plan → ReportModel: order of construction, wiring, references, weights."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast, final

from torch import nn

from rrgcore.errors import RecipeError, UserError, WeightsError
from rrgcore.features import Parts
from rrgcore.gathering import slug_of
from rrgcore.given import kept_place
from rrgcore.interfaces import (
    Adapter,
    AlignmentObjective,
    Decoder,
    EmbedsTokens,
    OffersAlignment,
    Part,
    TextEncoder,
    VisualEncoder,
)
from rrgcore.model import ReportModel, part_of
from rrgcore.plan import Block, Plan, Ref, problem_at
from rrgcore.pretrained import left_out, set_pretrained, start_from
from rrgcore.provenance import LEARNED
from rrgcore.recipe import Recipe
from rrgcore.scoring import Metric
from rrgcore.settings import DataSettings
from rrgcore.signatures import options_of
from rrgcore.supply import Annotator, Dataset, ReadsGiven
from rrgcore.tokenizers import Tokenizers
from rrgcore.tokens import Tokenizer, load_tokenizer

TOO_LARGE = ("Storage size calculation overflowed", "Overflow when", "multiplication overflow")
"""What torch says of sizes beyond its own integers."""


def build_model(
    plan: Plan,
    tokenizers: Tokenizers,
    *,
    load_weights: bool = True,
    starts: Mapping[str, Path] | None = None,
    built: list[tuple[str, object]] | None = None,
    kept: Path | None = None,
    read_given: bool = False,
) -> ReportModel:
    """Build the model of a plan: vocabulary, encoder, decoder, text encoder, adapter, objectives,
    bind.

    `starts` are checkpoints that single parts start from (`init`). First values are set, and frozen
    parts frozen, before objectives bind, so that a momentum twin begins as what it follows and
    shares what stands still. What a constructor raises passes through. Every component that is
    made is added to `built`, with its address. What components were given is read at once if
    `read_given`, but for what a run has `kept`.
    """
    builder = _Builder(plan.recipe, plan.data, plan.shared, tokenizers, kept, read_given)
    parts, objectives = builder.parts(plan), builder.objectives(plan)
    if built is not None:
        built += builder.built
    loaded = set_pretrained(plan, parts, objectives) if load_weights else []
    starts = starts or {}
    # an objective waits for what it makes when it binds, its twin
    later = {part: folder for part, folder in starts.items() if part.startswith("objectives.")}
    start_from({k: v for k, v in starts.items() if k not in later}, parts, objectives)
    for name in plan.freeze:
        part_of(parts, objectives, name).requires_grad_(False)
    model = ReportModel(parts=parts, objectives=objectives)
    # also where a run that goes on no longer reads them: its checkpoints must go on holding them
    started = [part_of(parts, objectives, part) for part in plan.init]
    model.left_out = left_out(model, loaded, started=started)
    start_from(later, parts, objectives)
    return model


def make_dataset(plan: Plan) -> Dataset:
    """Build the dataset of a plan; raises RecipeError for what its constructor refuses."""
    return cast(Dataset, _beside(plan, plan.dataset))


def make_metrics(plan: Plan) -> dict[str, Metric]:
    """Build the metrics of a plan."""
    return {name: cast(Metric, _beside(plan, block)) for name, block in plan.metrics.items()}


def make_annotators(
    plan: Plan,
    *,
    built: list[tuple[str, object]] | None = None,
    kept: Path | None = None,
    read_given: bool = False,
) -> dict[type, Annotator]:
    """Build the annotators of a plan, unfitted; for `built`, `kept` and `read_given` see
    `build_model`.
    """
    builder = _Builder(plan.recipe, plan.data, plan.shared, _by_name, kept, read_given)
    made = {kind: cast(Annotator, builder.build(block)) for kind, block in plan.annotators.items()}
    if built is not None:
        built += builder.built
    return made


def _beside(plan: Plan, block: Block) -> object:
    return build_alone(block, plan.recipe, plan.data, shared=plan.shared)


def build_alone(
    block: Block,
    recipe: Recipe,
    data: DataSettings,
    *,
    shared: Mapping[str, Block] | None = None,
) -> object:
    """Build a component that has no model around it, and have it read what it was given; what it
    wires comes from the data's settings.

    Raises RecipeError for what it refuses.
    """
    return _Builder(recipe, data, shared or {}, _by_name, None, True).build(block)


def _by_name(name: str, *, size: int | None = None) -> Tokenizer:
    return load_tokenizer(name)


@final
class _Builder:
    def __init__(
        self,
        recipe: Recipe,
        data: DataSettings,
        blocks: Mapping[str, Block],
        tokenizers: Callable[..., Tokenizer],
        kept: Path | None,
        read_given: bool,
    ) -> None:
        self.recipe = recipe
        self.data = data
        self.blocks = blocks
        self.tokenizers = tokenizers
        self.kept = kept
        self.read_given = read_given
        self.shared: dict[str, nn.Module] = {}
        self.encoder: VisualEncoder | None = None
        self.decoder: Decoder | None = None
        self.text_encoder: TextEncoder | None = None
        self.adapter: Adapter | None = None
        self.built: list[tuple[str, object]] = []

    def parts(self, plan: Plan) -> Parts:
        self.encoder = cast(VisualEncoder, self.build(plan.encoder))
        self.decoder = cast(Decoder, self.build(plan.decoder))
        separate = plan.text_encoder and cast(TextEncoder, self.build(plan.text_encoder))
        self.text_encoder = separate or cast(TextEncoder, self.decoder)
        self.adapter = cast(Adapter, self.build(plan.adapter))
        for key in plan.shared:  # those that only objectives refer to, now that widths are known
            self.part(key)
        return Parts(
            encoder=self.encoder,
            adapter=self.adapter,
            decoder=self.decoder,
            text_encoder=separate,
            shared=cast(dict[str, Part], self.shared),
            views=plan.views,
        )

    def objectives(self, plan: Plan) -> dict[str, AlignmentObjective]:
        return {
            name: cast(AlignmentObjective, self.build(block))
            for name, block in plan.objectives.items()
        }

    def part(self, key: str) -> nn.Module:
        if key not in self.shared:
            self.shared[key] = cast(nn.Module, self.build(self.blocks[key]))
        return self.shared[key]

    def build(self, block: Block) -> object:
        arguments: dict[str, Any] = {}
        for name, option in options_of(block.cls).items():
            if name in block.options:
                value = block.options[name]
                if isinstance(value, Block):
                    value = self.build(value)
                elif isinstance(value, Ref):
                    value = self.part(value.key)
                elif option.is_tokenizer and isinstance(value, str):
                    value = self.tokenizer(value, block)
                arguments[name] = value
            elif option.wired:
                value = self.wire(name, block)
                if value is not None:
                    arguments[name] = value
                elif option.required:
                    raise self.refusal(
                        block.address,
                        f"'{block.name}' needs `{name}`, which nothing in this model fills in; "
                        "set it in the recipe",
                    )
        try:
            component = block.cls(**arguments)
            if isinstance(component, ReadsGiven):
                self.give(component, block.address)
        except (ValueError, UserError) as error:
            if isinstance(error, RecipeError):
                raise
            # the constructor's own refusal, with the address that only we know; the cause is kept
            raise self.refusal(block.address, str(error)) from error
        except (RuntimeError, TypeError) as error:
            if not any(words in str(error) for words in TOO_LARGE):
                raise
            text = f"the sizes of '{block.name}' make tensors larger than any machine has"
            raise self.refusal(block.address, text) from error
        self.built.append((block.address, component))
        return component

    def give(self, component: ReadsGiven, address: str) -> None:
        folder = self.kept and kept_place(self.kept, address)
        if folder is not None and folder.is_dir():
            component.load_given(folder)
        elif self.read_given and not self.has_learned(component, address):
            component.read_given()

    def has_learned(self, component: ReadsGiven, address: str) -> bool:
        """Whether the run that kept things will load what an annotator learned, or was given."""
        if self.kept is None or not isinstance(component, Annotator):
            return False
        slug = slug_of(component.writes)
        is_own = address == f"data.annotations.{slug}"
        return is_own and (self.kept.parent / slug / LEARNED).is_file()

    def refusal(self, address: str, text: str) -> RecipeError:
        return RecipeError(self.recipe.source, [problem_at(self.recipe, address, text)])

    def tokenizer(self, name: str, block: Block) -> Tokenizer:
        try:
            return self.tokenizers(name, size=block.options.get("vocabulary"))
        except WeightsError as error:
            raise self.refusal(f"{block.address}.tokenizer", str(error)) from error

    def wire(self, name: str, block: Block) -> Any:
        """Look up a wired argument; None where the model has nothing to fill it with (yet)."""
        encoder, text = self.encoder, self.text_encoder
        match name:
            case "image_size" | "max_report_tokens":
                return getattr(self.data, name)
            case "image_dim":
                return encoder and encoder.dim
            case "grid":
                return encoder and encoder.grid
            case "visual_dim":
                return self.decoder and self.decoder.dim
            case "text_dim":
                return text.text_dim if isinstance(text, TextEncoder) else None
            case "tokenizer":
                if block.kind == "adapter":
                    return self.decoder and self.decoder.tokenizer
                return text.tokenizer if isinstance(text, TextEncoder) else None
            case "token_dim":
                return self.decoder.token_dim if isinstance(self.decoder, EmbedsTokens) else None
            case "alignment_dim":
                adapter = self.adapter
                return adapter.alignment_dim if isinstance(adapter, OffersAlignment) else None
        raise AssertionError(f"'{name}' is in the wiring table but nothing fills it")
