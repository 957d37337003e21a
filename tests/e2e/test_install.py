#!/usr/bin/env python3
"""What `cmake --install` puts into a folder works there: programs, manual pages, completion in real shells."""
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from harness import BIN, ROOT, Cluster, Skip, cli, cli_env, in_parallel, main
from terminal import Terminal

BUILD = BIN.parent


@contextlib.contextmanager
def installed():
    if not (BUILD / "cmake_install.cmake").exists():
        raise Skip(f"{BUILD} is no build folder")
    with tempfile.TemporaryDirectory(prefix="autonomy-install-") as folder:
        subprocess.run(["cmake", "--install", str(BUILD), "--prefix", folder], check=True, capture_output=True, text=True)
        yield pathlib.Path(folder)


def need(program):
    if not shutil.which(program):
        raise Skip(f"{program} is not installed")


def run(*arguments, **more):
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False, **more)


def test_installed_programs_run_from_their_folder():
    with installed() as prefix:
        for name in ("bin/autonomy", "sbin/autonomyd"):
            assert run(str(prefix / name), "--version").stdout.startswith(pathlib.Path(name).name), name
        assert run(str(prefix / "sbin/autonomyd"), "--check-config", "--dev").returncode == 0
        documents = prefix / "share/doc/autonomy"
        assert (documents / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
        assert (documents / "docs/runbooks/emergency-rollback.md").exists()
        examples = list((documents / "docs/examples").iterdir())
        assert {e.name for e in examples} == {e.name for e in (ROOT / "docs/examples").iterdir()}, examples
        assert all(os.access(e, os.X_OK) for e in examples), examples
        strangers = [p for p in prefix.rglob("*") if p.is_file() and p.relative_to(prefix).parts[0] not in ("bin", "sbin", "share", "lib")]
        assert not strangers, strangers


def test_man_takes_every_page_without_a_warning():
    need("man")
    need("lexgrog")
    with installed() as prefix:
        pages = sorted((prefix / "share/man").rglob("*.[18]"))
        assert len(pages) >= 12 and {"autonomy.1", "autonomyd.8", "autonomy-top.1"} <= {p.name for p in pages}, pages
        env = dict(os.environ, LC_ALL="C.UTF-8", MANWIDTH="80", MANROFFSEQ="")

        def check(i):
            page = pages[i]
            formatted = run("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(page), env=env)
            assert formatted.returncode == 0 and not formatted.stderr, f"{page.name}: {formatted.stderr}"
            name = run("lexgrog", str(page)).stdout
            assert re.fullmatch(rf'{re.escape(str(page))}: "{page.stem} - [a-z].*[^.]"\n', name), name

        in_parallel(len(pages), check)
        found = run("man", "-M", str(prefix / "share/man"), "-w", "autonomy", "kill-switch")
        assert found.stdout.strip().endswith("man1/autonomy-kill-switch.1"), found
        # autonomyd(8) is written by hand: it has every option that the program has.
        usage = run(str(BIN / "autonomyd"), "--help").stdout
        page = (prefix / "share/man/man8/autonomyd.8").read_text().replace("\\-", "-")
        options = set(re.findall(r"--[a-z][a-z-]+", usage))
        assert options and all(option in page for option in options), options
        codes = re.findall(r"[:;] ?\n?(\d+) ", usage[usage.index("Exit codes"):])
        assert len(codes) >= 5 and all(f".TP\n{code}\n" in page for code in codes), codes


# --- completion ---

BASH = ["bash", "--norc", "--noprofile", "-i"]
BASH_QUIET = "bind 'set bell-style none'; bind 'set show-all-if-ambiguous on'; bind 'set completion-query-items 0'; PS1='> '\n"


def shells(prefix, home):
    """(name, program, environment, first lines)"""
    completions = prefix / "share/bash-completion/completions/autonomy"
    yield "bash", BASH, {}, f"{BASH_QUIET}. {completions}\n"
    library = pathlib.Path("/usr/share/bash-completion/bash_completion")
    if library.exists():  # it finds the file itself, when the command is completed first
        yield "bash with bash-completion", BASH, {"XDG_DATA_DIRS": f"{prefix}/share:/usr/share"}, f"{BASH_QUIET}. {library}\n"
    else:
        print("skip - bash with bash-completion: the package is not installed")
    yield "zsh", ["zsh", "-f", "-i"], {}, (f"PS1='> '; fpath=({prefix}/share/zsh/site-functions $fpath); autoload -Uz compinit; "
                                           f"compinit -u -d {home}/zcompdump\n")
    yield "fish", ["fish", "--no-config", "-i"], {"XDG_DATA_DIRS": f"{prefix}/share:/usr/share"}, (
        f"set -p fish_complete_path {prefix}/share/fish/vendor_completions.d\n")


# What is typed, \t being the key; what the command gets.
TYPED = [("autonomy rollout rec\t--str\tski\t", "rollout recover --strategy skip_failed"),
         ("autonomy ha quo\tstat\t--output js\t", "ha quorum status --output json"),
         ("autonomy rollout plan describe --plan-id dem\t", "rollout plan describe --plan-id demo-1"),
         ("autonomy rollout halt --plan-id demo-1 --stage-id can\t", "rollout halt --plan-id demo-1 --stage-id canary"),
         ("autonomy flags set PROMPT_M\tverbose", "flags set PROMPT_MODE=verbose"),
         ("autonomy kill-switch activate DISABLE_\t", "kill-switch activate DISABLE_NEW"),
         ("autonomy rollback execute --target rollout_st\t--strategy sk\t", "rollback execute --target rollout_stage --strategy skip_failed"),
         ("autonomy support-bundle generate --config-file conf\t", "support-bundle generate --config-file config-of-n1.yaml")]


def complete_in(shell, program, env, first, work):
    with Terminal([], env, program=program, lenient=True, cwd=work) as terminal:
        terminal.type(first)
        terminal.type("autonomy ready\n")
        terminal.wait_for_raw("RAN: ready;", shell)
        for typed, wanted in TYPED:
            for piece in re.findall(r"[^\t]+\t?", typed):
                terminal.type(piece)
                terminal.settle()
            terminal.type("\n")
            terminal.wait_for_raw(f"RAN: {wanted};", f"{shell}: {typed!r}")
        mark = len(terminal.raw)
        terminal.type("autonomy rollout recover --strategy \t\t")
        terminal.wait_for_raw("skip_failed", f"{shell}: all strategies", mark)
        assert "retry" in terminal.raw[mark:] and "rollback" in terminal.raw[mark:], terminal.raw[mark:]


def test_shells_complete_commands_options_values_and_live_names():
    with installed() as prefix, Cluster(1) as cluster:
        env = cli_env(cluster)
        cli(env, "rollout", "plan", "create", "--plan-id", "demo-1", "--artifact", "checkout", "--artifact-version", "2.4.1", "--stage",
            "canary:5%:manual", "--publish")
        work = cluster.folder / "work"
        work.mkdir()
        (work / "config-of-n1.yaml").write_text("")
        # It completes like the real one, and says what it was run with.
        fake = cluster.folder / "bin/autonomy"
        fake.parent.mkdir()
        fake.write_text(f'#!/bin/sh\n[ "$1" = --complete ] && exec {prefix}/bin/autonomy "$@"\necho "RAN: $*;"\n')
        fake.chmod(0o755)
        count = 0
        for shell, program, more, first in shells(prefix, cluster.folder):
            if not shutil.which(program[0]):
                print(f"skip - {shell} completes: it is not installed")
                continue
            complete_in(shell, program, dict(env, **more, PATH=f"{fake.parent}:{os.environ['PATH']}"), first, work)
            count += 1
        assert count > 0, "no shell was tried"
        # With nobody to ask there are no names, no sentence and no long wait.
        alone = dict(env, AUTONOMY_ORCHESTRATOR_URL="http://127.0.0.1:1", AUTONOMY_ORCHESTRATOR_FALLBACK_URLS="", XDG_CACHE_HOME=str(work))
        silent = cli(alone, "--complete", "bash", "autonomy flags get ", "=:")
        assert silent.stdout == "" and silent.stderr == "", silent


main(globals())
