"""What KIA's five tasks cost: a joint training step beside one of report generation alone.

The model is the small one of `kia_graph`; a step is the engine's, with its masks and its loading.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import torch
from stopwatch import medians

from rrgcore import load_recipe
from rrgcore.build import build_model
from rrgcore.engine import Position, Step, steps
from rrgcore.job import make_accelerator
from rrgcore.optim import Schedule, make_optimizer
from rrgcore.studies import Studies
from rrgcore.tokenizers import Tokenizers

OVERRIDES = ("data.train=64", "data.batch_size=16", "objectives.irc.queue=32")
EPOCH = 4
"""Steps in which each study is drawn once; later ones read the images from memory."""


def main() -> None:
    torch.set_num_threads(1)  # threads wait for each other, and so for whatever else is running
    plan = load_recipe("kia_graph", overrides=OVERRIDES).plan
    studies = Studies(plan)
    model = build_model(plan, Tokenizers(plan, lambda: studies.reports("train")))
    accelerator = make_accelerator(plan)
    stage = replace(plan.stages["align"], epochs=None, steps=1000, accumulate=1)
    optimizer = make_optimizer(stage.optimizer, model)
    schedule = Schedule(stage.schedule, optimizer, warmup=0)

    def training(weights: Mapping[str, float]) -> Iterator[Step]:
        loader = studies.loader(model, "train", training=True, objectives=list(weights))
        return steps(
            "align", stage, model, weights, loader, optimizer, schedule, accelerator, Position()
        )

    joint, alone = training(plan.weights), training({"report": 1.0})
    seconds = medians(
        {"joint": partial(next, joint), "alone": partial(next, alone)}, rounds=9, uncounted=EPOCH
    )
    ratio = seconds["joint"] / seconds["alone"]
    print(
        f"training: a joint step takes {ratio:.1f} × as long as report generation alone "
        f"({1000 * seconds['joint']:.0f} and {1000 * seconds['alone']:.0f} ms, "
        f"{plan.data.batch_size} studies of {plan.data.image_size} pixels)"
    )


if __name__ == "__main__":
    main()
