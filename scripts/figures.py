#!/usr/bin/env python3
"""Measures the figures of docs/benchmarks.md on this machine, with real processes and redis-benchmark.

    cargo build --release
    scripts/figures.py target/release/jangada [--only NAME ...] [--rounds N]

Everything listens on loopback, lives in a temporary folder and is gone afterwards. Needs redis-benchmark.
"""

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

BASE_PORT = 21379
TICKS = os.sysconf("SC_CLK_TCK")


class Cluster:
    """Three servers of the binary under test."""

    def __init__(self, binary, directory, servers=3, flags=()):
        self.binary, self.directory, self.servers = binary, directory, servers
        self.began = time.monotonic()
        self.run("up", str(servers), "--base-port", str(BASE_PORT), *flags)

    def run(self, *words, check=True):
        command = [self.binary, "cluster", "--dir", self.directory, *words]
        return subprocess.run(command, check=check, capture_output=True, text=True).stdout

    def names(self):
        return [f"n{i}" for i in range(1, self.servers + 1)]

    def port(self, name):
        return BASE_PORT + 2 * (int(name[1:]) - 1)

    def pid(self, name):
        with open(os.path.join(self.directory, name, "jangada.pid"), encoding="utf-8") as file:
            return int(file.read().split()[0])

    def leader(self):
        """The name of the leader that every living server names."""
        while True:
            for name in self.names():
                try:
                    status = http_status(self.port(name))
                except OSError:
                    continue
                if status["role"] == "leader":
                    return status["name"]
            time.sleep(0.005)

    def cpu_seconds(self):
        total = 0.0
        for name in self.names():
            with open(f"/proc/{self.pid(name)}/stat", encoding="ascii") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            total += (int(fields[11]) + int(fields[12])) / TICKS
        return total

    def rss_mib(self, name):
        with open(f"/proc/{self.pid(name)}/status", encoding="ascii") as file:
            for line in file:
                if line.startswith("VmRSS"):
                    return int(line.split()[1]) / 1024
        return 0.0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.run("down", check=False)


def http_status(port):
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        data = b""
        while chunk := connection.recv(65536):
            data += chunk
    return json.loads(data.split(b"\r\n\r\n", 1)[1])


