"""The contract of a decoder: its loss is a mean over words, and it means what it writes."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rrgcore.interfaces import AttendsWriting, Decoder, TextEncoder, TextGivenImage
from rrgcore.testing.modules import (
    Gradients,
    alike,
    check_builds_on_meta,
    check_declared_modules,
    check_repeats,
    check_state,
    check_tensor,
)
from rrgcore.testing.subject import Subject
from rrgcore.testing.text_encoders import check_text_encoder
from rrgcore.tokens import Tokenizer
from rrgcore.types import Decoded, Generated, Generation, Tokens, Visual

VISUAL_TOKENS = 6
SHORT = Generation(beams=1, max_new_tokens=6)
SEARCH = Generation(beams=2, max_new_tokens=5, min_new_tokens=2)
SAMPLE = Generation(beams=1, sample=True, max_new_tokens=6)


def check_decoder(s: Subject) -> None:
    """Check loss, count, padding, gradients, and that what it writes agrees with what it reads."""
    check_builds_on_meta(s)
    decoder: Decoder = s.build()
    _check_advertised(s, decoder)
    report, visual = _report(s, decoder), _visual(s, decoder)
    check_declared_modules(s, decoder)
    gradients = Gradients(s, decoder.train())
    uses = []
    if s.can(decoder, Decoder):
        tokens = visual.tokens.clone().requires_grad_()
        with s.trying("forward"):
            decoded = decoder(Visual(tokens, visual.mask), report)
        _check_decoded(s, decoded, report)
        gradients.follow("forward", decoded, inputs=[tokens])
        uses.append("forward")

        def run(decoder: Any) -> Any:
            return decoder(visual, report)

        check_repeats(s, decoder, run, "forward")
        check_state(s, decoder, s.build(seed=1), run, "forward")
        _check_mean(s, decoder, visual, report)
        _check_absent_tokens(s, decoder, visual, report)
        _check_generate(s, decoder, visual)
    if s.can(decoder, AttendsWriting):
        _check_writing_attention(s, decoder, visual, report)
    if isinstance(decoder, TextEncoder):
        uses += check_text_encoder(s, decoder, report, gradients)
    if not s.lacks_some(decoder, Decoder, TextEncoder, TextGivenImage):
        gradients.check_all_reached(" and ".join(uses))


def _check_advertised(s: Subject, decoder: Decoder) -> None:
    s.expect(
        isinstance(getattr(decoder, "dim", None), int),
        "sets no `dim` in its constructor: the width of the visual tokens it reads",
    )
    s.expect(
        isinstance(getattr(decoder, "tokenizer", None), Tokenizer),
        "sets no `tokenizer` in its constructor",
    )


def _report(s: Subject, decoder: Decoder) -> Tokens:
    """Tokenize reports of different length, padded."""
    longest = s.wired("max_report_tokens")
    ids = [decoder.tokenizer.encode(study.report or "", max_tokens=longest) for study in s.studies]
    return _padded(ids, decoder.tokenizer.pad_id)


def _padded(rows: Sequence[Sequence[int]], pad: int) -> Tokens:
    width = max(map(len, rows))
    return Tokens(
        torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows]),
        torch.tensor([[i < len(row) for i in range(width)] for row in rows]),
    )


def _visual(s: Subject, decoder: Decoder) -> Visual:
    """Make visual tokens of which the last row lacks half."""
    rows = len(s.studies)
    mask = torch.ones(rows, VISUAL_TOKENS, dtype=torch.bool)
    mask[-1, VISUAL_TOKENS // 2 :] = False
    return Visual(torch.randn(rows, VISUAL_TOKENS, decoder.dim), mask)


def _check_decoded(s: Subject, decoded: Any, report: Tokens) -> None:
    s.expect(
        isinstance(decoded, Decoded),
        f"forward returns a {type(decoded).__name__}; expected a Decoded",
    )
    check_tensor(s, decoded.loss, (), "the loss")
    check_tensor(s, decoded.count, (), "the count")
    count = int(decoded.count)
    real, rows = int(report.mask.sum()), len(report.mask)
    s.expect(
        real - 2 * rows <= count <= real - rows,
        f"the count is {count} for {rows} reports of {real - 2 * rows} words; expected the number "
        "of tokens that the loss is a mean over: the words, and each report's [SEP]",
    )


def _check_mean(s: Subject, decoder: Decoder, visual: Visual, report: Tokens) -> None:
    """Each row alone and unpadded: the batch's loss must be their mean, weighted by count."""
    total, count = torch.zeros(()), 0
    with torch.no_grad():
        together = decoder(visual, report)
        for row in range(len(report.ids)):
            rows = torch.tensor([row])
            one = report[rows]
            length = int(one.mask.sum())
            alone = decoder(_rows(visual, rows), Tokens(one.ids[:, :length], one.mask[:, :length]))
            total, count = total + alone.loss * alone.count, count + int(alone.count)
    s.expect(
        alike([together.loss], [total / count]) and int(together.count) == count,
        f"the loss of a batch is {float(together.loss):.5g} over {int(together.count)} tokens, but "
        f"its reports alone and unpadded make {float(total / count):.5g} over {count}: the loss is "
        "a mean over real tokens, padding and other studies do not matter",
    )


