"""The data source in a plain PySpark session: what users type, and what Spark makes of it."""

from __future__ import annotations

import contextlib
import json
import random
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psutil
import pytest
import requests
from confluent_kafka import Producer
from pyspark.errors import PySparkException
from pyspark.sql import functions as sql

import pacifictool.spark
from pacifictool.analytics.engine.reader import BatchContext, BatchReader
from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.engine.spark import SparkRuntime, SparkSettings
from pacifictool.analytics.state.queries import OffsetRange
from pacifictool.errors import SettingsError
from pacifictool.kafka.topics import CREATE_TIME, LOG_APPEND_TIME, KafkaAdmin
from pacifictool.local.stack import LocalStack
from pacifictool.rest import Platform
from pacifictool.scenario import Scenario
from pacifictool.settings import KafkaEndpoint, MqttEndpoint, Secret, Settings
from tests.integration.spark.script import EXAMPLES, clear_away, play, program, run_program, sit_down, type_in
from tests.support.random_scenarios import random_scenario
from tests.support.record_cases import REJECTED, VALID, mutated
from tests.support.rest import PASSWORD, USERNAME
from tests.support.scripted_platform import Reply, ScriptedPlatform
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.kafka, pytest.mark.timeout(400)]

NOW_MS = 1_795_477_550_000
JWT = re.compile(r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}")
LOG4J = """\
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
appender.file.type = File
appender.file.name = file
appender.file.fileName = {log}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %p %c: %m%n%ex
logger.python.name = org.apache.spark.sql.execution.datasources.v2.python
logger.python.level = debug
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Spark logs."""
    return tmp_path_factory.mktemp("spark")


@pytest.fixture(scope="module")
def spark(folder: Path) -> Iterator[SparkSession]:
    (folder / "events").mkdir()
    log4j = folder / "log4j2.properties"
    log4j.write_text(LOG4J.format(log=folder / "spark.log"), encoding="utf-8")
    session = pacifictool.spark.local_session(
        master="local[2]",
        conf={
            "spark.driver.extraJavaOptions": f"-XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile={log4j.as_uri()}",
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": (folder / "events").as_uri(),
            "spark.ui.port": "0",
            "spark.sql.shuffle.partitions": "2",
            "spark.sql.session.timeZone": "UTC",
            "spark.local.dir": str(folder),
        },
    )
    yield session
    session.stop()


def settings_of(url: str, password: str = "tenant", kafka: str = "127.0.0.1:1") -> Settings:
    return Settings(
        url=url, username=USERNAME, password=Secret(password), mqtt=MqttEndpoint("127.0.0.1", 1),
        kafka=KafkaEndpoint(kafka), platform_kafka=kafka,
    )  # fmt: skip


@pytest.fixture
def settings(stack: LocalStack) -> Settings:
    return settings_of(stack.platform.url, kafka=stack.broker.bootstrap)


@pytest.fixture
def platform(settings: Settings) -> Iterator[Platform]:
    with Platform.connect(settings) as platform:
        yield platform


def source(spark: SparkSession, **options: Any) -> Any:
    return spark.read.format("pacifictool").options(**options)


def sensors(spark: SparkSession, prefix: str, rows: int) -> DataFrame:
    return spark.range(rows).select(
        sql.concat(sql.lit(f"{prefix} "), (sql.col("id") % 3).cast("string")).alias("name"),
        sql.timestamp_millis(sql.col("id") * 1000 + NOW_MS).alias("ts"),
        (sql.col("id") / 4).alias("temperature"),
        sql.when(sql.col("id") % 2 == 0, sql.col("id")).alias("n"),
    )


# --- tables ------------------------------------------------------------------------------------------------------------


def test_a_frame_that_is_written_is_read_back(spark: SparkSession, settings: Settings, unique: str) -> None:
    pacifictool.spark.register(spark, settings)
    frame = sensors(spark, unique, 300)
    writer = frame.write.format("pacifictool").mode("append").option("create", "true")
    writer.option("entity_type", unique).save("timeseries")

    wide = source(spark, entity_type=unique).schema("name string, ts timestamp, temperature double, n bigint")
    assert sorted(wide.load("timeseries").collect()) == sorted(frame.collect())
    series = source(spark, entity_type=unique).load("timeseries")
    part = series.where(
        (sql.col("name") == f"{unique} 1") & (sql.col("key") == "n") & (sql.col("ts") < sql.lit("2026-11-23 23:46:50"))
        & (sql.col("value") > 3)
    )  # fmt: skip
    assert sorted(row.value for row in part.collect()) == [float(n) for n in range(4, 60, 6)]
    assert source(spark).load("devices").where(sql.col("type") == unique).count() == 3
    latest = source(spark, entity_type=unique, keys="temperature").load("latest").agg(sql.max("value")).first()
    assert latest is not None
    assert latest[0] == 299 / 4


