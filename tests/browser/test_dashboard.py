"""The dashboard as a person sees it: in a real Chromium, against the example platform.

`ETL_PICTURES=$PWD/docs/how-to/pictures` writes the pictures of the documentation. (Variables of the
developer that begin with `ETL_TELEMETRY_` do not reach a test.)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from support.pages import REPOSITORY

pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("browser")]
PATIENCE = 120_000
"""Milliseconds after which something is taken for hung; no measure of speed."""
PICTURES = REPOSITORY / "docs" / "how-to" / "pictures"
SCHEMES = ("light", "dark")
WIDTHS = (360, 1280, 3840)
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WHERE = "(e => e.id || e.className || e.tagName)(document.activeElement)"
expect.set_options(timeout=PATIENCE)


@contextmanager
def person(
    browser: Browser, site: Any, name: str, *, width: int = 1280, scheme: str = "light"
) -> Iterator[Page]:
    """Give the page of somebody who signed in; nothing may stand on the console at the end."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    trouble: list[str] = []
    asked: list[str] = []
    page.on("console", lambda said: trouble.append(f"{said.type}: {said.text}"))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{site.address}/monitoring/?window=24h")
    # The login page is the platform's own: its icon is no business of ours.
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", "demo" if name == "demo" else name)
    page.click("button:has-text('Sign in')")
    page.wait_for_url("**/monitoring/**")
    trouble.clear()
    asked.clear()
    page.reload()
    try:
        yield page
        assert trouble == []
        foreign = [url for url in asked if not url.startswith((site.address, "data:"))]
        assert foreign == []
    finally:
        context.close()


def accessible(page: Page) -> None:
    """Let axe look at a page: it must find nothing."""
    if page.viewport_size and page.viewport_size["width"] > 1280:
        return  # It would find the same once more, and takes its time with many pixels.
    found = Axe().run(page, options={"runOnly": TAGS, "resultTypes": ["violations"]})
    assert found.violations_count == 0, found.generate_report()


def fits(page: Page) -> None:
    """Nothing is wider than the window."""
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0


def picture(page: Page, name: str, *, begin: str = "body") -> None:
    """Write a picture of the documentation where that is asked for; it must be there."""
    target = Path(os.environ.get("ETL_PICTURES", PICTURES)) / name
    if "ETL_PICTURES" in os.environ:
        width = page.viewport_size["width"] if page.viewport_size else 0
        top = page.locator(begin).evaluate("e => e.getBoundingClientRect().top + scrollY")
        clip = {"x": 0, "y": max(0, top - 16), "width": width, "height": 900 if top else 1_200}
        page.screenshot(path=target, clip=clip, full_page=True)
    assert target.stat().st_size > 5_000


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_pages_are_accessible_at_every_width(
    browser: Browser, site: Any, width: int, scheme: str
) -> None:
    """From a phone to 4K, light and dark: axe finds nothing, nothing sticks out."""
    with person(browser, site, "demo", width=width, scheme=scheme) as page:
        expect(page.locator("figure svg")).to_have_count(4)
        accessible(page)
        fits(page)
        if width == 1280:
            begin = "body" if scheme == "light" else "#table-title"
            picture(page, f"dashboard-{scheme}.png", begin=begin)
        page.locator("main table.wide tbody th a").first.click()
        expect(page.locator("#runs-title")).to_be_visible()
        page.locator("tr.more summary").first.click()
        accessible(page)
        fits(page)
        if (width, scheme) == (1280, "light"):
            picture(page, "dashboard-pipeline.png", begin="#runs-title")
        if (width, scheme) == (360, "dark"):
            picture(page, "dashboard-narrow.png")


