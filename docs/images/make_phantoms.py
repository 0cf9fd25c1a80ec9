"""Draw `phantoms.png`, the contact sheet of docs/phantoms.md: the first studies of the test split.

python docs/images/make_phantoms.py
"""

from pathlib import Path
from textwrap import wrap

from PIL import Image, ImageDraw, ImageFont

from rrg_phantom.dataset import PhantomDataset

SIZE, CAPTION, GAP = 168, 42, 6
COLUMNS, ROWS = 4, 2
PAPER, INK = 255, 40


def make_sheet() -> Image.Image:
    """Lay frontal pictures out, what they show written below; the last is a lateral view."""
    dataset = PhantomDataset(image_size=SIZE, lateral=True)
    studies = dataset.studies("test")
    cell = (SIZE + GAP, SIZE + CAPTION)
    sheet = Image.new("L", (COLUMNS * cell[0] - GAP, ROWS * cell[1]), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(10)
    last = COLUMNS * ROWS - 1
    for place in range(last + 1):
        # the last place shows the study before it from the side
        study = studies[min(place, last - 1)]
        x, y = place % COLUMNS * cell[0], place // COLUMNS * cell[1]
        view = int(place == last)
        sheet.paste(Image.fromarray(dataset.open(study.images[view])), (x, y))
        names = [finding.observation for finding in dataset.findings(study.id)]
        text = "the same, lateral" if view else ", ".join(names) or "no finding"
        for line, words in enumerate(wrap(text, 34)):
            pen.text((x, y + SIZE + 1 + 12 * line), words, fill=INK, font=font)
    return sheet


if __name__ == "__main__":
    make_sheet().save(Path(__file__).with_name("phantoms.png"), optimize=True)
