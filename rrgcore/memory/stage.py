"""One stage of a recipe, rehearsed: its weights, its optimizer, its steps, its writing."""

import inspect
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Literal, final

import torch
from torch import Tensor
from torch.autograd.graph import _engine_run_backward

from rrgcore.assembled import check_assembled
from rrgcore.ema import EmaTwin
from rrgcore.memory.imagined import imagine_prepared, imagine_studies, imagine_text
from rrgcore.memory.kernels import CudaKernels, OneByOne
from rrgcore.memory.rehearsal import Rehearsal
from rrgcore.model import ReportModel, freeze_for
from rrgcore.optim import make_optimizer
from rrgcore.plan import Plan
from rrgcore.settings import OptimizerSettings
from rrgcore.studies import preparing
from rrgcore.tokenizers import Tokenizers
from rrgcore.types import Batch

Kind = Literal["cuda", "cpu"]
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
FEW = 4
"""Tokens of a report that are rehearsed, then as many more: each further one adds as much."""


@final
@dataclass(frozen=True, slots=True)
class Standing:
    """What is there all the time, and the optimizer's step, in bytes."""

    trained: int
    """Weights that learn."""
    frozen: int
    """Weights that stand still, in as few bits as they are held."""
    twin: int
    """The momentum twin, beside what it shares with the model."""
    buffers: int
    """Queues, and whatever else is neither weight nor learned."""
    gradients: int
    """All of them at once, as before the optimizer's step."""
    optimizer: int
    peak: int
    """Most at once in the optimizer's step."""


@final
@dataclass(frozen=True, slots=True)
class Step:
    """A forward and a backward pass over one batch, in bytes."""

    batch: int
    activations: int
    """What the forward pass keeps for the backward pass, casts of weights included."""
    peak: int
    """Most at once, all that stands there included."""


