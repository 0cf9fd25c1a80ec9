"""Images and reports in the joint space of another run's model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, final

import numpy as np
import torch
from jaxtyping import Float, UInt8

from rrgcore import load_run
from rrgcore.errors import RunError, did_you_mean
from rrgcore.images import resize
from rrgcore.images.pixels import normalise
from rrgcore.interfaces import Embeds, Matches
from rrgcore.run import Run
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Track
from rrgcore.types import Encoded, Tokens, pad_sequences

BATCH = 64


@final
@dataclass(frozen=True, slots=True)
class Asked:
    """A run, and what of it is used."""

    run: Run
    objective: str
    """What embeds."""
    matching: str | None
    stage: str
    """The last that trained `objective`: a later one may have moved what it reads."""

    @classmethod
    def of(cls, path: Path, objective: str | None, matching: str | None) -> "Asked":
        """Look the names up in a run's recipe; raises RunError where it has no such objective."""
        run = load_run(path)
        name = _named(run, objective, Embeds, "objective")
        if matching is not None:
            matching = _named(run, matching, Matches, "matching")
        return cls(run, name, matching, _last_stage(run, name))

    @property
    def checkpoint(self) -> str:
        """The best of that stage."""
        return f"{self.stage}/best"


@final
class RunEmbedding:
    """The encoders of a run, and its objective that embeds."""

    def __init__(self, asked: Asked, device: str) -> None:
        with torch.random.fork_rng(devices=[]):  # first values are drawn, and overwritten at once
            model = asked.run.model(asked.checkpoint).to(device)
        self._model = model
        self._embeds = cast(Embeds, model.objectives[asked.objective])
        matching = asked.matching
        self._matches = None if matching is None else cast(Matches, model.objectives[matching])
        self._data = asked.run.plan.data
        self._device = device

    @torch.no_grad()
    def embed_reports(self, texts: Sequence[str], track: Track) -> Float[np.ndarray, "u d"]:
        """Embed reports as they are in training."""
        found = []
        starts = range(0, len(texts), BATCH)
        for start in track(starts, "embedding training reports", len(starts)):
            tokens = self._tokens(texts[start : start + BATCH])
            text = self._model.parts.text_encoder.encode_text(tokens)
            found.append(self._embeds.embed_text(text).float().cpu())
        vectors: Float[np.ndarray, "u d"] = torch.cat(found).numpy()
        return vectors

    @torch.no_grad()
    def encode(self, study: Study, open: Callable[[ImageRef], UInt8[np.ndarray, "h w"]]) -> Encoded:
        """Encode a study's images, views fused as that run fuses them."""
        encoder = self._model.parts.encoder
        size = self._data.image_size
        grey = np.stack([resize(open(image), size) for image in study.images])
        pixels = normalise(torch.from_numpy(grey), encoder.mean, encoder.std)[None].to(self._device)
        present = torch.ones(pixels.shape[:2], dtype=torch.bool, device=self._device)
        return self._model.parts.encode_images(pixels, present)

    @torch.no_grad()
    def embed_image(self, image: Encoded) -> Float[np.ndarray, " d"]:
        """Return where one study's images lie."""
        vector: Float[np.ndarray, " d"] = self._embeds.embed_image(image)[0].float().cpu().numpy()
        return vector

    @torch.no_grad()
    def match(self, image: Encoded, texts: Sequence[str]) -> list[float]:
        """Return the log-odds that each text belongs to one study's images."""
        assert self._matches is not None, "who asks for matches has named who matches"
        repeated = image[torch.zeros(len(texts), dtype=torch.long, device=self._device)]
        return self._matches.match(self._tokens(texts), repeated).tolist()

    def _tokens(self, texts: Sequence[str]) -> Tokens:
        tokenizer = self._model.parts.text_encoder.tokenizer
        rows = [tokenizer.encode(text, max_tokens=self._data.max_report_tokens) for text in texts]
        mask = pad_sequences([[1] * len(row) for row in rows], 0).bool()
        ids = pad_sequences(rows, tokenizer.pad_id)
        return Tokens(ids.to(self._device), mask.to(self._device))


def _named(run: Run, name: str | None, kind: type, option: str) -> str:
    objectives = run.plan.objectives
    able = [key for key, block in objectives.items() if issubclass(block.cls, kind)]
    if name is not None:
        if name in able:
            return name
        raise RunError(
            f"`{option}: {name}`: {run.path} has no objective of that name that is "
            f"{kind.__name__}.{did_you_mean(name, able)} "
            f"Those that are: {', '.join(able) or 'none'}"
        )
    if len(able) != 1:
        raise RunError(
            f"{run.path} has {len(able)} objectives that are {kind.__name__} "
            f"({', '.join(able) or 'it has ' + ', '.join(objectives)}); expected one"
            + (f": name it, `{option}`" if able else ", such as `irc`")
        )
    return able[0]


def _last_stage(run: Run, objective: str) -> str:
    stages = [stage for stage in run.plan.stages if run.plan.stage_weights(stage).get(objective)]
    if not stages:
        raise RunError(f"{run.path} trained its objective '{objective}' in no stage")
    return stages[-1]
