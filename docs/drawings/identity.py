"""Draw the picture of the identity letter: `python docs/drawings/identity.py` (needs Pillow, only for drawing).

A Dutch passport page and an identity card as outlines, with what must be blacked out in black and named.
"""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SCALE = 2
WIDTH, HEIGHT = 520 * SCALE, 548 * SCALE
INK, PAPER, CARD, LINE, BLACK, MARK = "#1d2329", "#ffffff", "#f3e9e4", "#8a6d63", "#000000", "#b3261e"
BLUE_CARD = "#e6edf5"
WORDS = {
    "nl": {
        "passport": "Paspoort",
        "card": "Identiteitskaart",
        "photo": "pasfoto",
        "number": "documentnummer",
        "bsn": "BSN",
        "mrz": "MRZ: de strook onderaan",
        "back": "achterkant",
        "front": "voorkant",
        "stays": "naam, geboortedatum en geldigheid blijven leesbaar",
    },
    "en": {
        "passport": "Passport",
        "card": "Identity card",
        "photo": "photo",
        "number": "document number",
        "bsn": "BSN",
        "mrz": "MRZ: the strip at the bottom",
        "back": "back",
        "front": "front",
        "stays": "name, date of birth and validity stay readable",
    },
}


def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which Debian's fonts-dejavu-core installs."""
    return ImageFont.truetype(f"DejaVuSans{'-Bold' if bold else ''}.ttf", size * SCALE)


class Sheet:
    """A drawing in the letter's own pixels."""

    def __init__(self) -> None:
        self.image = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
        self.draw = ImageDraw.Draw(self.image)

    def box(self, x: float, y: float, w: float, h: float, fill: str, outline: str | None = None, r: float = 0) -> None:
        """A filled rectangle."""
        at = [x * SCALE, y * SCALE, (x + w) * SCALE, (y + h) * SCALE]
        self.draw.rounded_rectangle(at, r * SCALE, fill=fill, outline=outline, width=SCALE)

    def text(self, x: float, y: float, words: str, size: int = 12, fill: str = INK, *, bold: bool = False) -> None:
        """A line of text."""
        self.draw.text((x * SCALE, y * SCALE), words, fill=fill, font=font(size, bold=bold))

    def black(self, x: float, y: float, w: float, h: float, name: str) -> None:
        """Something blacked out, with its name in white on it."""
        self.box(x, y, w, h, BLACK, r=2)
        size = 12
        while font(size).getlength(name) > (w - 6) * SCALE and size > 8:
            size -= 1
        self.draw.text(
            ((x + w / 2) * SCALE, (y + h / 2) * SCALE), name, fill="#ffffff", font=font(size, bold=True), anchor="mm"
        )

    def lines(self, x: float, y: float, widths: list[int], step: float = 20) -> None:
        """Grey bars that stand for text that may be read."""
        for place, width in enumerate(widths):
            self.box(x, y + place * step, width, 8, "#b9c0c7", r=3)


def picture(words: dict[str, str]) -> Image.Image:
    """Return the drawing in one language."""
    sheet = Sheet()
    sheet.text(16, 10, words["passport"], 16, bold=True)
    sheet.box(16, 36, 488, 252, CARD, LINE, 10)
    sheet.black(32, 60, 118, 150, words["photo"])
    sheet.text(168, 56, "NEDERLAND", 11, LINE, bold=True)
    sheet.black(344, 54, 144, 24, words["number"])
    sheet.lines(168, 88, [150, 110, 130, 90])
    sheet.black(168, 176, 150, 24, words["bsn"])
    sheet.lines(344, 100, [100, 80, 110, 70])
    sheet.black(32, 228, 456, 44, words["mrz"])
    sheet.text(16, 304, f"{words['card']}: {words['front']}", 14, bold=True)
    sheet.text(268, 304, f"{words['card']}: {words['back']}", 14, bold=True)
    sheet.box(16, 330, 236, 150, BLUE_CARD, "#5b7c9d", 10)
    sheet.black(28, 352, 66, 88, words["photo"])
    sheet.text(104, 344, "NEDERLAND", 10, "#5b7c9d", bold=True)
    sheet.black(104, 362, 136, 20, words["number"])
    sheet.lines(104, 394, [110, 90, 120, 70], 18)
    sheet.box(268, 330, 236, 150, BLUE_CARD, "#5b7c9d", 10)
    sheet.black(280, 346, 140, 22, words["bsn"])
    sheet.lines(280, 380, [120, 90], 16)
    sheet.black(280, 418, 212, 50, words["mrz"].split(":")[0])
    sheet.box(16, 500, 20, 14, BLACK, r=2)
    sheet.text(44, 498, {"pasfoto": "zwart maken", "photo": "black out"}[words["photo"]], 13, bold=True)
    sheet.box(16, 526, 20, 8, "#b9c0c7", r=3)
    sheet.text(44, 521, words["stays"], 13)
    return sheet.image.quantize(32)


if __name__ == "__main__":
    folder = Path(__file__).resolve().parents[2] / "templates" / "pictures"
    for language, words in WORDS.items():
        picture(words).save(folder / f"identity-{language}.png", optimize=True)