def test_spark_says_what_is_wrong(spark: SparkSession, settings: Settings, unique: str) -> None:
    pacifictool.spark.register(spark, settings)

    def said(action: Any) -> str:
        with pytest.raises(PySparkException) as caught:
            action()
        return str(caught.value)

    assert "There is no table 'timeserie' to load. Did you mean 'timeseries'?" in said(
        lambda: source(spark).load("timeserie")
    )
    assert "'kyes' is not an option of the table 'latest'. Did you mean 'keys'?" in said(
        lambda: source(spark, kyes="a").load("latest")
    )
    frame = sensors(spark, unique, 3)
    assert f"There is no device '{unique} " in said(
        lambda: frame.write.format("pacifictool").mode("append").save("timeseries")
    )
    assert 'Use mode "append"' in said(lambda: frame.write.format("pacifictool").mode("overwrite").save("timeseries"))
    assert "the column 'd' of a key cannot be a date" in said(
        lambda: source(spark).schema("name string, d date").load("timeseries").collect()
    ).replace("The column", "the column")


# --- secrets -----------------------------------------------------------------------------------------------------------


def test_neither_password_nor_token_is_shown_anywhere(spark: SparkSession, folder: Path) -> None:
    identifier = str(uuid4())
    device = {
        "id": {"entityType": "DEVICE", "id": identifier}, "tenantId": {"entityType": "TENANT", "id": identifier},
        "createdTime": 1, "name": "Sensor 1", "type": "T",
    }  # fmt: skip
    path = f"/api/plugins/telemetry/DEVICE/{identifier}"
    with ScriptedPlatform() as server:
        server.on("GET", "/api/plugins", Reply(json=[]))
        server.on("GET", "/api/tenant/devices", Reply(json={"data": [device], "hasNext": False}))
        server.on("GET", f"{path}/values/timeseries", Reply(json={"a": [{"ts": 5, "value": "1.5"}]}))
        server.on("POST", f"{path}/timeseries/ANY", Reply(500, body=b"broken"))
        pacifictool.spark.register(spark, settings_of(server.url, PASSWORD))
        frame = source(spark, entity_kind="device", keys="a").load("timeseries")
        with (folder / "explained").open("w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
            frame.explain("extended")
        assert [row.value for row in frame.collect()] == [1.5]
        failing = spark.createDataFrame(
            [(identifier, datetime.now(UTC), 1.0)], "entity_id string, ts timestamp, a double"
        )
        with pytest.raises(PySparkException) as caught:
            failing.write.format("pacifictool").mode("append").save("timeseries")
        assert "Of 1 rows from device" in str(caught.value)
        assert server.logins
        issued = [json.loads(each.body)["password"] for each in server.logins]
        assert set(issued) == {PASSWORD}
    (folder / "error").write_text(str(caught.value) + repr(frame), encoding="utf-8")
    url, app = spark.sparkContext.uiWebUrl, spark.sparkContext.applicationId
    pages = [f"/api/v1/applications/{app}/{page}" for page in ("sql?details=true", "environment", "jobs", "stages")]
    for number, page in enumerate([*pages, "/SQL/", "/environment/", "/jobs/", "/executors/"]):
        (folder / f"page {number}").write_text(requests.get(f"{url}{page}", timeout=30).text, encoding="utf-8")

    shown = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".jar", ".data", ".index")]
    assert {"spark.log", "explained", "error", "page 0"} <= {path.name for path in shown}
    assert any("BatchScan pacifictool" in path.read_text(errors="replace") for path in shown)
    for each in shown:
        text = each.read_text(encoding="utf-8", errors="replace")
        assert PASSWORD not in text, each
        assert JWT.search(text) is None, each


