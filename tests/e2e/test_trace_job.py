"""The whole path of a reading, through a running job, to the asset; and every problem that can stop it there.

One job serves all tests; tests that break it come last.
"""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pacifictool.analytics.state.lock import is_held
from pacifictool.scenario import load_scenario
from pacifictool.trace.hops import TITLES
from tests.support.command_line import Outcome
from tests.support.deployments import Deployment, deployments
from tests.support.fault_rig import Job
from tests.support.faulty_proxy import FaultyProxy
from tests.support.job_folders import job_checkpoint, job_identity
from tests.support.waiting import SOON_SECONDS, wait_until

pytestmark = [pytest.mark.spark, pytest.mark.kafka]

WINDOW_MS = 2000
WITH_QUOTE = """
[[devices]]
name = "Quote"
attributes = { geoZone = 'No"rth' }
telemetry = { windSpeed = { min = 30, max = 35 } }
"""
"""A device that `setup` refuses for a server of 1.x, whose templates escape nothing; any client can create it."""
DEVICES = """
[[devices]]
name = "Storm"
attributes = { geoZone = "North" }
telemetry = { windSpeed = { min = 2000, max = 2010 } }
"""
HOPS = list(TITLES)
CLOCK = r"\d\d:\d\d:\d\d(?:\.\d{3})?"


@dataclass
class Works:
    """Both platforms, the job of the first, and the proxy through which it posts."""

    deployments: dict[int, Deployment]
    proxy: FaultyProxy
    checkpoint: Path
    job: Job

    @property
    def first(self) -> Deployment:
        return self.deployments[1]

    @property
    def at_proxy(self) -> dict[str, str]:
        return {"PACIFICTOOL_URL": f"http://127.0.0.1:{self.proxy.port}"}

    def trace(self, *arguments: str, through_proxy: bool = True) -> Outcome:
        """Along the first job."""
        environ = self.at_proxy if through_proxy else {}
        return self.first.trace("--checkpoint", str(self.checkpoint), *arguments, environ=environ)


@contextlib.contextmanager
def job_of(deployment: Deployment, *options: str, environ: Mapping[str, str] | None = None) -> Iterator[Job]:
    """`pacifictool aggregate`, which counts from the first record on; killed at the end."""
    command = [sys.executable, "-m", "pacifictool", "aggregate", "--master", "local[1]", "--memory", "512m"]
    command += ["--starting-offsets", "earliest", *options]
    job = Job(command, {**deployment.environ, **(environ or {})}, deployment.folder / "job.log")
    try:
        yield job
    finally:
        job.kill()


def wait_until_held(pattern: Path) -> None:
    """Until a job has the checkpoint, or one of those that the pattern means; Spark starts after that."""
    wait_until(lambda: any(is_held(folder) for folder in pattern.parent.glob(pattern.name)), seconds=60)


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    folder = tmp_path_factory.mktemp("works")
    checkpoint = folder / "job"
    with (
        deployments(folder, window="2s", valid="{ min = 0, max = 1000 }", devices=DEVICES) as both,
        FaultyProxy(both[1].platform.http_port) as proxy,
    ):
        environ = {"PACIFICTOOL_URL": f"http://127.0.0.1:{proxy.port}"}
        with job_of(both[1], "--checkpoint", str(checkpoint), environ=environ) as job:
            wait_until_held(checkpoint)
            yield Works(both, proxy, checkpoint, job)


@pytest.fixture
def with_fault(works: Works) -> Iterator[Works]:
    """Afterwards, the job's posts get through again."""
    yield works
    works.proxy.break_off()  # also the connections to which the proxy itself responded
    works.proxy.heal()


def assert_stops(outcome: Outcome, hop: str, cause: str, said: str) -> Any:
    """Its document; checks the exit code, code, hops and sentence."""
    document = outcome.document
    assert (outcome.code, document["ok"], document["cause"]) == (1, False, cause), document
    stopped = HOPS.index(hop)
    statuses = ["ok"] * stopped + ["failed"] + ["skipped"] * (len(HOPS) - stopped - 1)
    assert [item["status"] for item in document["hops"]] == statuses
    assert re.search(said, document["reason"]), document["reason"]
    assert document["fix"]
    assert document["mend"] == document["fix"]
    return document


def test_the_whole_way_with_the_time_at_each_hop(works: Works) -> None:
    # The job may still be starting, which takes a while on a busy machine.
    assert_walked(works.first, works.trace("--timeout", "120s"), works.job)


