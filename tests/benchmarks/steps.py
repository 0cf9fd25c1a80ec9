"""What KIA's five tasks cost: a joint training step beside one of each task alone.

The model is the small one of `kia_graph`; a step is the engine's, with its masks and its loading.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from rows import at_most, tell
from stopwatch import clock, medians, use_threads

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
    use_threads()
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

    calls = {"joint": training(plan.weights)}
    calls |= {name: training({name: 1.0}) for name in plan.weights}
    # each has its own turn in the epochs of its own loader, and all of them the same model
    seconds = medians(
        {name: partial(next, taken) for name, taken in calls.items()},
        rounds=9,
        uncounted=EPOCH,
        clock=clock,
    )
    joint = seconds.pop("joint")
    apart = sum(seconds.values())
    each = ", ".join(f"{name} {1000 * alone:.0f}" for name, alone in seconds.items())
    tell(
        f"training: a joint step takes {joint / apart:.2f} of its five tasks' own steps, and "
        f"{joint / seconds['report']:.1f} × as long as report generation alone "
        f"({1000 * joint:.0f} ms; {each}; {plan.data.batch_size} studies of "
        f"{plan.data.image_size} pixels)",
        [
            at_most(
                "KIA joint step, five tasks",
                "the sum of five single-task steps",
                0.7,
                joint / apart,
                f"{1000 * joint:.0f} ms of `kia_graph` at batch {plan.data.batch_size}; {each}",
            )
        ],
    )


if __name__ == "__main__":
    main()
