"""A real browser shows a throttled pipeline, live, in both themes, and complains about nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import FlowControlSettings, Pipeline, ProcessingContext, Record, ThrottlingSettings, WriteLimitSettings
from engine.clock import NS_PER_MS
from exporter.management import ManagementServer
from tests.support.browser import Browser
from tests.support.pipelines import CollectingExporter, ListSource

pytestmark = pytest.mark.real

SETTINGS = FlowControlSettings(
    write=WriteLimitSettings(
        enabled=True,
        limit=2000,
        throttling=ThrottlingSettings(
            enabled=True,
            acceptable_backlog=1000,
            resolution_ns=200 * NS_PER_MS,
            measurement_window_ns=3000 * NS_PER_MS,
            measurement_resolution_ns=100 * NS_PER_MS,
        ),
    )
)
# Which share of the chart is yellow.
_PIXELS = """
(() => {
  const canvas = document.querySelector("#chart canvas");
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let yellow = 0;
  for (let i = 0; i < pixels.length; i += 4) {
    const [red, green, blue, alpha] = pixels.slice(i, i + 4);
    if (alpha > 20 && red > 180 && green > 160 && blue < 110) yellow++;
  }
  return yellow / (pixels.length / 4);
})()
"""


class Echo:
    def process(self, record: Record, context: ProcessingContext) -> None:
        context.emit("echo", record.value)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_follows_a_pipeline_into_its_throttle(tmp_path: Path, dark: bool) -> None:
    pipeline = (
        Pipeline("numbers", partitions=2)
        .source("numbers", ListSource([{"n": n} for n in range(200_000)], batch=50))
        .process(Echo, key="n")
        .export("slow", CollectingExporter().factory)
    )
    with (
        pipeline.run(tmp_path / "data", flow_control=SETTINGS) as engine,
        ManagementServer(engine, port=0) as server,
        Browser(tmp_path, dark=dark) as browser,
    ):
        browser.open(server.url)
        text = "document.getElementById('throttle').textContent"
        assert browser.wait_for(f"{text} === 'not throttled'"), browser.evaluate("document.body.innerText")
        assert browser.evaluate(_PIXELS) == 0
        engine.pace_exporter("slow", 300)
        # Without another click or load.
        assert browser.wait_for(f"{text} === 'throttled'")
        assert browser.wait_for(f"{_PIXELS} > 0.01"), "the band is drawn"
        assert browser.evaluate("document.getElementById('backlog').textContent").split()[0].replace(",", "").isdigit()
        browser.evaluate("document.getElementById('partition').value = '2'")
        browser.evaluate("document.getElementById('partition').dispatchEvent(new Event('change'))")
        assert "acceptable 1,000" in browser.evaluate("document.getElementById('backlog').textContent")
        assert browser.wait_for("document.querySelector('#episodes .goes-on')"), (
            "the episode is listed while it goes on"
        )
        assert browser.wait_for("document.querySelector('.flow-control.is-throttled')"), "the gate is yellow"
        engine.pace_exporter("slow", None)
        assert browser.wait_for(f"{text} === 'not throttled'"), "and it ends with the throttle"
        assert browser.wait_for("!document.querySelector('#episodes .goes-on')")
        assert browser.complaints == []
        assert {url.startswith(server.url) for url in browser.requested} == {True}
        engine.stop(drain=False)
