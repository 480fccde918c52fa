"""The number of pictures per second that `tlsearch serve` labels, on loopback.

    python tests/benchmarks/serve_load.py BUNDLE PICTURE [--requests N] [--clients C] [--json OUT]

Starts the service in a separate process, sends N requests from C clients that each wait for their
answer, and stops the service.
"""

import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def main() -> None:
    arguments = _arguments()
    port = _free_port()
    service = subprocess.Popen(
        [sys.executable, "-m", "tlsearch.cli.main", "serve", arguments.bundle, "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(port, service)
        result = _measure(arguments, port)
    finally:
        service.terminate()
        service.wait(timeout=30)
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _measure(arguments: argparse.Namespace, port: int) -> dict[str, object]:
    body = arguments.picture.read_bytes()
    for _ in range(10):
        _post(port, body)
    begun = time.perf_counter()
    with ThreadPoolExecutor(arguments.clients) as pool:
        answers = list(pool.map(lambda _: _post(port, body), range(arguments.requests)))
    seconds = time.perf_counter() - begun
    latencies = sorted(ms for _, ms in answers)
    return {
        "requests": len(answers),
        "clients": arguments.clients,
        "cores": os.cpu_count(),
        "refused": sum(status != 200 for status, _ in answers),
        "requests_per_s": round(len(answers) / seconds, 1),
        "p50_ms": round(statistics.median(latencies), 1),
        "p99_ms": round(latencies[int(0.99 * (len(latencies) - 1))], 1),
    }


def _post(port: int, body: bytes) -> tuple[int, float]:
    begun = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/predict", body)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, (time.perf_counter() - begun) * 1000


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int, service: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and service.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise SystemExit("the service did not start")


if __name__ == "__main__":
    main()
