#!/usr/bin/env python3
"""What it costs to ask users who they are: a cluster of three of ours and one of etcd's, each open and with auth on, in turns.

    cargo build --release
    scripts/users_cost.py target/release/jangada --etcd ETCD [--rounds N]

The user who asks is not root: permissions are looked at. Everything listens on loopback, lives in a temporary folder and
is gone afterwards.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

BASE_PORT = 22379
WORK = [(work, clients, seconds) for clients, seconds in [(64, 5), (1, 2.5)] for work in ["put", "get"]]


class Servers:
    """Three servers, whoever made them, and whether they are asked by somebody who logs in."""

    def __init__(self, binary, processes, ports):
        self.binary, self.processes = binary, processes
        self.endpoints = ",".join(f"127.0.0.1:{port}" for port in ports)
        for words in [
            "user add root:of-all-1",
            "user add app:of-some-1",
            "role add app",
            "role grant-permission app readwrite / --from-key",
            "user grant-role app app",
        ]:
            self.ctl(*words.split())

    def ctl(self, *words):
        command = [self.binary, "ctl", "--endpoints", self.endpoints, *words]
        for _ in range(100):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode == 0:
                return
            time.sleep(0.1)
        raise SystemExit(f"{command}: {done.stderr}")

    def load(self, work, clients, seconds, user):
        command = [self.binary, "load", "--output", "json", work, "--protocol", "etcd", "--servers", self.endpoints]
        command += ["-c", str(clients), "--connections", str(min(clients, 8)), "-d", f"{int(seconds * 1000)}ms"]
        command += ["--keys", "10000", *(["--user", "app:of-some-1"] if user else [])]
        told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        assert not told["errors"], told
        return told["rate"]

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()


def started(command_of, directory):
    ports = [(BASE_PORT + 2 * number, BASE_PORT + 2 * number + 1) for number in range(3)]
    processes = []
    for number in range(3):
        with open(os.path.join(directory, f"n{number}.log"), "w", encoding="utf-8") as log:
            processes.append(subprocess.Popen(command_of(number, ports), stdout=log, stderr=log))
    return processes, [client for client, _ in ports]


def of_etcd(etcd, directory):
    def command(number, ports):
        client, peer = (f"http://127.0.0.1:{port}" for port in ports[number])
        peers = ",".join(f"n{i}=http://127.0.0.1:{port}" for i, (_, port) in enumerate(ports))
        return [etcd, "--name", f"n{number}", "--data-dir", os.path.join(directory, f"e{number}"),
                "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
                "--initial-advertise-peer-urls", peer, "--initial-cluster", peers, "--log-level", "error"]
    return command


def of_ours(binary, directory):
    def command(number, ports):
        peers = ",".join(f"n{i}=127.0.0.1:{port}" for i, (_, port) in enumerate(ports))
        client, peer = (f"127.0.0.1:{port}" for port in ports[number])
        return [binary, "serve", "--name", f"n{number}", "--data-dir", os.path.join(directory, f"j{number}"),
                "--listen-client", client, "--listen-peer", peer, "--peers", peers]
    return command


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("binary")
    arguments.add_argument("--etcd", default="etcd")
    arguments.add_argument("--rounds", type=int, default=5)
    given = arguments.parse_args()
    global BASE_PORT
    rates = {}
    with tempfile.TemporaryDirectory() as directory:
        clusters = {}
        try:
            for name, command in [("etcd", of_etcd(given.etcd, directory)), ("jangada", of_ours(given.binary, directory))]:
                clusters[name] = Servers(given.binary, *started(command, directory))
                BASE_PORT += 10
            for _ in range(given.rounds):
                for user in [False, True]:
                    for name, cluster in clusters.items():
                        if user:
                            cluster.ctl("auth", "enable")
                        for work in WORK:
                            rates.setdefault((name, *work[:2], user), []).append(cluster.load(*work, user))
                        if user:
                            cluster.ctl("--user", "root:of-all-1", "auth", "disable")
        finally:
            for cluster in clusters.values():
                cluster.end()
    for work, clients, _ in WORK:
        for name in ["etcd", "jangada"]:
            both = [rates[name, work, clients, user] for user in [False, True]]
            ratio = statistics.median(theirs / open_ for open_, theirs in zip(*both))
            told = " | ".join(f"{statistics.median(r):,.0f}/s ({min(r):,.0f} to {max(r):,.0f})" for r in both)
            print(f"| `{work} -c {clients}` | {name} | {told} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
