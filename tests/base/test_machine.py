"""The name of the processor that numbers were computed on, and the amount of memory."""

from pathlib import Path

from tlsearch.base.machine import cpu_model, machine, memory_bytes, read_cpuinfo
from tlsearch.results.record.directory import StudyDirectory


def test_a_cpu_is_told_by_name_and_generation() -> None:
    text = (
        "processor\t: 0\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n\nprocessor: 1\n"
    )
    assert read_cpuinfo(text) == "AMD EPYC, cpu family 26, model 2"
    assert read_cpuinfo("Hardware : a board\n") is None


def test_gpus_follow_the_cpu() -> None:
    assert cpu_model()
    assert machine(["a GPU"]) == f"{cpu_model()}, a GPU"


def test_a_study_tells_the_machine_that_it_began_on(tmp_path: Path) -> None:
    home = StudyDirectory(tmp_path / "study")
    home.write_about({"name": "pets", "metric": "accuracy"})
    assert home.read_about()["machine"] == machine()


def test_memory_is_what_a_container_may_use(tmp_path: Path) -> None:
    whole = memory_bytes([tmp_path / "none"])
    for printed, expected in (("4096\n", 4096), ("max\n", whole), (f"{2**62}\n", whole)):
        (tmp_path / "limit").write_text(printed)
        assert memory_bytes([tmp_path / "limit"]) == expected
