"""Renders figures to PNG with an installed chromium."""

import shutil
import tempfile
from pathlib import Path

import plotly.graph_objects as go
from playwright.sync_api import ViewportSize, sync_playwright

QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync")


def write_png(figure: go.Figure, path: Path) -> None:
    """Write a figure as PNG at its own size and twice the resolution.

    Raises:
        FileNotFoundError: no chromium is installed.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise FileNotFoundError("drawing pictures needs chromium: apt-get install chromium")
    size = ViewportSize(width=int(figure.layout.width), height=int(figure.layout.height))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder) / "figure.html"
        figure.write_html(page_file, config={"displayModeBar": False})
        browser = playwright.chromium.launch(executable_path=chromium, args=list(QUIET))
        page = browser.new_page(viewport=size, device_scale_factor=2)
        page.goto(page_file.as_uri())
        page.wait_for_selector(".main-svg")
        page.locator(".js-plotly-plot").screenshot(path=path)
        browser.close()
