"""Files that were edited, cut or swapped, through the real commands: is every refusal one line?"""

from nas.benchmarks.mutations.trials import run

__all__ = ["run"]
