#!/usr/bin/env python3
"""--watch of the status commands: one line a change in a pipe, a screen on a terminal, through dead nodes."""
import json
import os
import queue
import subprocess
import threading

from harness import BIN, PATIENCE_S, Cluster, cli, cli_env, main, wait_for
from terminal import Terminal

# Every command that has --watch, with what it needs besides.
WATCHED = [["ha", "status"], ["ha", "quorum", "status"], ["ha", "members", "list"], ["rollout", "plan", "list"],
           ["rollout", "plan", "describe", "--plan-id", "demo"], ["rollout", "stuck"], ["flags", "list"], ["flags", "get", "PROMPT_MODE"],
           ["kill-switch", "list"], ["audit", "query", "--limit", "5"]]


class Watch:
    """A command with --watch in a pipe; its lines come through a queue."""

    def __init__(self, env, *arguments):
        whole = dict(os.environ, ASAN_OPTIONS="detect_leaks=1", **env)
        self.process = subprocess.Popen([str(BIN / "autonomy"), *arguments], env=whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True)
        self.lines = queue.Queue()
        threading.Thread(target=lambda: [self.lines.put(line) for line in self.process.stdout], daemon=True).start()

    def line(self):
        return self.lines.get(timeout=PATIENCE_S)

    def nothing(self, for_s):
        try:
            raise AssertionError(f"a line without a change: {self.lines.get(timeout=for_s)}")
        except queue.Empty:
            pass

    def end(self):
        code = self.process.wait(PATIENCE_S)
        return code, self.process.stderr.read()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()


def every_status_command_is_watched(env):
    shown = cli(env, "--help-markdown").stdout
    assert shown.count("`--watch [DURATION]`") == len(WATCHED), "a command is missing here, or has no --watch"
    for arguments in WATCHED:
        with Watch(env, *arguments, "--output", "json", "--watch") as watch:
            json.loads(watch.line())


def a_change_is_one_line(cluster, env):
    with Watch(env, "flags", "get", "PROMPT_MODE", "--watch", "1s", "--output", "json") as watch:
        assert json.loads(watch.line())["value"] == "compact"
        watch.nothing(for_s=1.5)  # some looks, no change
        cli(env, "flags", "set", "RESEARCH_LAYER=false", "--reason", "another flag")
        watch.nothing(for_s=0.5)
        cli(env, "flags", "set", "PROMPT_MODE=verbose", "--reason", "this one")
        assert json.loads(watch.line())["value"] == "verbose"
        cluster.nodes[0].kill()  # the one that it asks
        cli(env, "flags", "set", "PROMPT_MODE=other", "--reason", "after a death", "--timeout", "20s")
        assert json.loads(watch.line())["value"] == "other"
        cluster.nodes[0].start()
        cluster.wait_ready()
    with Watch(env, "flags", "get", "PROMPT_MODE", "--watch") as watch:  # as text: whole documents, a blank line between
        lines = [watch.line() for _ in range(2)]
        assert lines[0].split() == ["Key:", "PROMPT_MODE"], lines
        cli(env, "flags", "set", "PROMPT_MODE=last", "--reason", "text")
        wait_for("the next document", lambda: watch.line() == "\n")
        assert watch.line().split() == ["Key:", "PROMPT_MODE"]


def the_end_says_why(env):
    code, text = (run := cli(env, "rollout", "plan", "describe", "--plan-id", "nothing", "--watch", check=False)).returncode, run.stderr
    assert code == 1 and "nothing" in text and "autonomy rollout plan list" in text, text
    piped = subprocess.run(f"'{BIN}/autonomy' ha quorum status --watch 200ms | head -n 1", shell=True, check=True,
                           env=dict(os.environ, **env), capture_output=True, text=True, timeout=PATIENCE_S)
    assert piped.stdout == "Quorum Status\n" and not piped.stderr, piped  # it ends with its reader, though nothing changes
    wrong = cli(env, "ha", "status", "--watch", "1ms", check=False)
    assert wrong.returncode == 2 and "200ms to 60s" in wrong.stderr, wrong.stderr


def a_screen_outlives_the_servers(cluster, env):
    with Terminal(["rollout", "plan", "list", "--watch", "500ms"], env) as watch, \
            Watch(env, "ha", "quorum", "status", "--watch", "500ms", "--output", "json") as piped:
        watch.wait_for("the plan", lambda s: s.alternate and "demo" in s.text())
        json.loads(piped.line())
        cli(env, "rollout", "plan", "pause", "--plan-id", "demo")
        watch.wait_for("paused")
        for node in cluster.nodes:
            node.kill()
        watch.wait_for("the error above the last look", lambda s: "no server answered" in s.text() and "as of" in s.text()
                       and "paused" in s.text())
        code, text = piped.end()
        assert code == 3 and "no server answered" in text, (code, text)
        for node in cluster.nodes:
            node.start()
        cluster.wait_ready()
        watch.wait_for("the plan again", lambda s: "as of" not in s.text() and "paused" in s.text())
        watch.type("q")
        assert watch.end() == 0
        watch.given_back()
    with Terminal(["flags", "get", "NO_SUCH", "--watch"], env) as watch:  # a wrong name is no reason to take the screen
        assert watch.end() == 1
        assert "NO_SUCH" in watch.raw and "\x1b[?1049h" not in watch.raw, watch.raw


def test_watch_prints_changes_and_draws_screens_through_dead_nodes():
    with Cluster(3) as cluster:
        env = cli_env(cluster)
        cli(env, "rollout", "plan", "create", "--plan-id", "demo", "--artifact", "checkout", "--artifact-version", "2.4.1", "--stage",
            "canary:5%:manual", "--publish")
        every_status_command_is_watched(env)
        a_change_is_one_line(cluster, env)
        the_end_says_why(env)
        a_screen_outlives_the_servers(cluster, env)


main(globals())
