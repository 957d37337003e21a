#!/usr/bin/env python3
"""The clients of docs/examples do what docs/clients.md says of them, on a cluster that loses its leader and an answer.

Each of them (curl, Python, Node) is run as it stands there.
"""
import os
import shutil
import socket
import subprocess
import threading

from harness import ROOT, Cluster, Skip, free_base_port, main, make_records, wait_for

EXAMPLES = ROOT / "docs/examples"
NEEDS = {"client.sh": ("bash", "curl", "jq"), "client.py": ("python3",), "client.mjs": ("node",)}


class LosesAnswers:
    """Passes requests on to a node and closes the connection instead of passing the answer back: the outcome is unknown."""

    def __init__(self, node):
        self.node, self.lost = node, 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client, socket.create_connection(("127.0.0.1", self.node.port)) as server:
                client.settimeout(0.5)
                server.settimeout(20)
                try:
                    while data := client.recv(65536):
                        server.sendall(data)
                except TimeoutError:
                    pass  # the whole request is there
                if server.recv(65536):
                    self.lost += 1

    def close(self):
        self.socket.close()


def clients():
    for name, programs in NEEDS.items():
        for program in programs:
            if not shutil.which(program):
                raise Skip(f"NOT CHECKED: no {program} for {name}; tools/test installs Debian's")
    return list(NEEDS)


def environment(urls):
    return dict(os.environ, AUTONOMY_ORCHESTRATOR_URL=urls[0], AUTONOMY_ORCHESTRATOR_FALLBACK_URLS=",".join(urls[1:]),
                AUTONOMY_OPERATOR="client@example.com")


def run(client, urls, *arguments, status=0):
    ended = subprocess.run([str(EXAMPLES / client), *arguments], env=environment(urls), capture_output=True, text=True, timeout=120,
                           stdin=subprocess.DEVNULL, check=False)
    assert ended.returncode == status, f"{client} {arguments}: {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout.strip() if status == 0 else ended.stderr.strip()


class Started:
    """One that runs until it is ended, its lines as they come."""

    def __init__(self, client, urls, *arguments):
        self.client, self.lines = client, []
        self.process = subprocess.Popen([str(EXAMPLES / client), *arguments], env=environment(urls), stdout=subprocess.PIPE, text=True,
                                        stdin=subprocess.DEVNULL, start_new_session=True)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.strip())

    def end(self):
        """With what it started itself: the whole of its session."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, 9)
        self.process.wait()
        self.thread.join()
        self.process.stdout.close()


def basics(client, urls):
    name = client.replace(".", "-")
    assert run(client, urls, "plan", name) == f"{name} active"
    assert "plan_exists" in run(client, urls, "plan", name, status=1)
    assert run(client, urls, "halt", name, "looks wrong") == f"{name} canary halted"
    assert "plan_not_found" in run(client, urls, "halt", "none", "looks wrong", status=1)
    run(client, urls, status=2)
    run(client, urls, "halt", name, status=2)
    key, value, version = run(client, urls, "flag", "PROMPT_MODE", name).split()
    assert (key, value) == ("PROMPT_MODE", f'"{name}"'), value
    assert "version_mismatch" in run(client, urls, "flag", "PROMPT_MODE", "late", str(int(version) - 1), status=1)
    return int(version)


def check_lost_answer(client, node, urls, version):
    """With a key of its own the second attempt would meet version_mismatch: the first one has happened."""
    proxy = LosesAnswers(node)
    try:
        done = run(client, [proxy.url, *urls], "flag", "PROMPT_MODE", "again", str(version))
        assert done.split()[2] == str(version + 1), done
        assert proxy.lost == 1, f"{proxy.lost} answers were lost"
    finally:
        proxy.close()


def numbers(lines):
    return [int(line.split()[0]) for line in lines]


def last_seq(cluster):
    return max(int(n.ask("GET", "/v1/health/audit").json()["audit_seq"]) for n in cluster.nodes)


def check_followers(cluster, urls):
    """Leaders are killed; each follower shows every record once and in order, each waiter the last value."""
    followers = [Started(c, urls[i:] + urls[:i], "follow", "0") for i, c in enumerate(clients())]
    waiters = [Started(c, urls[i:] + urls[:i], "wait", "PROMPT_MODE") for i, c in enumerate(clients())]
    try:
        for turn in range(2):
            leader = cluster.wait_leader()
            leader.kill()
            for client in clients():
                run(client, urls, "flag", "PROMPT_MODE", f"{client}-{turn}")
            leader.start()
            cluster.wait_ready()
        last, value = last_seq(cluster), f'"{clients()[-1]}-1"'
        for one in followers:
            wait_for(f"{one.client} to have shown record {last}", lambda o=one: o.lines and numbers(o.lines[-1:])[0] >= last)
            seen = numbers(one.lines)
            assert seen == list(range(1, len(seen) + 1)), f"{one.client}: {seen}"
        for one in waiters:
            wait_for(f"{one.client} to have shown {value}", lambda o=one: o.lines and o.lines[-1].split()[1] == value)
    finally:
        for one in followers + waiters:
            one.end()
    return last


def check_pruned(cluster, urls):
    """Who comes back too late is told so, and goes on with what there is."""
    make_records(cluster)
    pruned = cluster.client().change("POST", "/v1/audit/prune", {"before_seq": 5, "reason": "r"})
    assert pruned.status == 200 and pruned.json()["first_seq"] == 5, pruned
    for client in clients():
        run(client, urls, "flag", "PROMPT_MODE", "later")  # so that the node that is asked next has seen the prune
        ended = subprocess.run([str(EXAMPLES / client), "follow", "1", "1"], env=environment(urls), capture_output=True, text=True, timeout=60,
                               check=False)
        assert ended.returncode == 0 and numbers(ended.stdout.splitlines()) == [5], ended
        assert 'pruned: {"first_seq":5}' in ended.stderr, ended


def test_clients_ride_out_lost_answers_and_lost_leaders():
    names = clients()
    with Cluster(3) as cluster:
        cluster.wait_ready()
        urls = [n.url for n in cluster.nodes]
        nobody = f"http://127.0.0.1:{free_base_port(1) + 1}"
        for client in names:
            version = basics(client, [nobody, *urls])
            check_lost_answer(client, cluster.nodes[0], urls, version)
            assert run(client, urls, "follow", "0", "3").count("\n") == 2
            assert run(client, urls, "wait", "PROMPT_MODE", "1").split()[1] == '"again"'
        records = check_followers(cluster, urls)
        check_pruned(cluster, urls)
    print(f"{len(names)} clients, {records} records followed through 2 killed leaders")


main(globals())
