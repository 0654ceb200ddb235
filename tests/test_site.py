"""The documentation site: it builds without a warning, needs no other host, and a browser shows it.

Collected only where MkDocs is installed, and the browser's test only where Chromium is.
"""

import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--virtual-time-budget=5000"),
]
LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//[^\s"'>]+"""
    r"""|<link\b[^>]*\bhref=["']?(?:https?:)?//[^\s"'>]+"""
    r"""|url\(["']?(?:https?:)?//[^\s"')]+"""
)
"""What a browser fetches from another host."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site; warnings are errors."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", f"--site-dir={folder}"]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_built_and_in_the_navigation(site):
    home = (site / "index.html").read_text()
    names = [path.stem for path in (ROOT / "docs").glob("*.md") if path.stem != "index"]
    assert len(names) > 15
    for name in names:
        assert (site / name / "index.html").exists()
        assert f'href="{name}/"' in home
    assert not (site / "hooks").exists()


def test_the_page_of_the_pretrained_network_leads_to_speech_that_plays(site):
    assert '<a href="../listen.html">' in (site / "models" / "index.html").read_text()
    report = (site / "listen.html").read_text()
    sources = re.findall(r'<audio[^>]*src="data:audio/[a-z]+;base64,([^"]{1000,})"', report)
    assert len(sources) == 3 * 6  # clean, noisy and enhanced
    assert len(set(sources)) == len(sources)


def test_nothing_is_loaded_from_another_host(site):
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    found = {str(page): LOADED.findall(page.read_text()) for page in pages}
    assert {page: links for page, links in found.items() if links} == {}


def test_the_pattern_of_other_hosts_finds_them():
    for text in (
        '<script async src="https://host/a.js">',
        "<link rel=stylesheet href=//host/a.css>",
        "src: url(https://host/font.woff2)",
    ):
        assert LOADED.search(text)
    assert not LOADED.search('<a href="https://host">')


if CHROMIUM:

    @pytest.fixture(scope="module")
    def address(site):
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass

        handler = functools.partial(Quiet, directory=str(site))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()

    @pytest.mark.parametrize(
        ("page", "texts"),
        [
            ("", ["<h1", "quick-start.png", "generator against any score", "Train on your data"]),
            ("api/", ["jaxgan.load", "ArrayEnhancer", "full scale 1.0", "pesq_wb"]),
            ("config/", ["generator.learnable_sigmoid", "all of images", "metricgan_plus"]),
        ],
    )
    def test_a_browser_shows_a_page(address, page, texts, tmp_path):
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path}", "--dump-dom"]
        done = subprocess.run(
            [*command, f"{address}/{page}"], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert re.search(r'<html[^>]* class="js', done.stdout), "the page's scripts have not run"
        for text in texts:
            assert text in done.stdout