# --- streaming ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "points",
    [
        (1,),  # when two batches are still to come, however slow this machine is
        pytest.param((1, random.Random(17).randrange(1, 450)), marks=pytest.mark.long),  # then anywhere
    ],
    ids=["early", "twice"],
)
def test_a_stream_whose_workers_are_killed_loses_and_doubles_nothing(
    points: tuple[int, ...], spark: SparkSession, settings: Settings, platform: Platform, unique: str, tmp_path: Path
) -> None:
    pacifictool.spark.register(spark, settings)
    batches, rows = 3, 150
    for number in range(batches):
        frame = sensors(spark, unique, batches * rows).where(f"ts >= timestamp_millis({NOW_MS + number * rows * 1000})")
        frame.limit(rows).coalesce(1).write.mode("append").parquet(str(tmp_path / "in"))
    devices = [platform.devices.create(f"{unique} {number}", "T") for number in range(3)]
    wanted = {
        (row.name, round(row.ts.replace(tzinfo=UTC).timestamp() * 1000)): row.temperature
        for row in spark.read.parquet(str(tmp_path / "in")).collect()
    }

    def written() -> dict[tuple[str, int], Any]:
        return {
            (device.name, point.ts_ms): point.value
            for device in devices
            for point in platform.telemetry.range(device, "temperature", 0, 2 * NOW_MS)
        }

    def start() -> Any:
        files = spark.readStream.schema("name string, ts timestamp, temperature double, n bigint")
        stream = files.option("maxFilesPerTrigger", 1).parquet(str(tmp_path / "in"))
        return (
            stream.repartition(2).writeStream.format("pacifictool").trigger(availableNow=True)
            .option("checkpointLocation", str(tmp_path / "checkpoint")).start("timeseries")
        )  # fmt: skip

    def has_written(query: Any, rows: int) -> bool:
        return not query.isActive or len(written()) >= rows

    failures = 0
    for until in points:
        query = start()
        wait_until(partial(has_written, query, until), "rows", 120)
        while query.isActive:
            kill_workers()
            time.sleep(0.02)
        failures += query.exception() is not None
    # As a supervisor would: the first tries may still meet a worker that was killed.
    for _ in range(10):
        query = start()
        with contextlib.suppress(PySparkException):
            query.awaitTermination(120)
        if query.exception() is None:
            break
    assert failures
    assert written() == wanted


def kill_workers() -> None:
    """kill -9 of every Python process that works for Spark, in the middle of whatever it does.

    Not of the daemons that fork them: the session is shared, and after those Spark fails once per idle worker.
    """
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            parent = process.parent()
            if parent and is_spark_python(process) and is_spark_python(parent):
                process.kill()


def is_spark_python(process: psutil.Process) -> bool:
    return any("pyspark.daemon" in part for part in process.cmdline())


# --- the topic ---------------------------------------------------------------------------------------------------------


class Topic:
    """A topic with records, and the job's own reader in the session's JVM."""

    def __init__(self, spark: SparkSession, endpoint: KafkaEndpoint, folder: Path) -> None:
        self.spark, self.endpoint, self.name = spark, endpoint, f"spark-{uuid4().hex[:8]}"
        self._folder = folder

    def write(self, records: list[tuple[bytes | None, int]], *, timestamp_type: str = CREATE_TIME) -> None:
        KafkaAdmin(self.endpoint).create(self.name, partitions=3, replication=1, timestamp_type=timestamp_type)
        producer = Producer({"bootstrap.servers": self.endpoint.bootstrap, "queue.buffering.max.messages": 100_000})
        for number, (value, timestamp) in enumerate(records):
            producer.produce(self.name, value, partition=number % 3, timestamp=timestamp)
            producer.poll(0)
        assert producer.flush(60) == 0

    def as_the_job_reads_it(self, scenario: Scenario) -> tuple[dict[tuple[int, int], str], int, Mapping[str, int]]:
        """Reasons of invalid records by place, how many are without fault, and records by analytics."""
        # As under an outer spark-submit, whose JVM is there already: this session's.
        runtime = SparkRuntime(SparkSettings(Path(), (), environ={"PYSPARK_GATEWAY_PORT": "1"}), self._folder)
        runtime._java_context, runtime._gateway = self.spark.sparkContext._jsc, self.spark.sparkContext._gateway
        reader = BatchReader(runtime, self.endpoint, self.name, RecordRules.of_scenario(scenario))
        ranges = [OffsetRange(part, 0, end) for part, end in KafkaAdmin(self.endpoint).offsets(self.name).items()]
        now_ms = round(datetime.now(UTC).timestamp() * 1000)
        found = reader.read(ranges, BatchContext({}, now_ms, now_ms))
        counts = {each.name: 0 for each in scenario.analytics}
        contents = found.contents()
        for part in contents.partials:
            counts[part.analytics] += part.count
        invalid = {(each.partition, each.offset): each.reason for each in contents.invalid}
        return invalid, found.valid, counts

    def scenario(self, document: dict[str, Any]) -> Scenario:
        return Scenario.model_validate({**document, "forwarding": {**document["forwarding"], "topic": self.name}})


