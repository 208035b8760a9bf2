"""Tests of the reader of Alibaba's GPU trace, on small files of the same form."""

from pathlib import Path

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.iaas.scheduling.models import Shape
from factory_infra.iaas.scheduling.traces.alibaba import arrivals, read_nodes, read_pods, variants

NODES = "sn,cpu_milli,memory_mib,gpu,model\nn-0,64000,262144,2,P100\nn-1,96000,393216,8,G2\nn-2,32000,65536,0,\n"
HEAD = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n"
PODS = (
    HEAD
    + "p-0,12000,16384,1,1000,,LS,Running,0,12537496,0\n"
    + "p-1,6000,12288,1,460,P100|G2,BE,Failed,427061,427100,\n"
    + "p-2,88000,327680,8,1000,nan,LS,Running,300,900,310\n"
    + "p-3,32000,0,0,0,,BE,Pending,5,5,\n"
)


def wrong(folder: Path, nodes: str = NODES, pods: str = PODS) -> str:
    """What the readers refuse of these files: the reason and the remedy."""
    (folder / "nodes.csv").write_text(nodes)
    (folder / "pods.csv").write_text(pods)
    with pytest.raises(InvalidInput) as refused:
        read_pods(folder / "pods.csv", read_nodes(folder / "nodes.csv"))
    assert refused.value.error_code == "trace_invalid" and refused.value.remedy
    return refused.value.reason


class TestRead:
    def test_nodes_and_pods(self, tmp_path: Path) -> None:
        (tmp_path / "openb_node_list_gpu_node.csv").write_text(NODES)
        for name in ("cpu200", "default"):
            (tmp_path / f"openb_pod_list_{name}.csv").write_text(PODS)
        nodes = read_nodes(tmp_path / "openb_node_list_gpu_node.csv")
        assert [(node.name, node.gpus, node.model) for node in nodes] == [("n-0", 2, "P100"), ("n-1", 8, "G2"), ("n-2", 0, "")]
        assert list(variants(tmp_path)) == ["default", "cpu200"]
        pods = read_pods(variants(tmp_path)["default"], nodes)
        assert [pod.shape for pod in pods] == [
            Shape(12_000, 16_384, 1000, 1),
            Shape(6000, 12_288, 460, 1, frozenset({"P100", "G2"})),
            Shape(88_000, 327_680, 1000, 8),
            Shape(32_000, 0),
        ]
        work = arrivals(pods)
        assert [each.workload.submitted_at for each in work] == [0, 5, 300, 427_061]
        assert [each.actual_seconds for each in work] == [12_537_496, 1, 600, 39]


class TestRefused:
    @pytest.mark.parametrize(
        ("nodes", "pods", "said"),
        [
            ("sn,cpu_milli,gpu,model\nn,1,1,T4\n", PODS, "nodes.csv, line 1: the columns memory_mib are missing"),
            (NODES + "n-0,1,1,1,T4\n", PODS, "nodes.csv, line 5: node n-0 stands twice"),
            (NODES + "n-9,-4,1,1,T4\n", PODS, "nodes.csv, line 5: 'cpu_milli' is -4"),
            (NODES + "n-9,4,1,1,\n", PODS, "nodes.csv, line 5: 'model' is empty"),
            (NODES, PODS.replace(",gpu_milli", ",gpu"), "pods.csv, line 1: the columns gpu_milli are missing"),
            (NODES, HEAD + "p,1,1,9,1000,,LS,Running,0,1,0\n", "pods.csv, line 2: pod p is larger than every node: 9 GPUs"),
            (NODES, HEAD + "p,1,1,2,500,,LS,Running,0,1,0\n", "pods.csv, line 2: it asks for 500 thousandths of 2 GPUs"),
            (NODES, HEAD + "p,1,1,1,1500,,LS,Running,0,1,0\n", "pods.csv, line 2: 'gpu_milli' is 1500"),
            (NODES, HEAD + "p,1,1,1,0,,LS,Running,0,1,0\n", "pods.csv, line 2: 'gpu_milli' is 0"),
            (NODES, HEAD + "p,1,1,1,10,,LS,Running,-5,1,0\n", "pods.csv, line 2: 'creation_time' is -5"),
            (NODES, HEAD + "p,1,1,1,10,,LS,Running,5,1,0\n", "pods.csv, line 2: it is deleted at 1 s, before it is created at 5 s"),
            (NODES, HEAD + "p,x,1,1,10,,LS,Running,5,1,0\n", "pods.csv, line 2: 'cpu_milli' is 'x', no number"),
            (NODES, HEAD + "p,1,1,1\n", "pods.csv, line 2: it has 4 fields"),
            (NODES, HEAD, "pods.csv, line 2: there is no row"),
        ],
    )
    def test_file_line_and_what_is_wrong(self, tmp_path: Path, nodes: str, pods: str, said: str) -> None:
        assert wrong(tmp_path, nodes, pods).startswith(said)

    def test_pods_without_nodes(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="no nodes"):
            read_pods(tmp_path / "pods.csv", ())
