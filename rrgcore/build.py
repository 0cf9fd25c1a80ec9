"""Plan → ReportModel: order of construction, wiring, references, weights."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast, final

import torch
from torch import nn

from rrgcore.errors import Problem, RecipeError, UserError, WeightsError
from rrgcore.features import Parts
from rrgcore.interfaces import (
    Adapter,
    AlignmentObjective,
    Annotator,
    Dataset,
    Decoder,
    EmbedsTokens,
    Lacks,
    Metric,
    OffersAlignment,
    Part,
    Pretrained,
    TextEncoder,
    TextMasking,
    VisualEncoder,
    check_capability,
)
from rrgcore.model import ReportModel, part_of
from rrgcore.plan import Block, Plan, Ref
from rrgcore.signatures import options_of
from rrgcore.tokens import AbsentTokenizer, Tokenizer, WordTokenizer, load_tokenizer

WORDS = "words"
"""The tokenizer whose vocabulary is the training reports'."""


class BuildError(Exception):
    """A component that cannot be built, and its address; becomes a Problem."""

    def __init__(self, address: str, text: str) -> None:
        self.address = address
        super().__init__(text)


@final
@dataclass
class Tokenizers:
    """Tokenizers by the name a recipe gives them, each loaded once."""

    plan: Plan
    texts: Callable[[], Iterable[str]] | None
    """The training reports; None where they are not at hand (then `words` is absent too)."""
    saved: Mapping[str, str] = field(default_factory=dict)
    """A folder for a name, where a run has saved the tokenizer."""
    loaded: dict[str, Tokenizer] = field(default_factory=dict)
    absent_allowed: bool = False
    """Whether a tokenizer that is not at hand may be stood in for by its size."""

    def __call__(self, name: str, *, size: int | None = None) -> Tokenizer:
        """Return the tokenizer of a name; raises WeightsError when it is absent."""
        if name not in self.loaded:
            self.loaded[name] = self._load(name, size)
        return self.loaded[name]

    @property
    def absent(self) -> tuple[str, ...]:
        """The names of those that are not at hand."""
        return tuple(k for k, v in self.loaded.items() if isinstance(v, AbsentTokenizer))

    def _load(self, name: str, size: int | None) -> Tokenizer:
        special = self._special
        if name in self.saved:
            return load_tokenizer(self.saved[name], special=special)
        if name == WORDS:
            if self.texts is not None:
                return WordTokenizer.of_texts(
                    self.texts(),
                    min_count=self.plan.data.min_word_count,
                    extra=self._extra,
                    special=special,
                )
            return AbsentTokenizer(name=name, size=size or 1000)
        try:
            return load_tokenizer(name, special=special)
        except WeightsError:
            if self.absent_allowed and size is not None:
                return AbsentTokenizer(name=name, size=size)
            raise

    @cached_property
    def _special(self) -> tuple[str, ...]:
        blocks = self.plan.blocks()
        return tuple(
            dict.fromkeys(t for block in blocks for t in getattr(block.cls, "special_tokens", ()))
        )

    @cached_property
    def _extra(self) -> tuple[str, ...]:
        maskings = (b for b in self.plan.blocks() if issubclass(b.cls, TextMasking))
        return tuple(word for block in maskings for word in cast(Any, block.cls).words)


def build_model(plan: Plan, tokenizers: Tokenizers, *, load_weights: bool = True) -> ReportModel:
    """Build the model of a plan: vocabulary, encoder, decoder, text encoder, adapter, objectives,
    bind.

    Frozen parts are frozen before objectives bind, so that a momentum twin shares them. What a
    constructor raises passes through.
    """
    builder = _Builder(plan, tokenizers)
    with _refused(plan):
        parts, objectives = builder.parts(), builder.objectives()
    if load_weights:
        _set_pretrained(plan, parts, objectives)
    for name in plan.freeze:
        part_of(parts, objectives, name).requires_grad_(False)
    return ReportModel(parts=parts, objectives=objectives)


def check_weights(plan: Plan, assembled: ReportModel) -> None:
    """Find and read every weight that a run would start from, and fit it to the model of
    `check_assembled`, which stays empty; raises RecipeError.
    """
    objectives = cast(Mapping[str, AlignmentObjective], dict(assembled.objectives.items()))
    _set_pretrained(plan, assembled.parts, objectives)


def _set_pretrained(plan: Plan, parts: Parts, objectives: Mapping[str, AlignmentObjective]) -> None:
    with _refused(plan):
        set_pretrained({"model": parts, **{f"objectives.{k}": o for k, o in objectives.items()}})


@contextmanager
def _refused(plan: Plan) -> Iterator[None]:
    """Turn what a constructor refuses into a problem of the recipe, with its line."""
    try:
        yield
    except BuildError as error:
        raise plan.refusal(error.address, str(error)) from error


def make_dataset(plan: Plan) -> Dataset:
    """Build the dataset of a plan; raises DataError where its files are not as they should be."""
    with _refused(plan):
        return cast(Dataset, _Builder(plan, Tokenizers(plan, None)).build(plan.dataset))


def make_metrics(plan: Plan) -> dict[str, Metric]:
    """Build the metrics of a plan."""
    builder = _Builder(plan, Tokenizers(plan, None))
    with _refused(plan):
        return {name: cast(Metric, builder.build(block)) for name, block in plan.metrics.items()}