def test_a_user_sees_only_its_organization(browser: Browser, site: Any) -> None:
    """Signed in as a member of United: its pipelines, figures and alerts, and no others."""
    with person(browser, site, "mia") as page:
        names = page.locator("main table.wide tbody th").all_inner_texts()
        assert names
        organizations = page.locator("main table.wide tbody tr td:nth-child(2)").all_inner_texts()
        assert set(organizations) == {"UA"}
        expect(page.locator(".alert strong")).to_have_text(["PipelineFailing"])
        assert "NoWorker" not in page.content()
        mine = page.locator("main table.wide tbody th a").first.get_attribute("href")
    with person(browser, site, "demo") as page:
        page.fill("#q", "b6")
        page.press("#q", "Enter")
        page.wait_for_url("**q=b6**")
        theirs = page.locator("main table.wide tbody th a").first.get_attribute("href")
    with person(browser, site, "mia") as page:
        assert page.request.get(site.address + str(mine)).status == 200
        assert page.request.get(site.address + str(theirs)).status == 404


def test_a_heading_orders_the_table(browser: Browser, site: Any) -> None:
    """One click: most failed first, said by the heading too; a refresh leaves it so."""
    with person(browser, site, "demo") as page:
        page.locator("main table.wide thead a", has_text="Failed").click()
        page.wait_for_url("**sort=-failed**")
        heading = page.locator("main table.wide th[aria-sort]")
        expect(heading).to_have_text("Failed")
        expect(heading).to_have_attribute("aria-sort", "descending")
        updated = page.locator("#updated").inner_text()
        expect(page.locator("#updated")).not_to_have_text(updated)
        told = page.locator("main table.wide tbody td:nth-child(6)").all_inner_texts()
        failed = [int(number) for number in told]
        assert failed[0] > 0
        assert failed == sorted(failed, reverse=True)
        accessible(page)


def test_a_run_appears_while_somebody_looks(browser: Browser, site: Any) -> None:
    """Trigger it in the platform; the page that is open shows it, from begin to end, by itself."""
    with person(browser, site, "demo") as page:
        name = "flights-ua-ewr"
        page.fill("#q", name)
        page.press("#q", "Enter")
        page.locator("main table.wide tbody th a", has_text=name).click()
        runs = page.locator("main table.wide tbody tr:not(.more)")
        before = page.locator("#news").inner_text()
        first = runs.first.inner_text()
        portal = page.context.new_page()
        portal.goto(f"{site.address}/pipelines/{name}/")
        portal.click("button:has-text('Run now')")
        portal.wait_for_url("**/runs/**")
        run_id = portal.url.rstrip("/").rpartition("/")[2]
        portal.close()
        page.bring_to_front()
        expect(runs.first.locator("code")).to_have_text(run_id)
        expect(runs.first.locator(".badge")).to_have_text("success")
        expect(page.locator("#news")).not_to_have_text(before)
        assert runs.first.inner_text() != first
        link = runs.first.locator(".links a").get_attribute("href")
        assert str(link).startswith("https://traces.example.com/trace/")


def test_keyboard_reaches_everything_and_focus_outlives_a_refresh(
    browser: Browser, site: Any
) -> None:
    """Skip link, windows, pause, search, table; a refresh takes neither focus nor what is open."""
    with person(browser, site, "demo") as page:
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#main")).to_be_focused()
        reached = set()
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.add(page.evaluate(WHERE))
        assert {"q", "scroll", "A", "BUTTON", "SUMMARY"} <= reached
        link = page.locator("main table.wide tbody th a").nth(3)
        link.focus()
        name = link.inner_text()
        updated = page.locator("#updated").inner_text()
        expect(page.locator("#updated")).not_to_have_text(updated)
        assert page.evaluate("document.activeElement.textContent") == name
        page.locator("#figures summary").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#figures")).to_have_attribute("open", "")
        updated = page.locator("#updated").inner_text()
        expect(page.locator("#updated")).not_to_have_text(updated)
        expect(page.locator("#figures")).to_have_attribute("open", "")
        page.locator("#pause").press("Space")
        expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")


