"""How long a phantom takes to draw: its image, its report, and all its annotations."""

from itertools import count

from stopwatch import medians

from rrg_phantom.dataset import PhantomDataset
from rrgcore.api import Boxes, Labels, RadGraph

STUDIES = 20
SIZES = (80, 224)
"""Pixels: the small recipe's, and the paper's."""


def main() -> None:
    seeds = count()

    def draw(size: int) -> None:
        # another seed each time: nothing that was drawn before can help
        dataset = PhantomDataset(image_size=size, train=STUDIES, seed=next(seeds))
        for study in dataset.studies("train"):
            for image in study.images:
                dataset.open(image)
            for kind in (RadGraph, Labels, Boxes):
                dataset.annotation(study, kind)

    seconds = medians({str(size): (lambda size=size: draw(size)) for size in SIZES}, rounds=7)
    figures = ", ".join(
        f"{1000 * s / STUDIES:.1f} ms a study at {size} pixels" for size, s in seconds.items()
    )
    print(f"phantoms: {figures}; image, report and annotations")


if __name__ == "__main__":
    main()
