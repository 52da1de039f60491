"""The demo plays its story to the end and leaves what its index names."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_month_is_played_and_everything_the_index_names_is_there(tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, str(ROOT / "run.py"), "demo", "--quick", "--out", str(out)]
    played = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert played.returncode == 0, played.stdout[-1500:] + played.stderr[-1500:]
    assert "found 0 times" in " ".join(played.stdout.split()), "the erased person is nowhere"
    index = (out / "index.html").read_text(encoding="utf-8")
    named = set(re.findall(r'href="([^"]+)"', index))
    assert named == {one for one in named if (out / one).is_file()}
    wanted = ("digest", "notice-warning", "notice-review", "extended", "outcome-done", "objection-founded")
    assert [one for one in wanted if f"-{one}.html" not in index] == []
    evidence = (out / "evidence-KN-2026-0001.txt").read_text(encoding="utf-8")
    assert "kopie verwijderd" in evidence, "the copy of the document goes once it was seen"
    assert "register" in {path.name for path in out.iterdir()}