def set_once(port, key, value, timeout=1.0):
    """One SET; true if it was acknowledged."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
            connection.sendall(
                b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(key), key, len(value), value)
            )
            return connection.recv(4096).startswith(b"+OK")
    except OSError:
        return False


def redis_benchmark(port, *flags):
    command = ["redis-benchmark", "-p", str(port), "--csv", *flags]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().splitlines()
    names = [name.strip('"') for name in lines[0].split(",")]
    values = [value.strip('"') for value in lines[-1].split(",")]
    return dict(zip(names, values))


def throughput(binary, folder, rounds, operations, *flags):
    rates, p50, p99, cpu = [], [], [], []
    for _ in range(rounds):
        with Cluster(binary, os.path.join(folder, "c")) as cluster:
            port = cluster.port(cluster.leader())
            before = cluster.cpu_seconds()
            row = redis_benchmark(port, "-n", str(operations), "-d", "256", *flags)
            cpu.append((cluster.cpu_seconds() - before) / operations * 1e6)
        subprocess.run(["rm", "-rf", os.path.join(folder, "c")], check=True)
        rates.append(float(row["rps"]))
        p50.append(float(row["p50_latency_ms"]))
        p99.append(float(row["p99_latency_ms"]))
    return (
        f"{statistics.median(rates):,.0f}/s (of {rounds}: {min(rates):,.0f} to {max(rates):,.0f}); "
        f"p50 {statistics.median(p50):.2f} ms, p99 {statistics.median(p99):.2f} ms; "
        f"{statistics.median(cpu):.1f} µs CPU an operation, three servers together"
    )


def set_pipelined(binary, folder, rounds):
    return throughput(binary, folder, rounds, 1_000_000, "-t", "set", "-c", "50", "-P", "16")


def set_single(binary, folder, rounds):
    return throughput(binary, folder, rounds, 200_000, "-t", "set", "-c", "50", "-P", "1")


def get_pipelined(binary, folder, rounds):
    return throughput(binary, folder, rounds, 2_000_000, "-t", "get", "-c", "50", "-P", "16")


def one_client(binary, folder, rounds):
    return throughput(binary, folder, rounds, 10_000, "-t", "set", "-c", "1", "-P", "1")


def quantiles(seconds):
    ordered = sorted(seconds)
    high = ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]
    return f"p50 {statistics.median(ordered):.2f} s, p99 {high:.2f} s, worst {ordered[-1]:.2f} s of {len(ordered)}"


def failover(binary, folder, _rounds):
    """kill -9 of the leader until the next acknowledged write, asked for at another server."""
    gaps = []
    with Cluster(binary, os.path.join(folder, "c")) as cluster:
        for attempt in range(20):
            leader = cluster.leader()
            other = next(name for name in cluster.names() if name != leader)
            assert set_once(cluster.port(other), b"before", b"%d" % attempt, 5)
            pid = cluster.pid(leader)
            began = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            while not set_once(cluster.port(other), b"after", b"%d" % attempt):
                pass
            gaps.append(time.monotonic() - began)
            cluster.run("restart", leader)
            while any(http_status(cluster.port(name))["leader"] is None for name in cluster.names()):
                time.sleep(0.02)
    return quantiles(gaps)


def first_write(binary, folder, _rounds):
    """`cluster up 3`, typed, until the first acknowledged write."""
    times = []
    for attempt in range(10):
        directory = os.path.join(folder, f"up{attempt}")
        began = time.monotonic()
        with Cluster(binary, directory) as cluster:
            while not set_once(cluster.port("n1"), b"first", b"write"):
                pass
            times.append(time.monotonic() - began)
    return quantiles(times)


def load_keys(port, count):
    """`count` different keys of 256 B, by one pipelined connection."""
    value = b"v" * 256
    with socket.create_connection(("127.0.0.1", port)) as connection:
        reader = connection.makefile("rb")
        for start in range(0, count, 1000):
            batch = bytearray()
            for number in range(start, min(start + 1000, count)):
                batch += b"*3\r\n$3\r\nSET\r\n$11\r\nkey:%07d\r\n$256\r\n%s\r\n" % (number, value)
            connection.sendall(batch)
            for _ in range(start, min(start + 1000, count)):
                line = reader.readline()
                assert line == b"+OK\r\n", line


def memory(binary, folder, _rounds):
    """Resident memory with 1,000,000 keys of 256 B."""
    with Cluster(binary, os.path.join(folder, "c")) as cluster:
        load_keys(cluster.port(cluster.leader()), 1_000_000)
        while any(http_status(cluster.port(name))["keys"] != 1_000_000 for name in cluster.names()):
            time.sleep(0.1)
        return ", ".join(f"{name} {cluster.rss_mib(name):,.0f} MiB" for name in cluster.names())


def idle(binary, folder, _rounds):
    """CPU of three servers that have nothing to do."""
    with Cluster(binary, os.path.join(folder, "c")) as cluster:
        time.sleep(2)
        before, began = cluster.cpu_seconds(), time.monotonic()
        time.sleep(20)
        share = (cluster.cpu_seconds() - before) / (time.monotonic() - began) / cluster.servers
    return f"{share:.2%} of a core for each server"


def start_up(binary, folder, _rounds):
    """A single server whose log holds 1,000,000 entries of 256 B and no snapshot: start until it answers."""
    directory = os.path.join(folder, "single")
    flags = ["--name", "n1", "--data-dir", directory, "--listen-client", f"127.0.0.1:{BASE_PORT}"]
    flags += ["--listen-peer", f"127.0.0.1:{BASE_PORT + 1}", "--snapshot-log-bytes", str(2 << 30)]
    command = [binary, "serve", *flags]
    log = subprocess.DEVNULL

    def serve():
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=log, stderr=log)
        while not set_once(BASE_PORT, b"started", b"yes", 10):
            assert process.poll() is None, "the server ended"
        return process, time.monotonic() - began

    process, _ = serve()
    load_keys(BASE_PORT, 1_000_000)
    times = []
    for _ in range(5):
        process.kill()
        process.wait()
        process, seconds = serve()
        times.append(seconds)
    process.terminate()
    process.wait()
    return quantiles(times)


FIGURES = {
    "set-pipelined": ("SET 256 B, redis-benchmark -c 50 -P 16", set_pipelined),
    "set-single": ("SET 256 B, -c 50 -P 1", set_single),
    "get-pipelined": ("GET linearizable, -c 50 -P 16", get_pipelined),
    "one-client": ("one client, one SET at a time", one_client),
    "failover": ("kill -9 of the leader to the next acknowledged write", failover),
    "first-write": ("cluster up 3, typed, to the first acknowledged write", first_write),
    "start-up": ("start with 1,000,000 log entries of 256 B (kill -9 before) to the first write", start_up),
    "memory": ("RSS with 1,000,000 keys of 256 B", memory),
    "idle": ("an idle cluster", idle),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("--only", nargs="+", choices=FIGURES, default=list(FIGURES))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    binary = os.path.abspath(arguments.binary)
    for name in arguments.only:
        title, measure = FIGURES[name]
        with tempfile.TemporaryDirectory(prefix="jangada-figures-") as folder:
            print(f"{title}: {measure(binary, folder, arguments.rounds)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