def test_nothing_is_asked_while_nobody_looks_or_updates_are_paused(
    browser: Browser, site: Any
) -> None:
    """Hidden and paused pages are silent; one that is shown again is true at once."""
    with person(browser, site, "demo") as page:
        page.locator("#pause").click()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.wait_for_timeout(3_000)
        assert asked == []
        page.locator("#pause").click()
        page.wait_for_timeout(500)
        hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
        tell = "document.dispatchEvent(new Event('visibilitychange'))"
        page.evaluate(hide % "true" + tell)
        page.wait_for_load_state("networkidle")
        asked.clear()
        page.wait_for_timeout(3_000)
        assert asked == []
        page.evaluate(hide % "false" + tell)
        updated = page.locator("#updated").inner_text()
        expect(page.locator("#updated")).not_to_have_text(updated)


def test_whoever_is_signed_out_is_told(browser: Browser, site: Any) -> None:
    """The page says so, once, and asks no more."""
    with person(browser, site, "mia") as page:
        page.context.clear_cookies()
        expect(page.locator("#trouble")).to_contain_text("You are signed out.")


def test_login_of_another_host_is_a_sign_out_too(browser: Browser, site: Any) -> None:
    """A redirect that the script may not follow: single sign-on."""
    with person(browser, site, "mia") as page:
        page.route(
            "**/monitoring/?window=24h",
            lambda route: route.fulfill(
                status=302, headers={"Location": "https://login.example.com/"}
            ),
        )
        expect(page.locator("#trouble")).to_contain_text("You are signed out.")


def test_a_server_that_hangs_is_given_up(browser: Browser, site: Any) -> None:
    """The page says so, asks again, and is true when it answers."""
    with person(browser, site, "mia") as page:
        page.route("**/monitoring/?window=24h", lambda route: None, times=1)
        expect(page.locator("#trouble")).to_contain_text("Not updated")
        expect(page.locator("#trouble")).to_have_text("")


def test_focus_goes_with_what_has_moved(browser: Browser, site: Any) -> None:
    """A row that another one pushes down keeps the focus, by its address."""
    with person(browser, site, "demo") as page:
        rows = page.locator("main table.wide tbody tr")
        link = rows.nth(0).locator("th a")
        link.focus()
        name = link.inner_text()
        # What the page shows is another order than the server's: the refresh moves the row.
        page.evaluate(
            "const body = document.querySelector('main table.wide tbody');"
            "const focused = document.activeElement;"
            "body.append(body.firstElementChild); focused.focus()"
        )
        expect(rows.nth(0).locator("th a")).to_have_text(name)
        assert page.evaluate("document.activeElement.textContent") == name


def test_runs_are_cards_on_a_telephone(browser: Browser, site: Any) -> None:
    """Nothing of a run stands outside of the window."""
    with person(browser, site, "demo", width=360) as page:
        page.locator("main table.wide tbody th a").first.click()
        table = page.locator("table.runs")
        expect(table).to_be_visible()
        inside = "box => box.scrollWidth <= box.clientWidth"
        assert table.locator("xpath=..").evaluate(inside)
        accessible(page)


def test_queues_are_those_of_the_broker(browser: Browser, site: Any) -> None:
    """What the observer read from the real broker."""
    with person(browser, site, "demo") as page:
        expect(page.locator(".gauges")).to_contain_text("Queue celery")


def test_pictures_are_small() -> None:
    """Each is in the documentation, and none is heavy."""
    found = sorted(path.name for path in PICTURES.glob("dashboard*.png"))
    page = (REPOSITORY / "docs" / "how-to" / "dashboard.md").read_text()
    kinds = ("dark", "light", "narrow", "pipeline")
    assert found == [f"dashboard-{kind}.png" for kind in kinds]
    for name in found:
        assert Path(PICTURES / name).stat().st_size < 250_000, name
        assert f"pictures/{name}" in page