def assert_walked(deployment: Deployment, outcome: Outcome, job: Job) -> None:
    """Every hop with its time and message."""
    document = outcome.document
    assert (outcome.code, document["ok"], document["cause"]) == (0, True, None), (document, job.said)
    assert [(hop["hop"], hop["status"]) for hop in document["hops"]] == [(hop, "ok") for hop in HOPS]
    seconds = {hop["hop"]: hop["seconds"] for hop in document["hops"]}
    assert (seconds["ready"], seconds["matched"]) == (None, None)
    assert max(seconds["accepted"], seconds["stored"], seconds["kafka"]) < 3
    assert seconds["kafka"] < seconds["counted"] <= seconds["posted"] <= seconds["readable"] <= document["seconds"]

    details = {hop["hop"]: hop["detail"] for hop in document["hops"]}
    counted = re.fullmatch(rf"zone 'North', window ({CLOCK}) to ({CLOCK}) UTC", details["counted"])
    assert counted is not None
    shown_time = re.search(rf"timestamp ({CLOCK}) UTC", details["kafka"])
    assert shown_time is not None
    assert counted[1] <= shown_time[1] < counted[2]
    assert details["posted"].startswith("zone 'North' to rest http://127.0.0.1:")
    readable = re.fullmatch(r"(\d+\.\d+) on asset 'North'", details["readable"])
    assert readable is not None

    # What it says is readable is what REST gives for that window: of the one reading, its value.
    asset = deployment.tenant.get("/api/tenant/assets?assetName=North")["id"]["id"]
    query = f"startTs=1&endTs={round(time.time() * 1000) + 10_000}&interval=0&limit=1000"
    path = f"/api/plugins/telemetry/ASSET/{asset}/values/timeseries?keys=windSpeed&{query}"
    posted = {float(point["value"]): point["ts"] for point in deployment.tenant.get(path)["windSpeed"]}
    mean = float(readable[1])
    assert mean == document["value"]
    assert posted[mean] % WINDOW_MS == 0
    assert 0 < posted[mean] - document["ts"] <= WINDOW_MS + 4000  # it is sent with the time of a second ago


def test_a_window_that_is_still_open_is_waited_for_until_its_end(works: Works) -> None:
    for _ in range(5):
        time.sleep(2.02 - time.time() % 2)  # a window has just begun
        document = works.trace("--timeout", "200ms").document
        if document["cause"] == "window-open":
            break
    assert document["cause"] == "window-open", document
    said = re.fullmatch(
        rf"The job waits: the window ends at ({CLOCK}) UTC, in [012] s, and its mean is posted about a second later\.",
        document["reason"],
    )
    assert said is not None
    end_ms = (document["ts"] + 1000) // WINDOW_MS * WINDOW_MS + WINDOW_MS  # it is sent with the time of a second ago
    assert said[1] == time.strftime("%H:%M:%S", time.gmtime(end_ms / 1000))
    assert document["fix"] == "Nothing is wrong. Give it more time: --timeout"


def test_a_reading_outside_the_valid_range(works: Works) -> None:
    said = r"^The record is invalid for the job: windSpeed is not within 0 and 1000\. It is '\{\"geoZone\":\"North\""
    document = assert_stops(works.trace("--device", "Storm"), "counted", "rejected", said)
    assert "Widen `valid`" in document["fix"]


def test_an_attribute_that_breaks_the_record(works: Works, tmp_path: Path) -> None:
    first = works.first
    first.tenant.device("Quote")
    first.set_attributes("Quote", {"deviceType": "WeatherStation", "geoZone": 'No"rth'})
    scenario = tmp_path / "quote.toml"
    scenario.write_text(first.scenario_path.read_text("utf-8") + WITH_QUOTE, "utf-8")
    outcome = works.trace("--device", "Quote", "--scenario", str(scenario))
    said = r"^The record is invalid for the job: not one valid JSON value\. It is '\{\"geoZone\":\"No\"rth\""
    document = assert_stops(outcome, "counted", "rejected", said)
    assert "Correct the device's attributes" in document["fix"]


def test_a_platform_that_is_down_for_the_job(with_fault: Works) -> None:
    with_fault.proxy.respond(503)
    said = (
        rf"^The window ended \d+ s ago, but the job could not deliver its mean to rest http://127.0.0.1:"
        rf"{with_fault.proxy.port}\. The job keeps the mean and retries\."
    )
    outcome = with_fault.trace("--timeout", "8s", through_proxy=False)
    document = assert_stops(outcome, "posted", "delivery-failing", said)
    assert "Nothing is lost" in document["fix"]
    with_fault.proxy.break_off()
    with_fault.proxy.heal()
    with_fault.job.wait_to_say("Results are delivered again")


def test_a_platform_that_refuses_the_mean(with_fault: Works) -> None:
    with_fault.proxy.respond(400, "Big integer values are not supported!")
    said = r"^The target \(rest http://.+\) refuses the mean of zone 'North': .*Big integer values"
    assert_stops(with_fault.trace(through_proxy=False), "posted", "result-refused", said)