def make_annotators(plan: Plan) -> dict[type, Annotator]:
    """Build the annotators of a plan, unfitted."""
    builder = _Builder(plan, Tokenizers(plan, None))
    with _refused(plan):
        return {
            kind: cast(Annotator, builder.build(block)) for kind, block in plan.annotators.items()
        }


def check_assembled(plan: Plan, tokenizers: Tokenizers) -> ReportModel:
    """Build on the meta device, where nothing is allocated, and ask the instances for capabilities.

    Returns the model without values; raises RecipeError for what only instances can tell: widths
    that do not fit, a capability that an option switched off, a value that a constructor refuses.
    """
    with torch.device("meta"):
        model = build_model(plan, tokenizers, load_weights=False)
    problems = list(_longer_than_positions(plan, model.parts))
    for name, objective in model.objectives.items():
        for slot, capability in cast(AlignmentObjective, objective).requires.items():
            try:
                check_capability(getattr(model.parts, slot), capability)
            except Lacks as reason:
                text = f"needs the {slot} to be {capability.__name__}, but it {reason}"
                problems.append(plan.problem(f"objectives.{name}", text))
    for name, stage in plan.stages.items():
        frozen = {id(p) for part in stage.freeze for p in model.part(part).parameters()}
        if not any(p.requires_grad and id(p) not in frozen for p in model.parameters()):
            text = "nothing is left to train: every part of the model is frozen"
            problems.append(plan.problem(f"stages.{name}.freeze", text))
    if problems:
        raise RecipeError(plan.recipe.source, problems)
    return model


def _longer_than_positions(plan: Plan, parts: Parts) -> Iterator[Problem]:
    """Find texts that the decoder, or the text encoder, has no positions for."""
    wanted = {
        "data.max_report_tokens": plan.data.max_report_tokens,
        "generation.max_new_tokens": plan.generation.max_new_tokens,
    }
    readers = {"decoder": parts.decoder, "text_encoder": parts.separate_text_encoder}
    for slot, reader in readers.items():
        limit = getattr(reader, "max_tokens", None)
        if not isinstance(limit, int):
            continue
        for address, tokens in wanted.items():
            if tokens > limit and not (slot == "text_encoder" and address.startswith("gen")):
                yield plan.problem(
                    address,
                    f"{tokens} tokens, and the {slot} has positions for {limit}: lower it, or "
                    f"raise model.{slot}.max_tokens",
                )


def set_pretrained(roots: Mapping[str, nn.Module]) -> None:
    """Load the weights that components below these addresses name.

    Raises BuildError for weights that are absent or do not fit, or that two components would set.
    """
    owner: dict[int, str] = {}
    for root, tree in roots.items():
        for prefix, module in tree.named_modules():
            if not isinstance(module, Pretrained) or module.weights is None:
                continue
            address = f"{root}.{prefix}".removesuffix(".").replace("separate_text", "text")
            try:
                names = module.load_weights()
            except WeightsError as error:
                raise BuildError(f"{address}.weights", str(error)) from error
            parameters = dict(cast(nn.Module, module).named_parameters())
            for name in names:
                other = owner.setdefault(id(parameters[name]), module.weights)
                if other != module.weights:
                    raise BuildError(
                        f"{address}.weights",
                        f"'{other}' and '{module.weights}' would both set {name}, which two parts "
                        "share. Name weights for one of them only (`weights: off` for the other)",
                    )


@final
class _Builder:
    def __init__(self, plan: Plan, tokenizers: Tokenizers) -> None:
        self.plan = plan
        self.tokenizers = tokenizers
        self.shared: dict[str, nn.Module] = {}
        self.encoder: VisualEncoder | None = None
        self.decoder: Decoder | None = None
        self.text_encoder: TextEncoder | None = None
        self.adapter: Adapter | None = None

    def parts(self) -> Parts:
        plan = self.plan
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

    def objectives(self) -> dict[str, AlignmentObjective]:
        return {
            name: cast(AlignmentObjective, self.build(block))
            for name, block in self.plan.objectives.items()
        }

    def part(self, key: str) -> nn.Module:
        if key not in self.shared:
            self.shared[key] = cast(nn.Module, self.build(self.plan.shared[key]))
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
                    raise BuildError(
                        block.address,
                        f"'{block.name}' needs `{name}`, which nothing in this model fills in; "
                        "set it in the recipe",
                    )
        try:
            return block.cls(**arguments)
        except (ValueError, UserError) as error:
            if isinstance(error, RecipeError):
                raise
            # the constructor's own refusal, with the address that only we know; the cause is kept
            raise BuildError(block.address, str(error)) from error

    def tokenizer(self, name: str, block: Block) -> Tokenizer:
        try:
            return self.tokenizers(name, size=block.options.get("vocabulary"))
        except WeightsError as error:
            raise BuildError(f"{block.address}.tokenizer", str(error)) from error

    def wire(self, name: str, block: Block) -> Any:
        """Look up a wired argument; None where the model has nothing to fill it with (yet)."""
        data, encoder, text = self.plan.data, self.encoder, self.text_encoder
        match name:
            case "image_size" | "max_report_tokens":
                return getattr(data, name)
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
