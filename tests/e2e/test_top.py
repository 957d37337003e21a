#!/usr/bin/env python3
"""autonomy top on a real terminal (a pty), against a real cluster, a leader's death included."""
import json
import os
import signal
import subprocess

from harness import BIN, Cluster, cli, cli_env, main, wait_for
from terminal import Terminal

WIDE = "漢字かな交じり文 \u202e\x1b[2J\x07 и ещё"  # a reason that would break a careless screen


def prepare(env):
    cli(env, "rollout", "plan", "create", "--plan-id", "demo", "--artifact", "checkout", "--artifact-version", "2.4.1", "--stage",
        "canary:5%:manual", "--publish")
    cli(env, "kill-switch", "define", "cart", "--prefix", "CART_")
    cli(env, "kill-switch", "activate", "cart", "--reason", WIDE)


def shows_all(screen):
    text = screen.text()
    return all(word in text for word in ("write-ready", "n1", "n2", "n3", "demo", "canary", "manual", "cart", "rollout.plan.created"))


def row_of(screen, name):
    return next((line.split() for line in screen.lines() if line.split()[:1] == [name]), [])


def follows_a_dead_leader(cluster, env):
    leader = cluster.wait_leader()
    others = [n for n in cluster.nodes if n is not leader]
    with Terminal(["top", "--interval", "300ms"], dict(env, AUTONOMY_ORCHESTRATOR_URL=leader.url)) as top:
        top.wait_for("everything", shows_all)
        assert top.screen.alternate and not top.screen.cursor
        assert top.screen.coloured, "no colour on a terminal"
        assert "asked " + leader.name in top.screen.text()
        leader.kill()
        top.wait_for("the dead node", lambda s: "no answer" in s.text() or "unreachable" in s.text())
        successor = cluster.wait_leader(other_than=leader)
        assert successor in others
        top.wait_for("the successor", lambda s: row_of(s, successor.name)[1:2] == ["leader"] and "asked " + successor.name in s.text()
                     and "write-ready" in s.text())
        assert row_of(top.screen, leader.name)[1] == "-", row_of(top.screen, leader.name)
        leader.start()
        top.wait_for("all of them", lambda s: all(row_of(s, n.name)[2:3] == ["ok"] for n in cluster.nodes))
        top.type("q")
        assert top.end() == 0
        top.given_back()


def leaves_the_terminal_as_it_was(env):
    for how, code in (("\x03", 0), (signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGHUP, 128 + signal.SIGHUP)):
        with Terminal(["top"], env) as top:
            top.wait_for("everything", shows_all)
            if isinstance(how, str):
                top.type(how)
            else:
                top.signal(how)
            assert top.end() == code, (how, top.process.returncode)
            top.given_back()
    with Terminal(["top"], env) as top:  # Ctrl-Z and back
        top.wait_for("everything", shows_all)
        top.type("\x1a")
        wait_for("stopped", lambda: top.read(0) and open(f"/proc/{top.process.pid}/stat").read().split()[2] == "T")
        while top.read(0) and top.screen.alternate:
            pass
        top.given_back()
        top.signal(signal.SIGCONT)
        top.wait_for("everything again", lambda s: s.alternate and shows_all(s))
        top.type("q")
        assert top.end() == 0
        top.given_back()