def test_an_asset_that_somebody_has_renamed(works: Works) -> None:
    asset = works.first.tenant.get("/api/tenant/assets?assetName=North")
    works.first.tenant.post("/api/asset", {**asset, "name": "Northern"})
    try:
        said = r"^The mean is on the asset 'Northern', whose name was 'North' when the job began"
        assert_stops(works.trace(), "readable", "asset-renamed", said)
    finally:
        works.first.tenant.post("/api/asset", {**asset, "name": "North"})


def test_a_job_that_posts_to_another_platform(works: Works) -> None:
    """The 4.x platform forwards to the topic of the first job, which knows only its own platform."""
    fourth = works.deployments[4]
    environ = {"PACIFICTOOL_SCENARIO": str(works.first.scenario_path)}
    fourth.change_kafka_node(topicPattern="winds1")
    try:
        outcome = fourth.trace("--checkpoint", str(works.checkpoint), environ=environ)
        said = rf"^The job posts to http://127.0.0.1:{works.proxy.port}, but this trace reads from {fourth.platform.url}\.$"
        assert_stops(outcome, "readable", "job-other-platform", said)
    finally:
        fourth.change_kafka_node(topicPattern="winds4")


def test_a_job_of_another_topic(works: Works) -> None:
    outcome = works.deployments[4].trace("--checkpoint", str(works.checkpoint))
    said = r"^The job in .+ reads another topic: winds1 \(.+\), not winds4 \(.+\)\.$"
    document = assert_stops(outcome, "counted", "job-other-topic", said)
    assert "--checkpoint" in document["fix"]


def test_a_checkpoint_in_which_no_job_has_run(works: Works, tmp_path: Path) -> None:
    outcome = works.first.trace("--checkpoint", str(tmp_path / "nothing"))
    said = r"^No job has run with the checkpoint .+: the records in Kafka are not counted\.$"
    document = assert_stops(outcome, "counted", "job-not-running", said)
    assert document["fix"].startswith("Start it: pacifictool aggregate")


def test_a_job_that_began_behind_the_reading(works: Works, tmp_path: Path) -> None:
    """What such a job leaves in its folder: its identity, and where it starts."""
    topic = works.first.admin.describe("winds1")
    assert topic is not None
    scenario = load_scenario(works.first.scenario_path)
    with job_checkpoint(tmp_path / "later", scenario) as later:
        later.check_identity(job_identity(scenario, topic_id=topic.topic_id))
        later.store.set_starting_offsets({0: 1_000_000})
        outcome = works.first.trace("--checkpoint", str(later.folder))
    said = r"^The job in .+ began after this reading, and a new job counts only what comes later\.$"
    document = assert_stops(outcome, "counted", "job-starts-later", said)
    assert document["fix"] == "Trace again, now that the job runs."


@pytest.mark.long
def test_the_whole_way_through_a_4x_platform_and_a_job_that_is_found_by_itself(works: Works) -> None:
    fourth = works.deployments[4]
    with job_of(fourth) as job:
        wait_until_held(fourth.folder / "state" / "jobs" / "*")
        assert_walked(fourth, fourth.trace("--timeout", "120s"), job)


@pytest.mark.long
def test_a_job_that_shows_its_means_elsewhere(works: Works) -> None:
    folder = works.first.folder / "console"
    with job_of(works.first, "--sink", "console", "--checkpoint", str(folder)):
        wait_until_held(folder)
        outcome = works.first.trace("--checkpoint", str(folder), "--timeout", "120s")
    assert_stops(outcome, "readable", "results-elsewhere", r"^The job's means go to console, not to the platform\.$")


def test_ctrl_c_ends_it_within_two_seconds(works: Works) -> None:
    job = works.job.java()
    job.suspend()
    command = [sys.executable, "-m", "pacifictool", "trace", "--checkpoint", str(works.checkpoint)]
    process = subprocess.Popen(
        command, env={**works.first.environ, **works.at_proxy}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    time.sleep(4)
    assert process.poll() is None
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert time.monotonic() - began < SOON_SECONDS
    assert process.returncode == 130
    assert b"Interrupted." in stderr
    job.resume()


def test_a_job_that_makes_no_progress(works: Works) -> None:
    job = works.job.java()
    job.suspend()
    said = r"^The job in .+ runs, but has not reached offset \d+ of partition 0 yet: it is at \d+\.$"
    document = assert_stops(works.trace("--timeout", "4s"), "counted", "job-behind", said)
    assert "--timeout" in document["fix"]
    job.resume()


def test_a_job_that_has_stopped(works: Works) -> None:
    works.job.kill()
    said = r"^No job is running any more with the checkpoint .+: the records in Kafka are not counted\.$"
    document = assert_stops(works.trace(), "counted", "job-not-running", said)
    assert document["fix"].startswith("Start it: pacifictool aggregate")
