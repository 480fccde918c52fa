"""What the journal keeps of a trial's last result."""

from tlsearch.search.propose.searcher import noted


def test_the_record_numbers_nodes_and_names_no_host() -> None:
    workers = [noted({"hostname": host, "pid": 7})["worker"] for host in ("ada", "bob", "ada")]
    number = int(workers[0].split()[1].rstrip(","))
    other = number + 1
    assert workers == [f"node {n}, process 7" for n in (number, other, number)]


def test_a_worker_that_the_record_names_keeps_its_name() -> None:
    assert noted({"worker": "node 3, process 9"})["worker"] == "node 3, process 9"
    assert noted({})["worker"] == ""
