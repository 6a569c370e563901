"""The page of a report in a real browser: it draws, in light and dark, and complains of nothing."""

import os

import pytest
from selenium.webdriver.common.by import By

from conftest import picture
from quire_client import q


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("pool", ["default", "empty", "checkerboard", "large"])
def test_a_report_opens_from_a_file(driver, server, tmp_path, pool, theme):
    client = server.client.on(pool)
    page = client.Analyzer.GetReport(
        q.GetReportRequest(call=client.call(), format=q.REPORT_FORMAT_HTML)).content
    file = tmp_path / "report.html"
    file.write_bytes(page)
    driver.get_log("browser")
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {
        "features": [{"name": "prefers-color-scheme", "value": theme}]})
    try:
        driver.get(f"file://{file}")
        assert driver.title == f"Pool {pool} · Quire report"
        background = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(245, 246, 248)") == (theme == "light")
        # Every picture has a size, and none is wider than the window.
        for chart in driver.find_elements(By.CSS_SELECTOR, "svg.chart"):
            assert 100 < chart.size["width"] <= 1120 and chart.size["height"] > 20
        assert driver.execute_script(
            "return document.documentElement.scrollWidth <= window.innerWidth")
        assert driver.get_log("browser") == []
        if os.environ.get("SCREENSHOTS"):
            picture(driver, f"report-{pool}-{theme}")
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
