"""Record the bundled incident: a real node exporter under faults that are really injected.

Needs root on Linux with Debian's prometheus, prometheus-node-exporter, stress-ng and iproute2.
Steady traffic crosses a veth pair into a network namespace of its own, so that the network
fault (tc token bucket) touches nothing else.

    python data/demo/record.py --work /tmp/recording --minutes 52

Leaves WORK/labels.json and WORK/export.json (one range-selector answer a metric), which
`generate.py --recorded WORK` turns into the Parquet files beside this script.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import textwrap
import time
import urllib.parse
import urllib.request
from pathlib import Path

NODE_PORT, PROM_PORT = 19100, 19190
HOST_ADDRESS, PEER_ADDRESS = "10.77.0.1", "10.77.0.2"
METRICS = (
    "node_cpu_seconds_total|node_load1|node_load5|node_memory_(MemTotal|MemAvailable|MemFree|Cached|Dirty|Writeback|AnonPages|Buffers)_bytes"
    "|node_disk_(reads_completed|writes_completed|read_bytes|written_bytes|io_time_seconds)_total"
    "|node_network_(receive|transmit)_(bytes|packets|drop)_total|node_filesystem_(avail|size)_bytes"
    "|node_context_switches_total|node_intr_total|node_forks_total|node_procs_(running|blocked)"
    "|node_pressure_(cpu_waiting|io_waiting|memory_waiting)_seconds_total|node_netstat_Tcp_RetransSegs"
    "|node_sockstat_TCP_inuse|node_vmstat_(pgfault|pgmajfault)|node_boot_time_seconds|up"
)
# (start minute, seconds, kind, what is injected)
FAULTS = [
    (14, 180, "cpu", "stress-ng keeps every core busy"),
    (20, 180, "memory", "stress-ng holds 60% of the memory"),
    (26, 180, "disk", "stress-ng writes and syncs files without pause"),
    (32, 180, "network", "tc throttles the link to 200 kbit/s"),
    (38, 150, "network", "a download forty times the usual rate crosses the link"),
    (44, 180, "cpu", "stress-ng switches context without pause on every core"),
]
TRAFFIC = textwrap.dedent(
    """
    import socket, sys, time
    role, address, rate = sys.argv[1], sys.argv[2], float(sys.argv[3])
    port = int(sys.argv[4])
    if role == "serve":
        server = socket.create_server((address, port))
        while True:
            peer, _ = server.accept()
            try:
                while True:
                    peer.sendall(b"x" * int(rate / 20)); time.sleep(0.05)
            except OSError:
                peer.close()
    while True:
        try:
            with socket.create_connection((address, port), timeout=10) as s:
                while s.recv(65536):
                    pass
        except OSError:
            time.sleep(1)
    """
)


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def lay_link() -> None:
    clear_link()
    run("ip", "netns", "add", "autoops")
    run("ip", "link", "add", "ao0", "type", "veth", "peer", "name", "ao1")
    run("ip", "link", "set", "ao1", "netns", "autoops")
    run("ip", "addr", "add", f"{HOST_ADDRESS}/24", "dev", "ao0")
    run("ip", "link", "set", "ao0", "up")
    run("ip", "netns", "exec", "autoops", "ip", "addr", "add", f"{PEER_ADDRESS}/24", "dev", "ao1")
    run("ip", "netns", "exec", "autoops", "ip", "link", "set", "ao1", "up")


def clear_link() -> None:
    subprocess.run(["ip", "netns", "del", "autoops"], stderr=subprocess.DEVNULL)
    subprocess.run(["ip", "link", "del", "ao0"], stderr=subprocess.DEVNULL)


def traffic(script: Path, rate: float, port: int) -> list[subprocess.Popen]:
    serve = ["ip", "netns", "exec", "autoops", sys.executable, str(script), "serve", PEER_ADDRESS, str(rate), str(port)]
    fetch = [sys.executable, str(script), "fetch", PEER_ADDRESS, "0", str(port)]
    return [subprocess.Popen(serve), subprocess.Popen(fetch)]


def inject(kind: str, what: str, seconds: int, script: Path, work: Path) -> None:
    """Blocks for the length of the fault."""
    if kind == "network" and "throttles" in what:
        # The peer sends; shaping its side is what slows the stream down.
        shape = ["ip", "netns", "exec", "autoops", "tc", "qdisc"]
        run(*shape, "add", "dev", "ao1", "root", "tbf", "rate", "200kbit", "burst", "16kb", "latency", "100ms")
        time.sleep(seconds)
        run(*shape, "del", "dev", "ao1", "root")
    elif kind == "network":
        flood = traffic(script, 40 * 400_000, 17002)
        time.sleep(seconds)
        for process in flood:
            process.kill()
    else:
        flags = {
            "stress-ng keeps": ["--cpu", "0"],
            "stress-ng holds": ["--vm", "2", "--vm-bytes", "60%", "--vm-keep", "--vm-hang", "0"],
            "stress-ng writes": ["--hdd", "2", "--hdd-opts", "fsync", "--hdd-bytes", "512m"],
            "stress-ng switches": ["--switch", "0"],
        }
        chosen = next(v for k, v in flags.items() if what.startswith(k))
        run("stress-ng", *chosen, "--timeout", f"{seconds}s", "--temp-path", str(work), "--quiet")


def export(work: Path, minutes: float) -> None:
    base = f"http://127.0.0.1:{PROM_PORT}/api/v1"
    names = json.load(urllib.request.urlopen(f"{base}/label/__name__/values", timeout=30))["data"]
    import re

    wanted = [n for n in names if re.fullmatch(METRICS, n)]
    out = []
    for name in wanted:
        query = urllib.parse.urlencode({"query": f"{name}[{int(minutes + 5)}m]"})
        out.extend(json.load(urllib.request.urlopen(f"{base}/query?{query}", timeout=60))["data"]["result"])
    (work / "export.json").write_text(json.dumps(out))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=52)
    args = parser.parse_args()
    work: Path = args.work
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    script = work / "traffic.py"
    script.write_text(TRAFFIC)
    (work / "prometheus.yml").write_text(
        "global: {scrape_interval: 5s}\nscrape_configs:\n  - job_name: node\n    static_configs:\n"
        f"      - targets: ['127.0.0.1:{NODE_PORT}']\n        labels: {{host: recorded}}\n"
    )
    lay_link()
    processes = traffic(script, 400_000, 17001)
    processes.append(subprocess.Popen(["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{NODE_PORT}"]))
    processes.append(
        subprocess.Popen(
            [
                "prometheus",
                f"--config.file={work}/prometheus.yml",
                f"--storage.tsdb.path={work}/tsdb",
                f"--web.listen-address=127.0.0.1:{PROM_PORT}",
            ]
        )
    )
    began, labels = time.time(), []
    try:
        for minute, seconds, kind, what in FAULTS:
            time.sleep(max(0.0, began + minute * 60 - time.time()))
            start = time.time()
            inject(kind, what, seconds, script, work)
            labels.append({"start": start, "end": time.time(), "kind": kind, "cause": what})
            (work / "labels.json").write_text(json.dumps(labels, indent=1))
        time.sleep(max(0.0, began + args.minutes * 60 - time.time()))
        export(work, args.minutes)
    finally:
        for process in processes:
            process.terminate()
        clear_link()


if __name__ == "__main__":
    main()
