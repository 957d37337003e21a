#!/usr/bin/env python3
"""Long work shows that it goes on, on a terminal only; Ctrl-C ends it and says what was and wasn't done."""
import os
import re
import signal
import subprocess

from harness import BIN, PATIENCE_S, Cluster, cli, cli_env, main, wait_for
from terminal import Terminal

FLAGS = ["--timeout", "60s"]


def interrupted(env, shown, code, said, *arguments):
    """On a terminal: the line is drawn, Ctrl-C ends it, the line is wiped and the sentence stands."""
    with Terminal([*arguments, *FLAGS], env, columns=200) as terminal:
        terminal.wait_for(shown)
        assert re.search(r"^[-|/\\] .*, \d+ s$", terminal.screen.text(), re.M), terminal.screen.text()
        terminal.type("\x03")
        assert terminal.end() == code, (arguments, terminal.screen.text())
        text = terminal.screen.text()
        assert said in text and "next: " in text, text
        assert not re.search(r", \d+ s$", text, re.M), f"the line is still there: {text}"
        terminal.given_back()
        return text


def quiet_in_a_pipe(env, *arguments):
    process = subprocess.Popen([str(BIN / "autonomy"), *arguments, *FLAGS], env=dict(os.environ, TERM="xterm", **env),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        process.wait(1)
        raise AssertionError(f"{arguments} has ended: {process.communicate()}")
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert out == "" and "\r" not in err and "\x1b" not in err, (out, err)
    return process.returncode, err


def test_long_work_shows_itself_and_is_interrupted_cleanly():
    with Cluster(1) as cluster:
        env = cli_env(cluster)
        folder = cluster.folder / "work"
        folder.mkdir()
        bundle, export = str(folder / "bundle.tar.gz"), str(folder / "export.json")
        cli(env, "flags", "define", "NEW_CART", "--type", "bool", "--default", "false", "--safe", "false")
        node = cluster.nodes[0]
        node.process.send_signal(signal.SIGSTOP)
        # A change that was sent may have happened; the command to repeat is there, with its request id.
        text = interrupted(env, f"waiting for {node.url}", 5, "outcome unknown", "flags", "define", "OTHER", "--type", "bool", "--default",
                           "true", "--safe", "true")
        again = re.search(r"autonomy (flags define .* --request-id \w+)", text)[1]
        interrupted(env, "handing leadership over", 5, "outcome unknown", "ha", "failover", "trigger", "--reason", "drill")
        # What only reads leaves nothing behind.
        interrupted(env, f"waiting for {node.url}", 130, "export.json was not written", "audit", "export", "--output", export)
        interrupted(env, "collecting nodes", 130, "no bundle was written", "support-bundle", "generate", "--output", bundle)
        code, err = quiet_in_a_pipe(env, "flags", "define", "THIRD", "--type", "bool", "--default", "true", "--safe", "true")
        assert code == 5 and "--request-id" in err, (code, err)
        code, err = quiet_in_a_pipe(env, "support-bundle", "generate", "--output", bundle)
        assert code == 130 and "no bundle was written" in err, (code, err)
        code, err = quiet_in_a_pipe(env, "audit", "export")
        assert code == 130 and "not all there is" in err, (code, err)
        assert not list(folder.iterdir()), list(folder.iterdir())
        node.process.send_signal(signal.SIGCONT)
        wait_for("a node that answers", lambda: cli(env, "ha", "status", check=False).returncode == 0)
        # Repeating it is safe, whether it happened or not.
        for _ in range(2):
            cli(env, *again.split())
        assert cli(env, "flags", "get", "OTHER", "--output", "json").stdout.count('"version": 1') == 1
        # Offline, from the folder: the same, and the whole of it afterwards.
        cli(env, "audit", "export", "--audit-dir", str(node.data / "audit"), "--output", export)
        cli(env, "support-bundle", "generate", "--output", bundle)
        assert sorted(p.name for p in folder.iterdir()) == ["bundle.tar.gz", "export.json"]


main(globals())
