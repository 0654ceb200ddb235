"""Lets readers of the site listen: MkDocs builds it with noisy and enhanced speech.

The pretrained network enhances the built-in speech, and the report of `jaxgan.compare`, in which
clean, noisy and enhanced utterances can be played, becomes the page listen.html.
"""

import functools
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MARKER = "<!-- link to the report -->"
LINK = 'This site has that report: <a href="../listen.html">listen to it</a>.'
SCORES = "pesq_wb,stoi,si_sdr"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Returns a page with the link in place of its marker; MkDocs calls this for every page."""
    return markdown.replace(MARKER, LINK)


def on_post_build(*, config: Any, **_: Any) -> None:
    """Writes the report into the site; MkDocs calls this when all pages are there."""
    (Path(config.site_dir) / "listen.html").write_text(report(), encoding="utf-8")


@functools.cache
def report() -> str:
    """Returns the report as HTML."""
    with tempfile.TemporaryDirectory() as folder:
        flags = [f"--scores={SCORES}", f"--output={folder}"]
        command = [sys.executable, "-m", "jaxgan.compare", "pretrained", *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"no report to listen to: {done.stderr}")
        return (Path(folder) / "report.html").read_text(encoding="utf-8")
