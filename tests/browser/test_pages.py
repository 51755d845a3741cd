"""The pages in a real browser: a person follows a job from the list to its report, and cancels another."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests_support.live import running
from tests_support.servers import missing

from radii.rs_core.results.tsv import rounded_down
from radii.service.client.client import Client

pytestmark = pytest.mark.long

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium."""
    found = os.environ.get("RADII_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        missing("Chromium")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("service") / "data") as (url, _):
        yield url


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    page = browser.new_page(base_url=url)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    yield page
    page.close()
    assert errors == []


@pytest.fixture(scope="module")
def pair(url: str) -> tuple[str, str]:
    """A checkpoint and a data set."""
    with Client(url) as client:
        data = client.add_dataset("digits", builtin="digits")
        training = client.train(dataset=data, architecture="digits_cnn", sigma=0.25, epochs=2, learning_rate=0.05)
        return training.wait(check=True).checkpoint_id or "", data.id


def test_a_job_is_followed_from_the_list_to_its_report(
    page: Page, url: str, pair: tuple[str, str], tmp_path: Path
) -> None:
    with Client(url) as client:
        job = client.certify(checkpoint=pair[0], dataset=pair[1], n=1_000, inputs={"count": 40})
        page.goto("/")
        page.get_by_role("link", name=job.id).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Certify")
        # The page keeps itself fresh: no reload here.
        expect(page.locator("h1 .state")).to_have_text("succeeded", timeout=60_000)
        expect(page.get_by_role("button", name="Cancel this job")).to_have_count(0)
        page.get_by_role("link", name="report html").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Certification report")
        acr = client.job(job.id).report().results["acr"]
    # Shown rounded down.
    expect(page.locator("body")).to_contain_text(rounded_down(acr, 4))
    widths = page.locator("img").evaluate_all("images => images.map(image => image.naturalWidth)")
    assert len(widths) == 2 and min(widths) > 0, "both plots are there"


def test_the_page_of_a_job_follows_its_events(page: Page, url: str, pair: tuple[str, str]) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    with Client(url) as client:
        job = client.certify(checkpoint=pair[0], dataset=pair[1], n=1_000_000, inputs={"count": 500})
        page.goto(f"/jobs/{job.id}")
        expect(page.locator("h1 .state")).to_have_text("running", timeout=60_000)
        job.cancel()
    expect(page.locator("h1 .state")).to_have_text("cancelled", timeout=60_000)
    assert asked.count(f"/jobs/{job.id}/events") == 1, "one stream told it all"
    page.wait_for_timeout(2_500)
    before = len(asked)
    page.wait_for_timeout(2_500)
    assert len(asked) == before, "nothing is asked about a job that has ended"


def test_a_page_without_its_events_looks_by_itself(browser: Browser, url: str, pair: tuple[str, str]) -> None:
    page = browser.new_page(base_url=url)
    page.route("**/events", lambda route: route.fulfill(status=404))
    with Client(url) as client:
        job = client.certify(checkpoint=pair[0], dataset=pair[1], n=1_000, inputs={"count": 20})
        page.goto(f"/jobs/{job.id}")
        expect(page.locator("h1 .state")).to_have_text("succeeded", timeout=60_000)
    page.close()


def test_a_running_job_is_cancelled_with_a_button(page: Page, url: str, pair: tuple[str, str]) -> None:
    with Client(url) as client:
        job = client.certify(checkpoint=pair[0], dataset=pair[1], n=1_000_000, inputs={"count": 500})
    page.goto(f"/jobs/{job.id}")
    expect(page.locator("h1 .state")).to_have_text("running", timeout=60_000)
    page.get_by_role("button", name="Cancel this job").click()
    expect(page.locator("h1 .state")).to_have_text("cancelled", timeout=60_000)
    with Client(url) as client:
        assert client.job(job.id).state == "cancelled"


def test_a_job_that_is_not_there_says_so(browser: Browser, url: str) -> None:
    page = browser.new_page(base_url=url)
    answer = page.goto("/jobs/job_none")
    assert answer is not None and answer.status == 404
    page.get_by_role("link", name="All jobs").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    page.close()


def test_pages_fit_a_narrow_window(page: Page, url: str, pair: tuple[str, str]) -> None:
    with Client(url) as client:
        job = client.certify(checkpoint=pair[0], dataset=pair[1], n=1_000, inputs={"count": 5}).wait(check=True)
    page.set_viewport_size({"width": 400, "height": 900})
    compared = f"/v1/compare.html?job={job.id}&published=mnist/gaussian/0.25"
    for address in ("/", f"/jobs/{job.id}", f"/v1/jobs/{job.id}/report.html", compared):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") == 400, address
