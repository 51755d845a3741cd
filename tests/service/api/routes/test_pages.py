"""The pages for people: what the API says, as HTML, with a working button."""

import re

from tests_support.over_http import Service

from radii.worker.store.models.tables import Worker


def test_the_list_shows_jobs_with_state_and_progress(service: Service) -> None:
    assert "There are no jobs yet" in service.client.get("/").text
    job_id = service.submitted()
    service.work(job_id, most=5)
    html = service.client.get("/").text
    assert f'href="/jobs/{job_id}"' in html
    assert '<span class="state running">running</span>' in html
    assert 'value="0.25"' in html
    assert "5 of 20 inputs" in html


def test_older_jobs_are_on_further_pages(service: Service) -> None:
    dataset = service.dataset()
    made = [service.submitted(dataset=dataset) for _ in range(51)]
    first = service.client.get("/").text
    following = re.search(r'href="(/\?cursor=[^"]+)"', first)
    assert following is not None
    assert made[0] not in first
    assert made[0] in service.client.get(following[1]).text


def test_a_job_can_be_watched_and_cancelled(service: Service) -> None:
    job_id = service.submitted()
    html = service.client.get(f"/jobs/{job_id}").text
    assert 'data-active="yes"' in html
    assert f'action="/jobs/{job_id}/cancel"' in html
    answer = service.client.post(f"/jobs/{job_id}/cancel", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{job_id}")
    html = service.client.get(f"/jobs/{job_id}").text
    assert '<span class="state cancelled">cancelled</span>' in html
    assert 'data-active="no"' in html
    assert "/cancel" not in html


def test_a_job_that_waits_because_no_worker_is_there_says_so(service: Service) -> None:
    ended, job = service.finished(), service.submitted()
    words = "No worker was seen in the last 45 s"
    assert words in service.client.get(f"/jobs/{job}").text
    assert words not in service.client.get(f"/jobs/{ended}").text
    with service.database.write() as session:
        session.add(Worker(id="w", host="h", pid=1, info={}))
    assert words not in service.client.get(f"/jobs/{job}").text


def test_every_kind_and_state_can_be_shown(service: Service) -> None:
    done = service.finished()
    assert f'href="/v1/jobs/{done}/report.html"' in service.client.get(f"/jobs/{done}").text
    pair = {"dataset": service.dataset(), "checkpoint": service.checkpoint()}
    train = {"kind": "train", "dataset": pair["dataset"], "architecture": "digits_cnn", "sigma": 0.25}
    attack = {"kind": "evaluate", **pair, "evaluation": {"name": "attack", "epsilons": [0.0, 0.5]}}
    search = attack | {"evaluation": {"name": "over_confidence"}}
    bodies = [
        train,
        {"kind": "predict", **pair},
        {"kind": "soft_labels", **pair},
        attack,
        search,
        {"kind": "verify", "job": done},
    ]
    made = [service.client.post("/v1/jobs", json=body).json()["id"] for body in bodies]
    conversion = service.client.get(f"/v1/datasets/{service.dataset(state='rejected')}").json()["job"]
    listed = service.client.get("/").text
    for job_id in (*made, conversion):
        assert service.client.get(f"/jobs/{job_id}").status_code == 200
    assert all(f'href="/jobs/{job_id}"' in listed for job_id in made)
    assert "The data set cannot be read: it is empty." in service.client.get(f"/jobs/{conversion}").text


def test_the_list_and_a_job_say_what_is_looked_at_and_of_what(service: Service) -> None:
    pair = {"dataset": service.dataset(), "checkpoint": service.checkpoint()}
    body = {"kind": "evaluate", **pair, "evaluation": {"name": "over_confidence"}}
    job_id = service.client.post("/v1/jobs", json=body).json()["id"]
    for page in ("/", f"/jobs/{job_id}"):
        text = service.client.get(page).text.lower()
        assert "evaluate: over-confidence" in text and "a checkpoint on a dataset" in text


def test_a_mistake_in_a_browser_is_a_page_with_a_way_back(service: Service) -> None:
    for address, words in (
        ("/jobs/job_nope", "job_nope"),
        ("/nothing", "There is nothing at"),
        ("/v1/compare.html", ""),
    ):
        answer = service.client.get(address, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
        assert answer.status_code in (404, 422) and answer.headers["content-type"].startswith("text/html")
        assert words in answer.text and 'href="/"' in answer.text and "content-security-policy" in answer.headers
        plain = service.client.get(address)
        assert plain.headers["content-type"] == "application/problem+json"
    assert service.client.get("/jobs", follow_redirects=False).headers["location"] == "/"


def test_nothing_is_fetched_from_elsewhere_and_only_our_script_may_run(service: Service) -> None:
    answer = service.client.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy
    assert "unsafe-inline'; script" not in policy.replace("style-src 'unsafe-inline'", "")
    assert not re.search(r'(src|href)="(https?:)?//', answer.text)