def _rows(visual: Visual, rows: Tensor) -> Visual:
    mask = None if visual.mask is None else visual.mask[rows]
    return Visual(visual.tokens[rows], mask)


def _check_absent_tokens(s: Subject, decoder: Decoder, visual: Visual, report: Tokens) -> None:
    assert visual.mask is not None, "made with one"
    other = Visual(torch.where(visual.mask[..., None], visual.tokens, 7.0), visual.mask)
    with torch.no_grad():
        one, two = decoder(visual, report), decoder(other, report)
    s.expect(alike(one, two), "forward reads visual tokens that visual.mask says are absent")


def _check_writing_attention(s: Subject, decoder: Any, visual: Visual, report: Tokens) -> None:
    """Check shape and sums, that absent tokens get nothing, and that no step sees what follows."""
    with torch.no_grad(), s.trying("writing_attention"):
        weights = decoder.eval().writing_attention(visual, report)
    rows, steps = len(report.ids), report.ids.shape[1] - 1
    s.expect(
        weights.ndim == 5
        and (weights.shape[0], *weights.shape[3:]) == (rows, steps, VISUAL_TOKENS),
        f"writing_attention returns {tuple(weights.shape)}; expected [b l heads s n], a step for "
        f"each of {steps} tokens after the first, and {VISUAL_TOKENS} visual tokens",
    )
    real = weights.movedim(3, 1)[report.mask[:, 1:]]
    s.expect(
        bool((real >= 0).all()) and bool((real.sum(-1) <= 1 + 1e-4).all()),
        "writing_attention has a negative weight, or a step whose weights sum to more than 1",
    )
    s.expect(bool((real.sum((-1, -2)) > 0).all()), "writing_attention has a step without weight")
    assert visual.mask is not None, "made with one"
    absent = weights.movedim(-1, 1)[~visual.mask]
    s.expect(not bool(absent.any()), "writing_attention looks at what visual.mask says is absent")
    other = Tokens(report.ids.clone(), report.mask)
    other.ids[:, -2:] = report.ids[:, 1:2]
    with torch.no_grad():
        changed = decoder.writing_attention(visual, other)
    s.expect(
        alike(weights[:, :, :, :-2], changed[:, :, :, :-2]),
        "writing_attention of a step depends on tokens that are written later",
    )


def _check_generate(s: Subject, decoder: Decoder, visual: Visual) -> None:
    decoder.eval()
    for generation in (SHORT, SEARCH, SAMPLE):
        with s.trying(f"generate with {generation}"):
            first, second = (decoder.generate(visual, generation) for _ in range(2))
            alone = decoder.generate(_rows(visual, torch.tensor([0])), generation)
        s.expect(
            isinstance(first, list) and all(isinstance(text, Generated) for text in first),
            "generate returns no list of Generated",
        )
        s.expect(
            len(first) == len(visual.tokens),
            f"generate returns {len(first)} texts for {len(visual.tokens)} rows; expected as many",
        )
        s.expect(
            [text.ids for text in first] == [text.ids for text in second],
            "generate writes something else the second time, in eval: search, or sample from a "
            "generator of your own, seeded with `generation.seed`",
        )
        s.expect(
            generation.sample or alone[0].ids == first[0].ids,
            "generate writes something else beside other rows",
        )
        for text in first:
            _check_generated(s, decoder, text, generation)
    s.expect(not decoder.training, "generate leaves the decoder in training mode")
    _check_agreement(s, decoder, visual)


def _check_generated(s: Subject, decoder: Decoder, text: Generated, generation: Generation) -> None:
    s.expect(
        len(text.ids) == len(text.logprobs),
        f"a text has {len(text.ids)} ids and {len(text.logprobs)} logprobs; expected one each",
    )
    s.expect(
        len(text.ids) <= generation.max_new_tokens,
        f"a text has {len(text.ids)} tokens; max_new_tokens is {generation.max_new_tokens}",
    )
    s.expect(
        text.text == decoder.tokenizer.decode(text.ids),
        f"a text says {text.text!r}, but its ids decode to {decoder.tokenizer.decode(text.ids)!r}",
    )
    s.expect(
        all(value <= 1e-6 for value in text.logprobs), "logprobs holds a log-probability above 0"
    )


def _check_agreement(s: Subject, decoder: Decoder, visual: Visual) -> None:
    """What was written cannot have seen the future: forward must give it the same probability."""
    for row, text in enumerate(decoder.generate(visual, SHORT)):
        ids = [decoder.tokenizer.cls_id, *text.ids]
        with torch.no_grad():
            decoded = decoder(
                _rows(visual, torch.tensor([row])), _padded([ids], decoder.tokenizer.pad_id)
            )
        read = -float(decoded.loss * decoded.count)
        written = sum(text.logprobs)
        # a decoder that does not count [SEP] leaves nothing to compare
        s.expect(
            int(decoded.count) != len(text.ids) or abs(read - written) < 1e-2 + 1e-3 * abs(written),
            f"generate gives a text of {len(text.ids)} tokens the log-probability {written:.4f}, "
            f"forward gives it {read:.4f}. Does forward see the words that it is to name (no "
            "causal mask), or does a cache go wrong? Logprobs are the model's own, over all words",
        )
