"""Letters as a browser shows them: nothing runs off a phone's screen, the picture is there, dark mode is dark."""

import base64
import re
import shutil
import subprocess

import golden
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --hide-scrollbars --virtual-time-budget=2000"
).split()
MEASURE = """<script>addEventListener('load', () => {
  const sheet = getComputedStyle(document.querySelector('.sheet'));
  const image = document.querySelector('img');
  document.documentElement.dataset.said = [document.documentElement.scrollWidth, innerWidth, sheet.backgroundColor,
    sheet.color, image ? image.naturalWidth : -1, image ? image.getBoundingClientRect().width : -1].join('|');
})</script>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install chromium")


def page_of(mail):
    page = mail.get_body(("html",)).get_content()
    for part in mail.walk():
        if part.get_content_type() == "image/png":
            data = base64.b64encode(part.get_content()).decode()
            page = page.replace("cid:" + part["Content-ID"].strip("<>"), "data:image/png;base64," + data)
    return page.replace("</body>", MEASURE + "</body>")


def measured(page, width, folder, *, dark=False):
    """Return scroll width, window width, colours of the sheet, and the picture's own and shown width."""
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    theme = ["--blink-settings=preferredColorScheme=0"] if dark else ["--blink-settings=preferredColorScheme=1"]
    words = [CHROMIUM, *QUIET, *theme, f"--user-data-dir={folder}/profile", f"--window-size={width},1000", "--dump-dom"]
    done = subprocess.run([*words, f"file://{file}"], capture_output=True, text=True, timeout=60, check=True)
    said = re.search(r'data-said="([^"]*)"', done.stdout)
    assert said, done.stderr[-500:]
    return said[1].split("|")


@pytest.mark.parametrize("name", ["nl-acknowledgement", "nl-identity", "en-identity", "nl-digest", "nl-notice_warning"])
@pytest.mark.parametrize("width", [390, 1200])
def test_a_letter_fits_the_screen_and_shows_its_picture(name, width, tmp_path):
    scroll, window, _, _, natural, shown = measured(page_of(dict(golden.letters())[name]), width, tmp_path)
    assert int(scroll) <= int(window)
    if "identity" in name:
        assert int(natural) == 1040
        assert 200 < float(shown) <= 520


def light(colour):
    return sum(int(part) for part in re.findall(r"\d+", colour)[:3])


@pytest.mark.parametrize("dark", [False, True])
def test_letters_are_readable_by_day_and_by_night(dark, tmp_path):
    _, _, background, ink, _, _ = measured(page_of(dict(golden.letters())["nl-digest"]), 390, tmp_path, dark=dark)
    assert (light(background) < light(ink)) is dark
    assert abs(light(background) - light(ink)) > 450
