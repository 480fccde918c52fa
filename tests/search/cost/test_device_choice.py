"""The device of a study: chosen once, measured once, recorded; GPUs and measurements are faked."""

import json

import pytest

from tlsearch.base.errors import RecordError, StudyError
from tlsearch.base.gpus import Gpu
from tlsearch.config.device import CPU_PROFILE
from tlsearch.config.load import from_mapping
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.search.cluster.nodes import Node
from tlsearch.search.cost import device_choice
from tlsearch.search.cost.calibration import REMEMBERED
from tlsearch.search.cost.device_choice import chosen_device, device_here

T4, H200 = Gpu("Tesla T4", 15360, 7.5), Gpu("NVIDIA H200", 143771, 9.0)
ANSWER = {"pass_rows": {"strokes": 256}, "jit": ["strokes"]}


@pytest.fixture
def config(tmp_path):
    def build(**changes):
        plain = {
            "data": {"kind": "digits", "image_px": 32},
            "space": {"backbone": ["strokes"], "unfrozen_layers": [0, 40, "all"]},
            "resources": {"gpus_per_trial": 0.5},
            "cache": str(tmp_path / "cache"),
        }
        return from_mapping(plain | changes)

    return build


@pytest.fixture
def cluster(monkeypatch):
    """Return a function that gives the nodes these GPUs (the driver's node has none) and returns
    the list of measurement requests.
    """
    asked = []

    def let_there_be(*gpus_of_nodes, answer=ANSWER):
        nodes = {f"n{place}": gpus for place, gpus in enumerate(gpus_of_nodes)}
        up = [Node(name, name, {"CPU": 4, "GPU": len(gpus)}) for name, gpus in nodes.items()]

        def measuring(config):
            def answering(module, request):
                asked.append(request)
                if isinstance(answer, Exception):
                    raise answer
                return json.loads(json.dumps(answer))

            return answering

        monkeypatch.setattr(device_choice, "nodes_up", lambda: [Node("here", "h", {"CPU": 2}), *up])
        monkeypatch.setattr(device_choice, "this_node", lambda: "here")
        monkeypatch.setattr(
            device_choice, "on_every", lambda calls, _: {n: nodes[n.id] for n in calls}
        )
        monkeypatch.setattr(device_choice, "_in_granted_worker", measuring)
        return asked

    return let_there_be


@pytest.fixture
def home(tmp_path):
    return StudyDirectory(tmp_path / "study")


def test_a_search_on_cpus_asks_no_node_and_measures_nothing(config, home, monkeypatch):
    monkeypatch.setattr(device_choice, "nodes_up", None)
    without = config(resources={})
    assert chosen_device(without, home) == device_here(without) == CPU_PROFILE


def test_a_gpu_is_measured_once_for_all_studies_of_its_kind(config, home, cluster):
    asked = cluster((H200,), (H200, H200))
    first = chosen_device(config(), home)
    assert first.names == ("NVIDIA H200",)
    assert (first.precision, first.pass_rows) == ("mixed_bfloat16", (("strokes", 256),))
    assert first.compiles("strokes")
    assert chosen_device(config(trials=3), home) == first
    assert len(asked) == 1
    assert asked[0]["depths"] == {"strokes": "all"}
    assert asked[0]["compare"]


def test_gpus_of_this_machine_that_the_user_hides_do_not_count(config, home, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setattr(device_choice, "this_node", lambda: "n")
    monkeypatch.setattr(device_choice, "nodes_up", lambda: [Node("n", "n", {"GPU": 1})])
    monkeypatch.setattr(device_choice, "describe_gpus", {"1": (T4,), None: (T4, H200)}.get)
    monkeypatch.setattr(device_choice, "ask_subprocess", lambda *asked: ANSWER)
    monkeypatch.setattr(device_choice, "_in_granted_worker", lambda config: lambda *asked: ANSWER)
    assert chosen_device(config(), home) == device_here(config())
    assert device_here(config()).names == ("Tesla T4",)


@pytest.mark.parametrize(("jit", "compiled"), [("off", False), ("on", True)])
def test_xla_is_not_compared_where_the_user_decides(config, home, cluster, jit, compiled):
    asked = cluster((H200,), answer={"pass_rows": {"strokes": 64}, "jit": []})
    assert chosen_device(config(jit=jit), home).compiles("strokes") == compiled
    assert not asked[0]["compare"]


def test_unlike_gpus_are_not_measured(config, home, cluster):
    asked = cluster((H200,), (T4,))
    profile = chosen_device(config(), home)
    assert (profile.precision, profile.pass_rows, profile.jit) == ("float32", (), ())
    assert asked == []


@pytest.mark.parametrize("text", ["{}", '{"pass_rows": 3}', "[]"])
def test_a_damaged_memory_is_measured_anew(config, home, cluster, text):
    asked = cluster((H200,))
    first = chosen_device(config(), home)
    path = config().cache_path / REMEMBERED
    (key,) = json.loads(path.read_text())
    path.write_text(f'{{"{key}": {text}}}')
    assert chosen_device(config(), home) == first
    assert len(asked) == 2


def test_a_gpu_that_cannot_be_measured_is_used_all_the_same(config, home, cluster, caplog):
    cluster((H200,), answer=StudyError("the backbones could not be measured: no room"))
    profile = chosen_device(config(), home)
    assert (profile.precision, profile.pass_rows) == ("mixed_bfloat16", ())
    assert "no room: the GPU could not be measured and is used with default settings" in caplog.text


def test_a_study_goes_on_as_it_began_and_says_where_the_devices_are_others(
    config, home, cluster, caplog
):
    cluster((H200,))
    began = chosen_device(config(), home)
    home.root.mkdir()
    home.write_about({"name": "study", "metric": "accuracy"}, device=began.to_json())
    assert chosen_device(config(), home) == began
    assert caplog.text == ""
    cluster((T4,))
    assert chosen_device(config(), home) == began
    assert "began on NVIDIA H200 and continues on Tesla T4" in caplog.text
    assert chosen_device(config(resources={}), home) == began
    assert "continues on CPUs" in caplog.text


def test_a_damaged_profile_is_told_with_its_key(home):
    home.root.mkdir()
    home.write_about({"name": "study", "metric": "accuracy"}, device={"pass_rows": 3})
    with pytest.raises(RecordError, match=r"study\.yaml: damaged \(device\.pass_rows: "):
        home.device()
