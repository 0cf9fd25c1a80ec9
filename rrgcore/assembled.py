"""The model of a plan, assembled without values: what only instances can tell of a recipe."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from rrgcore.build import build_model
from rrgcore.checkpoint import not_saved
from rrgcore.errors import Problem, RecipeError, UserError
from rrgcore.features import Parts
from rrgcore.interfaces import (
    Decoder,
    ImageGivenText,
    Lacks,
    Prepares,
    TextGivenImage,
    check_capability,
)
from rrgcore.model import ReportModel
from rrgcore.plan import Plan
from rrgcore.tokenizers import Tokenizers
from rrgcore.types import Encoded, Tokens, Visual


def check_assembled(
    plan: Plan,
    tokenizers: Tokenizers,
    built: list[tuple[str, object]] | None = None,
    *,
    views: int = 1,
    kept: Path | None = None,
) -> ReportModel:
    """Build on the meta device, where nothing is allocated, and ask the instances for capabilities.

    Returns the model without values; raises RecipeError for what only instances can tell: widths
    that do not fit, a capability that an option switched off, a value that a constructor refuses,
    more visual tokens than the decoder has room for where a study has `views` images. Every
    component is added to `built`.
    """
    with torch.device("meta"):
        model = build_model(
            plan, tokenizers, load_weights=False, built=built, kept=kept, read_given=True
        )
    problems = [
        *_longer_than_positions(plan, model.parts),
        *_lacking(plan, model.parts),
        *_not_saved(plan, model),
    ]
    for name, stage in plan.stages.items():
        frozen = {id(p) for part in stage.freeze for p in model.part(part).parameters()}
        if not any(p.requires_grad and id(p) not in frozen for p in model.parameters()):
            text = "nothing is left to train: every part of the model is frozen"
            problems.append(plan.problem(f"stages.{name}.freeze", text))
    if not problems:  # what a part lacks, it does not fit either: once is enough
        problems += _misfits(plan, model.parts, views)
    if problems:
        raise RecipeError(plan.recipe.source, problems)
    return model


def _longer_than_positions(plan: Plan, parts: Parts) -> Iterator[Problem]:
    """Find texts that the decoder, or the text encoder, has no positions for."""
    wanted = {
        "data.max_report_tokens": plan.data.max_report_tokens,
        "generation.max_new_tokens": plan.generation.max_new_tokens,
    }
    readers: dict[str, Any] = {"decoder": parts.decoder}
    if not parts.decoder_encodes_text:
        readers["text_encoder"] = parts.text_encoder
    for slot, reader in readers.items():
        limit = reader.max_tokens if isinstance(reader, Decoder) else None
        for address, tokens in wanted.items():
            only_reads = slot == "text_encoder" and address.startswith("generation")
            if limit is not None and tokens > limit and not only_reads:
                yield plan.problem(
                    address,
                    f"{tokens} tokens, and the {slot} has positions for {limit}: lower it, or "
                    f"raise model.{slot}.max_tokens",
                )


def _lacking(plan: Plan, parts: Parts) -> Iterator[Problem]:
    """Find what components require of their neighbours, and options took away."""
    try:
        check_capability(parts.decoder, Decoder)
    except Lacks as reason:
        yield plan.problem("model.decoder", f"is the Decoder of the reports, but it {reason}")
    for block in plan.blocks():
        for slot, capability in block.requires.items():
            try:
                check_capability(getattr(parts, slot), capability)
            except Lacks as reason:
                text = f"needs the {slot} to be {capability.__name__}, but it {reason}"
                yield plan.problem(block.address, text)


def _not_saved(plan: Plan, model: ReportModel) -> Iterator[Problem]:
    """Find state that a checkpoint would lose."""
    for name in not_saved(model):
        section, _, rest = name.partition(".")
        yield plan.problem(
            f"model.{rest}" if section == "parts" else name,
            "defines get_extra_state, and a checkpoint holds tensors only: make it a buffer "
            "(register_buffer)",
        )


@torch.no_grad()
def _misfits(plan: Plan, parts: Parts, views: int) -> Iterator[Problem]:
    """Send tensors without values from each part to those that read it, and hear what is refused.

    Not through whole objectives: those work on what `prepare` makes of real studies and choose
    rows by masks, and a tensor on the meta device has no values to choose by.
    """
    encoder, decoder, size = parts.encoder, parts.decoder, plan.data.image_size
    patches = encoder.grid[0] * encoder.grid[1]
    with torch.device("meta"):
        images = torch.empty(2, 3, size, size)
        # as the grid promises; the encoder itself may add a [CLS]
        encoded = [Encoded(torch.empty(2, patches, encoder.dim), torch.empty(2, encoder.dim))]
        mask = torch.ones(2, patches, dtype=torch.bool)
        tokens, report = _texts(4), _texts(plan.data.max_report_tokens)
        # what an adapter makes of studies too is not known: one token at least
        visual = Visual(torch.empty(2, 1, decoder.dim))
    blind = list(_refused(plan, "model.encoder", lambda: encoded.append(encoder(images))))
    yield from blind
    side_by_side = views if plan.views == "concat" else 1
    image = Encoded(encoded[-1].tokens.repeat(1, side_by_side, 1), encoded[-1].pooled)
    if not isinstance(parts.adapter, Prepares):
        adapted: list[Visual] = []
        yield from _refused(
            plan,
            "model.adapter",
            lambda: adapted.append(_checked(parts.adapter(image), decoder)),
        )
        visual = adapted[0] if adapted else visual
    needed = visual.tokens.shape[1] + report.ids.shape[1]
    # elsewhere there is room, be the images read as tokens and a prompt as long as all of it
    if decoder.max_tokens is not None and decoder.max_tokens < 2 * needed:
        yield from _refused(plan, "model.decoder", partial(decoder, visual, report))
    asked = {capability for block in plan.blocks() for capability in block.requires.values()}
    text_encoder = parts.text_encoder
    if ImageGivenText in asked and not blind:
        with torch.device("meta"):
            pooled = torch.empty(2, text_encoder.text_dim)
            text = Encoded(torch.empty(2, 4, text_encoder.text_dim), pooled, tokens.mask)
        reads = cast(ImageGivenText, encoder).encode_given_text
        yield from _refused(plan, "model.encoder", partial(reads, images, mask, text), "a report")
    if TextGivenImage in asked:
        slot = "decoder" if parts.decoder_encodes_text else "text_encoder"
        looks = cast(TextGivenImage, text_encoder).encode_text_given
        yield from _refused(plan, f"model.{slot}", partial(looks, tokens, image), "an image")


def _refused(
    plan: Plan, address: str, use: Callable[[], object], given: str = ""
) -> Iterator[Problem]:
    """Find what a use of a component refuses as the user's mistake."""
    try:
        use()
    except UserError as error:
        text = f"cannot read {given} of this model: {error}" if given else str(error)
        yield plan.problem(address, text)
    except Exception:
        # it may be for want of values, which these tensors do not have: the first step will tell
        return


def _texts(length: int) -> Tokens:
    return Tokens(torch.zeros(2, length, dtype=torch.long), torch.ones(2, length, dtype=torch.bool))


def _checked(visual: Visual, decoder: Decoder) -> Visual:
    """Return what an adapter gives; raises UserError unless it is as wide as the decoder reads."""
    if (width := visual.tokens.shape[-1]) != decoder.dim:
        raise UserError(
            f"gives tokens that are {width} wide, and the decoder reads {decoder.dim}: an adapter "
            "takes its width from the argument `visual_dim`"
        )
    return visual
