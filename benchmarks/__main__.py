"""Run every benchmark of this folder and write its tables to RESULTS.md: ``python -m benchmarks [NAME ...]``.

A benchmark is a module with ``main() -> str`` that returns a section in Markdown.  With names, only those sections
are measured again; the others stay as they are.
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


def main(names):
    """Measure the named benchmarks (all without names); return the exit status."""
    known = sorted(module.name for module in pkgutil.iter_modules([str(FOLDER)]) if not module.name.startswith("_"))
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"benchmark is {unknown[0]!r}; it must be one of {', '.join(known)}", file=sys.stderr)
        return 2
    kept = sections(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name in names or known:
        print(f"== {name}", flush=True)
        kept[name] = importlib.import_module(f"benchmarks.{name}").main().strip() + "\n"
        print(kept[name], flush=True)
    body = [f"<!-- benchmark: {name} -->\n{kept[name]}" for name in sorted(kept) if name in known]
    RESULTS.write_text("\n".join([TITLE, *body]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