def fits_every_size(env):
    sizes = {(5, 20): lambda s: "write-ready" in s.lines()[0] and s.lines()[2].startswith("NODE"),
             (9, 31): lambda s: "write-ready" in s.lines()[0] and "n3" in s.text(),
             (1, 1): lambda s: s.text() == "w", (4, 300): lambda s: "CHANGES/S" in s.text(),
             (60, 23): lambda s: "cart" in s.text() and "demo" in s.text() and "rollout.plan" in s.text()}
    for (rows, columns), fits in sizes.items():
        with Terminal(["top"], dict(env, NO_COLOR="1"), rows, columns) as top:
            top.wait_for(f"{rows} x {columns}", fits)
            top.type("q")
            assert top.end() == 0
            assert not top.screen.coloured, "colour in spite of NO_COLOR"
            top.given_back()
    with Terminal(["top", "--interval", "1h"], env, rows=3, columns=9) as top:
        top.wait_for("its beginning", lambda s: s.lines()[0] == "write-rea")
        top.resize(40, 120)
        top.wait_for("its head, drawn anew", lambda s: "quorum healthy" in s.text())
    with Terminal(["top", "--interval", "200ms"], env) as top:
        top.wait_for("everything", shows_all)
        assert "漢字かな交じり文??[2J?иещё" in top.screen.text().replace(" ", ""), top.screen.text()
        top.resize(5, 20)
        top.wait_for("the small one", lambda s: "write-ready" in s.lines()[0] and s.lines()[2].startswith("NODE"))
        top.resize(50, 150)
        top.wait_for("everything again", shows_all)
    with Terminal(["top"], env, term="dumb") as top:  # cannot move its cursor: one look as text
        assert top.end() == 0
        assert "\x1b" not in top.raw and "demo" in top.raw, top.raw


def says_when_nobody_answers(cluster, env):
    with Terminal(["top", "--interval", "200ms"], env) as top:
        top.wait_for("everything", shows_all)
        # One that hangs keeps its connections: the leader notices all the same.
        hanging, dead = [n for n in cluster.nodes if n is not cluster.wait_leader()]
        hanging.process.send_signal(signal.SIGSTOP)
        top.wait_for("the hanging node", lambda s: row_of(s, hanging.name)[2:3] == ["unreachable"] and "quorum degraded" in s.text())
        hanging.process.send_signal(signal.SIGCONT)
        top.wait_for("it answers again", lambda s: row_of(s, hanging.name)[2:3] == ["ok"])
        hanging.kill()
        dead.kill()
        top.wait_for("what is missing", lambda s: "1 of 3 voters is in contact, 2 are needed: bring back " in s.text()
                     and "NO WRITES" in s.text())
        assert "1 of 3 voters" in cli(env, "ha", "status").stdout
        for node in cluster.nodes:
            node.kill()
        top.wait_for("no node answers since")
        for node in cluster.nodes:
            node.start()
        top.wait_for("everything again", shows_all)
        top.type("q")
        assert top.end() == 0


def prints_elsewhere(env):
    once = cli(env, "top", "--interval", "200ms")
    assert "\x1b" not in once.stdout and "demo" in once.stdout and "cart" in once.stdout, once.stdout
    assert once.stdout.count("write-ready") == 1
    assert cli(env, "top", "--interval", "200ms", "--count", "2").stdout.count("write-ready") == 2
    lines = cli(env, "top", "--output", "json", "--count", "3", "--interval", "200ms").stdout.splitlines()
    looks = [json.loads(line) for line in lines]
    assert len(looks) == 3 and all(look["answered"] and look["write_ready"] for look in looks)
    assert all(isinstance(m["reads_per_s"], (int, float)) for look in looks for m in look["members"]), looks[0]["members"]
    assert [s["name"] for s in looks[0]["kill_switches"]] == ["cart"] and looks[0]["plans"][0]["plan_id"] == "demo"
    piped = subprocess.run(f"'{BIN}/autonomy' top --count 0 --interval 100ms --output json | head -n 2", shell=True, check=True,
                           env=dict(os.environ, **env), capture_output=True, text=True, timeout=60)
    assert len(piped.stdout.splitlines()) == 2 and not piped.stderr, piped
    wrong = cli(env, "top", "--interval", "1ms", check=False)
    assert wrong.returncode == 2 and "100ms" in wrong.stderr
    nobody = cli({"HOME": env["HOME"], "AUTONOMY_ORCHESTRATOR_URL": "http://127.0.0.1:1"}, "top", check=False)
    assert nobody.returncode == 3 and "no server answered" in nobody.stderr, nobody


def test_top_shows_the_cluster_through_a_leaders_death_and_gives_the_terminal_back():
    with Cluster(3) as cluster:
        env = cli_env(cluster)
        prepare(env)
        prints_elsewhere(env)
        leaves_the_terminal_as_it_was(env)
        fits_every_size(env)
        follows_a_dead_leader(cluster, env)
        says_when_nobody_answers(cluster, env)


main(globals())
