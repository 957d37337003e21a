"""promtool, Prometheus' own checker: from the PATH, or where tools/test has unpacked it (build/promtool)."""
import shutil
import subprocess

from harness import ROOT, Skip

UNPACKED = ROOT / "build/promtool/usr/bin/promtool"


def promtool(*arguments, stdin=None, cwd=None):
    """Runs it. Its words come back when it is content; else the test fails with them."""
    program = shutil.which("promtool") or (str(UNPACKED) if UNPACKED.exists() else None)
    if program is None:
        raise Skip("NOT CHECKED: no promtool; tools/test unpacks Debian's, or install the package prometheus")
    ended = subprocess.run([program, *arguments], input=stdin, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, f"promtool {' '.join(map(str, arguments))} ({ended.returncode}):\n{said}"
    return said
