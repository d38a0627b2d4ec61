import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from masterflow.domain.redis_keys import ROUND_AT, WATCH_KEY
from masterflow.repository.redis.gauges import HISTOGRAM_BOUNDS
from masterflow.scripts.outbox_metrics import outbox_metrics
from masterflow.scripts.supervise.ports import free_port
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.tasks.heartbeats import write_heartbeat
from tests.support.eventually import eventually
from tests.support.processes.status_site import PROBE_TOKEN

DEPLOY = Path(__file__).parents[3] / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
RULE_TESTS = DEPLOY / "prometheus" / "alerts_test.yml"
SCRAPING = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
PROBE = {"Authorization": f"Bearer {PROBE_TOKEN}"}


@pytest.fixture(scope="module")
def promtool(debian_package):
    return debian_package("prometheus", "promtool")


@pytest.fixture
def worker_numbers(redis_url):
    """A Redis in which a worker and beat have left what they leave."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.hset("enrichment:counters", mapping={"applied": 3, "dead:invalid": 1, "lag_seconds:le:1": 3})
        for name in ("celery@one", "beat"):
            write_heartbeat(client, name)
        client.hset(WATCH_KEY, ROUND_AT, time.time())
        yield client


def families_of(text):
    return {family.name: family for family in text_string_to_metric_families(text)}


def names_of(text):
    """Return the name of each series in a text that Prometheus reads, also of those without a value yet."""
    families = families_of(text)
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
    return {name + suffix for name, family in families.items() for suffix in suffixes.get(family.type, [""])}


def flower_names():
    """Return the name of each series of Flower's."""
    package = find_spec("flower")
    assert package
    assert package.origin
    source = Path(package.origin).with_name("events.py").read_text()
    kinds = re.findall(r"(Counter|Histogram|Gauge)\(\s*'(flower_\w+)'", source)
    assert len(kinds) == 6
    histograms = [name for kind, name in kinds if kind == "Histogram"]
    buckets = {f"{name}{suffix}" for name in histograms for suffix in ("_bucket", "_sum", "_count")}
    return buckets | {name for kind, name in kinds if kind != "Histogram"}


def test_every_metric_of_the_alerts_and_the_dashboard_is_one_that_is_told(site, worker_numbers):
    told = names_of(site.get("/metrics", headers=PROBE).text) | names_of(outbox_metrics([])) | flower_names()
    queries = [target["expr"] for panel in PANELS for target in panel["targets"]]
    used = set(re.findall(r"\b((?:enrichment|flower)_\w+)", RULES.read_text() + "\n".join(queries)))
    assert len(used) > 20
    assert used - told == set()


def test_what_has_not_happened_yet_is_told_as_0(site, redis_url):
    families = families_of(site.get("/metrics", headers=PROBE).text)
    outcomes = {sample.labels["outcome"]: sample.value for sample in families["enrichment_events"].samples}
    assert outcomes == dict.fromkeys(
        ("applied", "repeated", "skipped", "parked", "unconfirmed", "dead_dropped"), 0
    )
    for name, bounds in HISTOGRAM_BOUNDS.items():
        buckets = [s for s in families[f"enrichment_{name}"].samples if s.name.endswith("_bucket")]
        assert [float(sample.labels["le"]) for sample in buckets] == [*bounds, float("inf")]
        assert {sample.value for sample in buckets} == {0}


def test_what_takes_longer_than_every_bound_is_counted_too(site, worker_numbers):
    fields = {"lag_seconds:le:inf": 2, "lag_seconds:count": 5, "lag_seconds:sum": 9000}
    worker_numbers.hset("enrichment:counters", mapping=fields)
    lag = families_of(site.get("/metrics", headers=PROBE).text)["enrichment_lag_seconds"]
    values = {sample.labels.get("le", sample.name): sample.value for sample in lag.samples}
    assert (values["3600.0"], values["+Inf"]) == (3, 5)
    assert values["enrichment_lag_seconds_count"] == 5


def test_each_alert_fires_when_it_should_and_only_then(promtool):
    for verb, file in (("check", RULES), ("test", RULE_TESTS)):
        done = subprocess.run(
            [promtool, verb, "rules", file], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_test_in_which_it_fires():
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    assert len(alerts) == 23
    fired = set(re.findall(r"alertname: (\w+)\n +exp_alerts:", RULE_TESTS.read_text()))
    assert set(alerts) == fired


@pytest.fixture
def prometheus(debian_package, promtool, tmp_path, site, worker_numbers):
    """A real Prometheus that follows our example, on ports of this test; returns what asks it something."""
    program, port = debian_package("prometheus", "prometheus"), free_port()
    (tmp_path / "token").write_text(PROBE_TOKEN)
    configuration = tmp_path / "prometheus.yml"
    text = SCRAPING.replace("127.0.0.1:8000", site.url.removeprefix("http://"))
    text = text.replace("/etc/prometheus/enrichment-probe-token", str(tmp_path / "token"))
    text = text.replace("alerts.yml", str(RULES))
    configuration.write_text(f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n{text}")
    subprocess.run([promtool, "check", "config", configuration], check=True, capture_output=True)
    options = [f"--config.file={configuration}", f"--web.listen-address=127.0.0.1:{port}"]
    options += [f"--storage.tsdb.path={tmp_path / 'data'}", "--log.level=error"]

    def ask(path, **parameters):
        url = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except OSError as error:
            return {"error": str(error)}

    with SupervisedProcess([program, *options], log=tmp_path / "prometheus.log"):
        eventually(lambda: value_of(ask, "enrichment_redis_up") == "1", timeout_s=60)
        yield ask


def value_of(ask, query):
    """Return the first value of a query, or None."""
    result = ask("query", query=query).get("result")
    return result[0]["value"][1] if result else None


def test_a_real_prometheus_reads_our_metrics_and_every_query(prometheus):
    targets = {target["labels"]["job"]: target for target in prometheus("targets")["activeTargets"]}
    assert targets.keys() == {"enrichment-status", "enrichment-flower", "enrichment-outbox"}
    assert targets["enrichment-status"]["health"] == "up"
    eventually(lambda: all(rule["health"] == "ok" for rule in rules_of(prometheus)), timeout_s=30)
    assert not [
        rule["name"] for rule in rules_of(prometheus) if rule["state"] == "firing" and rule["duration"]
    ]
    for panel in PANELS:
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", "1m")
            assert "error" not in prometheus("query", query=query), query
    assert value_of(prometheus, "count(enrichment_heartbeat_age_seconds)") == "2"


def rules_of(prometheus):
    [group] = prometheus("rules")["groups"]
    return group["rules"]


def test_the_dashboard_is_one_that_grafana_can_import():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    [source] = DASHBOARD["templating"]["list"]
    assert (source["name"], source["type"]) == ("datasource", "datasource")
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
        place = panel["gridPos"]
        assert 0 < place["w"] <= 24 - place["x"]


def test_no_two_panels_lie_on_each_other():
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"], panel["title"]
