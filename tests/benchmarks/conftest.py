"""Makes the benchmark's modules importable: they are scripts beside the package, not part of it."""

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"
sys.path += [str(BENCHMARKS), str(BENCHMARKS / "plain")]
