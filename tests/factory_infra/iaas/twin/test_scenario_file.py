"""A scenario file is strict: what is wrong with it is told with file, line and remedy."""

import json
from pathlib import Path

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.foundation.pools.spec import TwinPool
from factory_infra.foundation.twin.market import Market
from factory_infra.iaas.twin.engine import compare
from factory_infra.iaas.twin.scenario_file import ElasticPart, JobPart, MixPart, PoolPart, ScenarioFile, TracePart, load, read

ROOT = Path(__file__).resolve().parents[4]
WHOLE = """
name: a month
hours: 24
seeds: [1, 2]
pools:
  - {name: main, nodes: 4, hourly_price: 20}
  - name: spot
    nodes: 4
    price_class: spot
    elastic:
      market: {spot: true, on_demand_hourly: 20, in_stock_hours: 10}
      nodes_min: 1
failures: {fleet: rsc-1, scale: 2}
quotas:
  queues:
    - {name: vc-00, guaranteed: {gpus: 8}}
workloads:
  mix: {hours: 24, load: 0.5, deadline_share: 0.2}
policies:
  fair: {placement: first_fit}
  fifo: {placement: first_fit, order: fifo}
"""
JOBS = """
name: jobs
pools:
  - {name: main, nodes: 2}
workloads:
  jobs:
    - name: train
      queue: vision
      hours: 2
      gpus: 8
      members: 2
      deadline_hours: 3
    - {name: serve, queue: speech, hours: 1, gpu_share: 0.5, count: 3, every_minutes: 10}
policies:
  default: {placement: first_fit}
"""


class TestFile:
    def test_comes_to_a_scenario_a_policy(self) -> None:
        file, scenarios = read(WHOLE)
        assert [each.name for each in scenarios] == ["fair", "fifo"] and file.seeds == (1, 2)
        one = scenarios[0]
        assert {name: len(specs) for name, specs in one.pools.items()} == {"main": 4, "spot": 4}
        assert one.elastic["spot"].nodes_min == 1 and one.quotas is not None and one.seconds == 86400
        assert one.drawn(1) != one.drawn(2) and one.drawn(1) == scenarios[1].drawn(1)
        assert {each.workload.deadline_at is None for each in one.drawn(1)} == {True, False}

    def test_runs(self) -> None:
        file, scenarios = read(WHOLE)
        found = compare(scenarios, file.seeds)
        assert len(found.results) == 4 and all(each.counts.finished for each in found.results)

    def test_lists_jobs(self) -> None:
        _, scenarios = read(JOBS)
        arrivals = list(scenarios[0].drawn(0))
        assert [each.workload.id for each in arrivals] == ["train", "serve-00000", "serve-00001", "serve-00002"]
        train, share = arrivals[0].workload, arrivals[1].workload.shape
        assert (train.milli, train.deadline_at, train.seconds) == (16_000, 3 * 3600, 7200) and (share.gpu_milli, share.gpus) == (500, 1)
        assert arrivals[3].workload.submitted_at == 1200
        assert compare(scenarios, [0]).results[0].counts.finished == 4

    def test_reads_a_trace_beside_it(self, tmp_path: Path) -> None:
        folder = tmp_path / "philly"
        folder.mkdir()
        (folder / "cluster_machine_list").write_text("machineId,number of GPUs,single GPU mem\nm1,8,24GB\n")
        attempt = {"start_time": "2017-10-03 01:00:00", "end_time": "2017-10-03 02:00:00", "detail": [{"ip": "m1", "gpus": ["gpu0"]}]}
        job = {"status": "Pass", "vc": "vc1", "jobid": "j1", "attempts": [attempt], "submitted_time": "2017-10-03 00:59:00", "user": "u"}
        (folder / "cluster_job_log").write_text(json.dumps([job]))
        text = "name: p\npools: [{name: a, nodes: 1}]\nworkloads: {trace: {form: philly, folder: philly}}\n"
        (tmp_path / "s.yaml").write_text(text)
        _, scenarios = load(tmp_path / "s.yaml")
        [arrival] = scenarios[0].drawn(3)
        assert (arrival.workload.submitted_at, arrival.actual_seconds) == (0, 3600)


