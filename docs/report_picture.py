"""Draw the figure in docs/report.md from a report: python docs/report_picture.py outputs/toy docs/report.png

Headless Chromium (Debian's package) shows the last report of these runs: its top, and next to it the first image at
full size, with the true mask on its left half.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from wsvs.core.errors import UserError
from wsvs.core.files import atomic_path
from wsvs.core.runs import require_run

SIZE = (760, 860)  # of a part, px; a headless window is less high than requested
WIDTH = 1200  # of the figure, px
SCRIPTS = (  # of the left and of the right side
    "",
    "addEventListener('load', () => { view(0); $('left').selectedIndex = $('left').options.length - 1; "
    f"$('line').value = 50; $('viewer').style.height = '{SIZE[1]}px'; layers(); document.activeElement.blur(); }})",
)


def main(runs: Path, out: Path) -> None:
    page = require_run(runs.parent, runs.name, "report", None) / "report.html"
    parts = [shown(page, script) for script in SCRIPTS]
    whole = Image.new("RGB", (sum(part.width for part in parts), SIZE[1]))
    for number, part in enumerate(parts):
        whole.paste(part, (number * SIZE[0], 0))
    whole = whole.resize((WIDTH, WIDTH * whole.height // whole.width), Image.Resampling.LANCZOS)
    with atomic_path(out) as temporary:
        whole.quantize(256).save(temporary, "PNG", optimize=True)
    print(f"{out}: {whole.width} x {whole.height} px, {out.stat().st_size / 1000:.0f} kB")


def shown(page: Path, script: str) -> Image.Image:
    """What a window of `SIZE` shows of a page after a script."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise UserError("no browser to show the page", remedy="apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        target, copy = Path(folder, "shot.png"), Path(folder, "page.html")
        text = page.read_text(encoding="utf-8").replace("<head>", f'<head><base href="{page.parent.as_uri()}/">', 1)
        text = text.replace("</body>", f"<script>{script}</script></body>")
        copy.write_text(text, encoding="utf-8")
        subprocess.run(
            [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                f"--user-data-dir={folder}/p",
                f"--window-size={SIZE[0]},{SIZE[1] + 200}",
                "--virtual-time-budget=5000",
                f"--screenshot={target}",
                copy.as_uri(),
            ],
            check=True,
            capture_output=True,
        )
        with Image.open(target) as image:
            return image.convert("RGB").crop((0, 0, *SIZE))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except UserError as error:
        sys.exit(f"error: {error.message}")
