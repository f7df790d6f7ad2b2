"""Run every benchmark of this folder and write its tables to RESULTS.md: ``python -m benchmarks [NAME ...]``.

A benchmark is a module with ``main()`` that returns a section in Markdown, or that and a list of ratios
``(task, peer, ours, theirs, times faster)``, all text but the last.  The ratios of all benchmarks make one table, which
heads the file when everything was measured in one run.  With names, only those sections are measured again; the others
stay as they are, and the table goes.  So does a section stay that could not be measured here.
"""

import importlib
import pkgutil
import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "RESULTS.md"
TITLE = "# Benchmarks\n\nWritten by `python -m benchmarks`; each section was measured in one run on one machine.\n"


def sections(text):
    """Split RESULTS.md into ``{benchmark name: section}`` by its marker comments."""
    parts = re.split(r"<!-- benchmark: (\w+) -->\n", text)
    return dict(zip(parts[1::2], (part.strip() + "\n" for part in parts[2::2])))


def table(ratios):
    """All ratios as one Markdown table."""
    lines = ["| task | peer | ours | peer's | times faster |", "|---|---|---:|---:|---:|"]
    lines += [f"| {task} | {peer} | {ours} | {theirs} | {ratio:.3g} |" for task, peer, ours, theirs, ratio in ratios]
    return "\n".join(lines) + "\n"


def main(names):
    """Measure the named benchmarks (all without names); return the exit status."""
    known = sorted(module.name for module in pkgutil.iter_modules([str(FOLDER)]) if not module.name.startswith("_"))
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"benchmark is {unknown[0]!r}; it must be one of {', '.join(known)}", file=sys.stderr)
        return 2
    kept = sections(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    ratios = []
    for name in names or known:
        print(f"== {name}", flush=True)
        found = importlib.import_module(f"benchmarks.{name}").main()
        section, compared = (found, []) if isinstance(found, str) else found
        ratios += compared
        print(section, flush=True)
        if name not in kept or "Nothing was measured" not in section:
            kept[name] = section.strip() + "\n"
    body = [f"<!-- benchmark: {name} -->\n{kept[name]}" for name in sorted(kept) if name in known]
    head = [TITLE] if names else [TITLE, table(ratios)]
    RESULTS.write_text("\n".join([*head, *body]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
