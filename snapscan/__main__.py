"""`python -m snapscan` and the `snapscan` command."""

from __future__ import annotations

import os
import sys


def main() -> None:
    # Before numpy is imported: threads of a linear algebra that we never use would be in the way of the forks.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    if sys.argv[1:] == ["--version"]:  # answered without loading anything: scripts ask often
        from snapscan import __version__

        print(f"snapscan {__version__}")
        return
    from snapscan.cli.main import run

    sys.exit(run())


if __name__ == "__main__":
    main()
