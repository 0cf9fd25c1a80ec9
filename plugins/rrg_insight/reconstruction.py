"""Masked patches, painted under the study's own report and under another's."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, cast, final

import numpy as np
import torch
from einops import reduce
from jaxtyping import Bool, Float
from torch import Tensor

from rrg_insight.canvas import Draw, Frame
from rrg_insight.pictures import (
    HIDDEN,
    KEY,
    UNLIKE,
    Grey,
    mark_patches,
    radiographs,
    show,
    shown,
)
from rrg_insight.sheet import Panel, Panels, Scale, Stretch, Text, heading, render
from rrgcore.api import Batch, Drawn, Features, Figure, ImageMasking, OpenRun, Reconstructs
from rrgcore.insight.telling import most_unlike

AMONG = 200
"""Studies of which the other report is chosen."""
CHANGED = 1e-6
"""Of a normalised pixel: what is left as it was is so to the bit."""
Patches = Bool[np.ndarray, "rows columns"]


@final
class Reconstruction(Figure):
    """MIM of the same masked image given two reports: the study's own, and that of the study whose
    reference names the most other findings.

    KIA, Fig. 9a.
    """

    shows: ClassVar[str] = "KIA, Fig. 9a"

    def why_not(self, run: OpenRun) -> str | None:
        """Say that no patches are masked."""
        if patch_objectives(run):
            return None
        return run.without(
            "objective that paints masked patches (Reconstructs, with an image masking)"
        )

    def draw(self, run: OpenRun) -> Iterator[Drawn]:
        """Draw one sheet a study."""
        names = patch_objectives(run)
        for name in names:
            for id in run.ids:
                drawn = self._sheet(run, name, id)
                yield drawn if len(names) == 1 else replace(drawn, name=f"{name}-{id}")

    def _sheet(self, run: OpenRun, name: str, id: str) -> Drawn:
        study = run.study(id)
        other = most_unlike(run, id, [study.id for study in run.studies()[:AMONG]])
        slot = f"objectives.{name}"
        batch, foreign = run.batch([id], [name]), run.batch([other], [name])
        model = run.model(name)
        objective = cast(Reconstructs, model.objectives[name])
        prepared = batch.prepared[slot]
        texts = {"its own": batch, "the other": _told(batch, foreign)}
        results = {
            how: objective.reconstruct(Features(model.parts, seen), prepared)
            for how, seen in texts.items()
        }
        encoder = model.parts.encoder
        masks = self._masks(run, name, id, results["its own"], batch.images[0])
        painted = {
            how: _grey(result["image"][0], encoder.mean, encoder.std)
            for how, result in results.items()
        }
        change = np.abs(painted["its own"] - painted["the other"])
        high = max(0.05, float(np.quantile(change, 0.995)))
        panels = []
        for view, image in enumerate(radiographs(run, study)):
            before = study.views[view] if len(study.images) > 1 else "image"
            panels += [
                Panel(shown(image), [Stretch(before)]),
                Panel(_hidden(image, *masks[view]), [Stretch("masked")]),
                Panel(_shown(painted["its own"][view]), [Stretch("given its own report")]),
                Panel(_shown(painted["the other"][view]), [Stretch("given the other report")]),
                Panel(_unlike(change[view], high), [Stretch("difference of the two")]),
            ]
        errors = {
            how: {
                key: float(result[key][0])
                for key in ("error", "key_error")
                if key in result and not bool(torch.isnan(result[key][0]))
            }
            for how, result in results.items()
        }
        where = "key_error" if all("key_error" in each for each in errors.values()) else "error"
        at = "key patches" if where == "key_error" else "hidden patches"
        caption = (
            f"MIM of {id} (`{name}`, checkpoint of stage {run.trained[name]}): the same masked "
            "image, painted given the study's own report and given that of "
            f"{other}. Grey: hidden patches; yellow outlines: key patches of the landmarks that "
            f"its report mentions. Mean absolute error at {at}, in units of the normalised image: "
            f"{errors['its own'][where]:.3f} with its own report, "
            f"{errors['the other'][where]:.3f} with the other."
        )
        picture = render(
            [
                heading(f"{id}: one masked image, two reports"),
                Panels(panels, tall=1.62),
                Scale(UNLIKE, 0.0, high, "difference, as a share of white", ground="white"),
                Text([Stretch("its own report: ", bold=True), Stretch(run.reference(id))]),
                Text(
                    [Stretch(f"the other, of {other}: ", bold=True), Stretch(run.reference(other))]
                ),
            ],
            caption,
        )
        numbers = {
            "study": id,
            "other": other,
            "objective": name,
            "stage": run.trained[name],
            "hidden": [int(hidden.sum()) for hidden, _ in masks],
            "key": [int(key.sum()) for _, key in masks],
            "errors": errors,
            "largest difference": float(change.max()),
        }
        return Drawn(id, picture, caption, numbers)

    def _masks(
        self, run: OpenRun, name: str, id: str, result: Any, images: Float[Tensor, "v 3 h w"]
    ) -> list[tuple[Patches, Patches]]:
        """Return hidden patches, those that were painted over, and key patches of each view."""
        (study,) = run.annotated([id], [name])
        masking = cast(ImageMasking, run.masking(name))
        rows, columns = grid = run.parts.encoder.grid
        changed = (result["image"][0] - images).abs().amax(1) > CHANGED
        hidden = reduce(changed.float(), "v (r i) (c j) -> v r c", "max", r=rows, c=columns) > 0
        return [
            (hidden[view].cpu().numpy(), masking.key_patches(study, view, grid).reshape(grid))
            for view in range(len(study.images))
        ]


def patch_objectives(run: OpenRun) -> list[str]:
    """List the objectives that were trained to paint masked patches."""
    return [
        name for name in run.objectives(Reconstructs) if isinstance(run.masking(name), ImageMasking)
    ]


def _told(batch: Batch, other: Batch) -> Batch:
    """Return a batch with another one's reports."""
    return replace(batch, report=other.report, text=other.text)


def _grey(
    images: Float[Tensor, "v 3 h w"], mean: Sequence[float], std: Sequence[float]
) -> Float[np.ndarray, "v h w"]:
    """Undo the normalisation: 0 is black, 1 is white."""
    scale, shift = (torch.tensor(each).reshape(1, 3, 1, 1) for each in (std, mean))
    return (images.cpu() * scale + shift).mean(1).clamp(0, 1).numpy()


def _shown(image: Float[np.ndarray, "h w"]) -> Draw:
    return shown((image * 255).astype(np.uint8))


def _hidden(image: Grey, hidden: Patches, key: Patches) -> Draw:
    def draw(frame: Frame) -> None:
        show(frame, image)
        mark_patches(frame, hidden, HIDDEN, filled=True)
        mark_patches(frame, key, KEY, filled=False)

    return draw


def _unlike(change: Float[np.ndarray, "h w"], high: float) -> Draw:
    def draw(frame: Frame) -> None:
        frame.image(change, cmap=UNLIKE, vmin=0, vmax=high)

    return draw