PLAIN = {
    "forwarding": {
        "topic": "any", "attributes": ["geoZone"], "telemetry": ["windSpeed"],
        "valid": {"windSpeed": {"min": 0, "max": 1e9}},
    },
    "analytics": [{"name": "zones", "group_by": ["geoZone"], "window": 10, "telemetry": {"n": "count()"}}],
}  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    ["garbage", "dated by the broker", *(pytest.param(f"random {seed}", marks=pytest.mark.long) for seed in (3, 8))],
)
def test_readings_are_those_that_the_job_counts(
    kind: str, spark: SparkSession, settings: Settings, folder: Path
) -> None:
    topic = Topic(spark, settings.kafka, folder)
    if kind == "garbage":
        values = [*VALID, *(value for value, _ in REJECTED), *mutated(1500)]
        document: dict[str, Any] = PLAIN
        topic.write(
            [
                (value, NOW_MS - 10**9 if number % 7 else 4 * NOW_MS)
                for number, value in enumerate(values)
                if value is None or len(value) < 500_000
            ]
        )
    else:
        case = random_scenario(int(kind[-1]) if kind.startswith("random") else 5, 1500)
        document = case.document
        for each in document["analytics"]:
            each["slide"] = each["window"]  # so that a record counts once
        topic.write(
            [(value, at - 10**9) for value, at in case.records],
            timestamp_type=LOG_APPEND_TIME if kind.startswith("dated") else CREATE_TIME,
        )
    scenario = topic.scenario(document)
    invalid, valid, counts = topic.as_the_job_reads_it(scenario)

    everything = pacifictool.spark.readings(spark, scenario, streaming=False, invalid=True, settings=settings)
    rows = everything.collect()
    reasons = {(row.kafka.partition, row.kafka.offset): row.invalid for row in rows if row.invalid is not None}
    assert reasons == invalid
    assert len(rows) - len(reasons) == valid
    assert len(rows) > 1000
    for each in scenario.analytics:
        keys = [call.key for call in each.telemetry.values()]
        takes = [row for row in rows if row.ts is not None and all(row[key] is not None for key in each.group_by)]
        if None in keys:  # count() takes every record of the group
            assert len(takes) == counts[each.name], each

    counting = pacifictool.spark.readings(spark, scenario, streaming=False, settings=settings)
    assert sorted(map(repr, counting.collect())) == sorted(
        repr(row) for row in everything.where("ts IS NOT NULL").select(counting.columns).collect()
    )


@pytest.mark.long
def test_a_stream_of_readings_goes_on_where_it_stopped(
    spark: SparkSession, settings: Settings, folder: Path, tmp_path: Path
) -> None:
    topic = Topic(spark, settings.kafka, folder)
    topic.write([(b'{"geoZone":"A","windSpeed":%d}' % number, NOW_MS - 10**9) for number in range(30)])
    scenario = topic.scenario(PLAIN)

    def run() -> list[Any]:
        stream = pacifictool.spark.readings(spark, scenario, starting="earliest", settings=settings)
        assert stream.isStreaming
        query = stream.writeStream.format("parquet").option("checkpointLocation", str(tmp_path / "checkpoint"))
        assert query.trigger(availableNow=True).start(str(tmp_path / "out")).awaitTermination(120)
        return sorted(row.windSpeed for row in spark.read.parquet(str(tmp_path / "out")).collect())

    assert run() == list(range(30))
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap})
    producer.produce(topic.name, b'{"geoZone":"A","windSpeed":"99"}')
    assert producer.flush(30) == 0
    assert run() == [*range(30), 99]


def test_a_start_that_is_no_time_is_refused(spark: SparkSession, settings: Settings) -> None:
    with pytest.raises(SettingsError, match="starting: 'soon' is neither a time nor earliest or latest"):
        pacifictool.spark.readings(spark, Scenario.model_validate(PLAIN), starting="soon", settings=settings)


# --- documentation -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cold_rooms(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the examples; the page's commands have been run."""
    folder = tmp_path_factory.mktemp("reader")
    play(stack, folder)
    yield folder
    clear_away(stack, folder)


def test_the_page_does_what_it_says(
    spark: SparkSession,
    stack: LocalStack,
    cold_rooms: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    sit_down(stack, cold_rooms, monkeypatch)
    type_in(program(), cold_rooms)
    shown = capfd.readouterr().out
    for text in ("|ColdRoomSensor|   12|", "|  North|", "Cold Room 1", "last_audit", "|-- humidity: double"):
        assert text in shown, (text, shown)
    with Platform.connect(settings_of(stack.platform.url)) as platform:
        site = platform.assets.find("North")
        assert site is not None
        assert {"minute_mean", "spread"} <= set(platform.telemetry.keys(site)), shown


@pytest.mark.long
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_does_what_it_says(
    example: Path,
    spark: SparkSession,
    stack: LocalStack,
    cold_rooms: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    sit_down(stack, cold_rooms, monkeypatch)
    run_program(example, cold_rooms)
    assert re.search(r"[1-9][0-9]* (readings in the last batch|points)", capfd.readouterr().out)
