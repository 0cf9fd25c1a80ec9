"""Films that are drawn in a millisecond, for tests that need hundreds; and what is none."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFilter

from rrgcore.images import resize

SIZE = 48
Grey = UInt8[np.ndarray, "h w"]


def film(number: int, size: int = SIZE) -> Grey:
    """Draw a chest: two lungs, a heart on the left, an abdomen, a spine and ribs."""
    rng = np.random.default_rng(number)
    down, across = np.mgrid[0:size, 0:size] / size - 0.5

    def inside(y: float, x: float, height: float, width: float) -> np.ndarray:
        wobble = rng.normal(0, 0.012, 4)
        y, x, height, width = np.array([y, x, height, width]) + wobble
        return ((down - y) / height) ** 2 + ((across - x) / width) ** 2 < 1

    image = np.full((size, size), 30.0 + rng.normal(0, 3))
    image[inside(0, 0, 0.55, 0.42)] = 140
    for x in (-0.18, 0.18):
        image[inside(-0.05, x, 0.3, 0.14)] = 60 + rng.normal(0, 6)
    image[inside(0.1, 0.07, 0.17, 0.14)] = 170
    image[inside(0.45, 0, 0.22, 0.4)] = 190
    image[np.abs(across) < 0.03] += 30
    image += 12 * np.sin(2 * np.pi * 9 * (down + across**2))
    if rng.random() < 0.5:  # an opacity somewhere
        image[inside(rng.uniform(-0.2, 0.15), rng.choice([-0.2, 0.2]), 0.06, 0.06)] += 70
    image += rng.normal(0, 4, image.shape)
    return np.clip(image * rng.uniform(0.9, 1.1), 0, 255).astype(np.uint8)


def lateral(number: int) -> Grey:
    """Draw another view: one lung, and the spine behind it."""
    frontal = film(number)
    return np.ascontiguousarray(np.roll(frontal, SIZE // 4, axis=1)[:, ::-1])


def noise(number: int) -> Grey:
    """Draw noise of many kinds, at many sizes."""
    rng = np.random.default_rng(number)
    side = (SIZE, 128, 400)[number % 3]

    def blurred(radius: float) -> np.ndarray:
        rough = Image.fromarray(rng.integers(0, 256, (side, side), dtype=np.uint8))
        smooth = np.asarray(rough.filter(ImageFilter.GaussianBlur(radius)), dtype=float)
        return (smooth - smooth.mean()) / (smooth.std() + 1e-6) * 50 + 120

    kinds: list[Callable[[], np.ndarray]] = [
        lambda: rng.integers(0, 256, (side, side)),
        lambda: rng.normal(rng.uniform(40, 220), rng.uniform(5, 80), (side, side)),
        lambda: 255 * (rng.random((side, side)) < rng.uniform(0.05, 0.95)),
        lambda: blurred(side / SIZE * (1, 3, 8)[number % 3]),
        lambda: np.full((side, side), rng.integers(0, 256)),
        lambda: rng.permutation(film(number).ravel()).reshape(SIZE, SIZE),
    ]
    return resize(np.clip(kinds[number % len(kinds)](), 0, 255).astype(np.uint8), SIZE)


def photographs(count: int) -> list[Grey]:
    """Cut squares out of the photographs that come with scikit-learn."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    whole = [np.asarray(Image.fromarray(each).convert("L")) for each in load_sample_images().images]
    found = []
    for number in range(count):
        grey = whole[number % len(whole)]
        side = int(min(grey.shape) * rng.uniform(0.3, 1))
        top, left = (int(rng.integers(0, extent - side + 1)) for extent in grey.shape)
        part = np.ascontiguousarray(grey[top : top + side, left : left + side])
        found.append(resize(part, SIZE))
    return found


def turned(image: Grey, quarters: int) -> Grey:
    """Turn a film by right angles."""
    return np.ascontiguousarray(np.rot90(image, quarters))


def write_films(folder: Path, first: int, count: int) -> list[str]:
    """Write films into a folder; return their names."""
    names = [f"{number}.png" for number in range(first, first + count)]
    for number, name in enumerate(names, start=first):
        Image.fromarray(film(number)).save(folder / name)
    return names