class TestBadInput:
    @pytest.mark.parametrize(
        ("change", "line", "words"),
        [
            (("nodes: 2", "nodes: -2"), 4, "greater than or equal"),
            (("hours: 2\n", "hours: -2\n"), 9, "greater than"),
            (("gpus: 8", "gpus: 8\n      colour: blue"), 11, "colour"),
            (("members: 2", "members: 3"), 7, "larger than every pool"),
            (("members: 2", "members: 2\n      pools: [other]"), 7, "other"),
            (("gpu_share: 0.5", "gpu_share: 0.5, gpus: 2"), 13, "gpu_share"),
            (("members: 2", "members: 2\n      members_min: 3"), 7, "members_min"),
            (("placement: first_fit", "ordr: fifo"), 15, "ordr"),
            (("queue: vision", "queue: Vision!"), 8, "queue"),
            (("name: jobs", "name: jobs\nname: again"), 3, "given twice"),
            (("name: jobs", "name: [jobs"), 3, "expected"),
        ],
    )
    def test_is_refused_with_its_line(self, change: tuple[str, str], line: int, words: str) -> None:
        assert JOBS.count(change[0]) == 1
        with pytest.raises(InvalidInput) as refused:
            read(JOBS.replace(*change), "mine.yaml")
        assert refused.value.error_code == "scenario_invalid" and refused.value.remedy
        assert words in refused.value.reason
        assert refused.value.reason.startswith(f"mine.yaml, line {line}")

    def test_two_sources_of_work_are_refused(self) -> None:
        with pytest.raises(InvalidInput) as refused:
            read(WHOLE.replace("workloads:", "workloads:\n  jobs: [{name: a, queue: b, hours: 1}]"))
        assert "one of mix, trace and jobs" in refused.value.reason

    def test_two_pools_of_one_name_are_refused(self) -> None:
        with pytest.raises(InvalidInput):
            read(WHOLE.replace("name: spot", "name: main"))

    def test_a_cycle_of_quotas_is_refused(self) -> None:
        queues = "{name: a, parent: b}\n    - {name: b, parent: a}"
        with pytest.raises(InvalidInput) as refused:
            read(WHOLE.replace("{name: vc-00, guaranteed: {gpus: 8}}", queues))
        assert refused.value.error_code == "scenario_invalid" and "lies below itself" in refused.value.reason

    def test_a_mix_without_gpus_is_refused(self) -> None:
        with pytest.raises(InvalidInput):
            read("name: x\npools: [{name: a, nodes: 1, gpus: 0}]\nworkloads: {mix: {}}\n")

    def test_a_file_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput) as refused:
            load(tmp_path / "none.yaml")
        assert refused.value.error_code == "scenario_invalid"


def test_a_trace_may_bring_its_own_machines(tmp_path: Path) -> None:
    (tmp_path / "openb_node_list_gpu_node.csv").write_text("sn,cpu_milli,memory_mib,gpu,model\nn0,64000,262144,2,P100\n")
    columns = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time"
    rows = "p0,4000,1024,1,500,,LS,Running,10,20,11\np1,4000,1024,2,1000,,BE,Running,12,50,13\n"
    (tmp_path / "openb_pod_list_default.csv").write_text(f"{columns}\n{rows}")
    text = "name: a\nworkloads: {trace: {form: alibaba, folder: ., machines: true}}\npolicies: {x: {placement: first_fit}}\n"
    _, scenarios = read(text, folder=tmp_path)
    assert len(scenarios[0].pools["trace"]) == 1
    assert [each.workload.submitted_at for each in scenarios[0].drawn(0)] == [0, 2]
    found = compare(scenarios, [0]).results[0]
    assert (found.gpus, found.counts.finished) == (2, 2)
    for wrong in ("machines: false", "machines: true, variant: other"):
        with pytest.raises(InvalidInput):
            read(text.replace("machines: true", wrong), folder=tmp_path)


def test_the_document_names_every_field_and_its_example_is_read() -> None:
    text = (ROOT / "docs" / "twin.md").read_text(encoding="utf-8")
    models = (ScenarioFile, PoolPart, ElasticPart, MixPart, TracePart, JobPart, Market, TwinPool)
    fields = {name for model in models for name in model.model_fields} - {"provider", "scheduling", "slots_max", "idle_reclaim_seconds"}
    assert [name for name in sorted(fields) if f"`{name}`" not in text] == []
    file, scenarios = load(ROOT / "docs" / "examples" / "two-policies.yaml")
    assert [each.name for each in scenarios] == ["fair", "fifo"] and file.seeds
