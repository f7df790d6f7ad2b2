"""Start-up times: what a person waits for before anything is computed, in fresh processes.

Every figure is the median of wall-clock times, interpreter start included.  The first simulation is measured with the
compile cache filled, as in any process but the very first, and once without it.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

TURNS = 7
FIRST = """from theorycheck.sims import fsl as sgd
from theorycheck.theory import fsl, learning_rates
problem = fsl.PowerLawRegression(source=0.5, capacity=4.0, width=1000, noise=1.0)
sgd.simulate(problem, learning_rates.wsd(100, 0.1), replicas=64, seed=0)"""
COMMANDS = {
    "python -c pass": (["-c", "pass"], None),
    "theorycheck --help": (["-c", "from theorycheck.cli.main import main; main(['--help'])"], 0.5),
    "import theorycheck.theory.fsl": (["-c", "import theorycheck.theory.fsl"], 1.0),
    "first simulation, compiled before": (["-c", FIRST], 2.0),
}
"""What is started, and the seconds it may take."""


def seconds(arguments, **environment):
    """Wall-clock seconds of a fresh interpreter with these arguments."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   env={**os.environ, **environment})
    return time.perf_counter() - start


def main() -> str:
    """Measure, and return the section in Markdown."""
    for arguments, _ in COMMANDS.values():
        seconds(arguments)
    turns = [[seconds(arguments) for arguments, _ in COMMANDS.values()] for _ in range(TURNS)]
    lines = ["## Start-up times", "", "| | seconds | aim |", "|---|---:|---:|"]
    for (title, (_, aim)), column in zip(COMMANDS.items(), zip(*turns)):
        lines.append(f"| {title} | {statistics.median(column):.2f} | {f'< {aim:g}' if aim else ''} |")
    with tempfile.TemporaryDirectory() as cache:
        lines.append(f"| first simulation, nothing compiled | {seconds(['-c', FIRST], NUMBA_CACHE_DIR=cache):.1f} | |")
    lines += ["", f"Medians of {TURNS} fresh processes; load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores."]
    return "\n".join(lines)


if __name__ == "__main__":
    print(main())