@final
class Rehearsed:
    """A model without values in one stage of its training, on a `device` that need not be there."""

    def __init__(
        self, plan: Plan, tokenizers: Tokenizers, stage: str, *, views: int, device: Kind
    ) -> None:
        self.plan, self.views, self.device = plan, views, device
        self.stage = plan.stages[stage]
        self.weights = plan.stage_weights(stage)
        self._mode = Rehearsal()
        self.model = check_assembled(plan, tokenizers, views=views)
        freeze_for(
            self.model,
            self.stage,
            {name for name, p in self.model.named_parameters() if p.requires_grad},
        )
        held = Held.of(self.model)
        self._mode.fill(self.model)
        self._mode.live -= held.spared
        self._trained = [p for p in self.model.parameters() if p.requires_grad]
        self.standing = self._optimize(held)

    def step(self, size: int) -> Step:
        """Rehearse a forward and a backward pass over so many studies."""
        mode = self._mode
        self.model.train()
        if self.stage.accumulate > 1:  # those of the batches before are there already
            self._give_gradients()
        with mode.watched(), self._kernels():
            before = mode.live
            batch = self.batch(size)
            of_batch = mode.live - before
            with self._autocast():
                losses = self.model(batch, self.weights)
            activations = mode.live - before - of_batch
            _backward(losses.total)
            del losses
            self.model.after_step(self.weights)
        for parameter in self._trained:
            parameter.grad = None
        return Step(of_batch, activations, mode.peak)

    def writing(self, size: int) -> int:
        """Rehearse the first tokens of reports for so many studies; return the most that all of
        them take at once.
        """
        most = self.plan.generation.max_new_tokens
        few = min(FEW, most)
        peak, here = self._write(size, few)
        if 2 * few <= most:
            _, there = self._write(size, 2 * few)
            peak = max(peak, here + (there - here) * (most - few) // few)
        return peak

    # ---- what it is made of -------------------------------------------------------------------

    def _optimize(self, held: "Held") -> Standing:
        """Let the optimizer take a step, so that its state is there from now on."""
        mode = self._mode
        before = mode.live
        settings = _as_on(self.device, self.stage.optimizer)
        with mode.watched():
            self._give_gradients()
            gradients = mode.live - before
            self._optimizer = make_optimizer(settings, self.model)
            self._optimizer.step()
            self._optimizer.zero_grad(set_to_none=True)
        return Standing(
            trained=held.trained,
            frozen=held.frozen,
            twin=held.twin,
            buffers=before - held.trained - held.frozen - held.twin,
            gradients=gradients,
            optimizer=mode.live - before,
            peak=mode.peak,
        )

    def _write(self, size: int, tokens: int) -> tuple[int, int]:
        """Write so many tokens; return the most at once, and the most while the last was written.

        Keys and values grow with the text, and with them the latter.
        """
        generation, mode = self.plan.generation, self._mode
        shorter = replace(
            generation,
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            no_repeat_ngram=0,
            sample=False,
        )
        self.model.eval()
        watch = OneByOne(mode, tokens=generation.beams)
        with mode.watched(), self._kernels(), watch:
            batch = self.batch(size)
            with self._autocast():
                self.model.generate(batch, shorter)
        return mode.peak, watch.most

    def _give_gradients(self) -> None:
        with self._mode:
            for parameter in self._trained:
                parameter.grad = torch.empty_like(parameter)

    def batch(self, size: int) -> Batch:
        """Make a batch of imagined studies; in a rehearsal its pixels have no values."""
        data, parts = self.plan.data, self.model.parts
        studies = imagine_studies(size, views=self.views, words=data.max_report_tokens)
        report_tokenizer = parts.decoder.tokenizer
        text_tokenizer = getattr(parts.text_encoder, "tokenizer", report_tokenizer)
        report = imagine_text(studies, report_tokenizer, max_tokens=data.max_report_tokens)
        text = report
        if text_tokenizer is not report_tokenizer:
            text = imagine_text(studies, text_tokenizer, max_tokens=data.max_report_tokens)
        return Batch(
            ids=tuple(study.id for study in studies),
            images=torch.empty(size, self.views, 3, data.image_size, data.image_size),
            present=torch.ones(size, self.views, dtype=torch.bool),
            report=report,
            text=text,
            prepared=imagine_prepared(preparing(self.model, list(self.weights)), studies),
        )

    def _kernels(self) -> AbstractContextManager[object]:
        return CudaKernels() if self.device == "cuda" else nullcontext()

    def _autocast(self) -> AbstractContextManager[object]:
        half = HALVES.get(self.stage.precision)
        return nullcontext() if half is None else torch.autocast("cpu", dtype=half)


def _backward(loss: Tensor) -> None:
    """Run the backward pass as `loss.backward()` does, but for hiding it from `CudaKernels`: what
    is computed a second time must be computed in the same way.
    """
    _engine_run_backward(
        (loss,),
        (torch.ones_like(loss),),
        False,  # the graph goes as it is used
        False,
        (),
        allow_unreachable=True,
        accumulate_grad=True,
    )


@final
@dataclass(frozen=True, slots=True)
class Held:
    """The bytes of a model's weights."""

    trained: int
    frozen: int
    twin: int
    spared: int
    """What weights in few bits do not take that they would have at their type."""

    @classmethod
    def of(cls, model: ReportModel) -> "Held":
        """Count the weights of a model on the meta device, a shared one once."""
        twins = {
            id(p)
            for part in model.modules()
            if isinstance(part, EmaTwin)
            for p in part.parameters()
        }
        twins -= {id(p) for p in model.parts.parameters()}
        trained = frozen = twin = spared = 0
        for parameter in model.parameters():
            held = getattr(parameter, "held_bytes", parameter.nbytes)
            spared += parameter.nbytes - held
            if id(parameter) in twins:
                twin += held
            elif parameter.requires_grad:
                trained += held
            else:
                frozen += held
        return cls(trained, frozen, twin, spared)


def _as_on(device: Kind, settings: OptimizerSettings) -> OptimizerSettings:
    """Take the optimizer's way through the parameters that torch takes on a device.

    On CUDA all at once, with intermediate results as large as the model, unless its kernel is
    fused: that one has none, as going one by one has almost none.
    """
    options = dict(settings.options)
    known = inspect.signature(getattr(torch.optim, settings.name)).parameters
    if options.pop("fused", False):
        options["foreach"] = False
    elif device == "cuda" and "foreach" in known:
        options.setdefault("foreach", True)
    return replace(settings, options=options)
