"""The command `jaxgan train|eval|enhance|sample|compare`, also `python -m jaxgan`."""

import importlib
import sys

COMMANDS = {
    "train": "jaxgan.commands.train",
    "eval": "jaxgan.commands.eval",
    "enhance": "jaxgan.commands.enhance",
    "sample": "jaxgan.commands.sample",
    "compare": "jaxgan.compare",
}
USAGE = f"usage: jaxgan {{{','.join(COMMANDS)}}} [flags]; jaxgan COMMAND --help lists the flags"


def main() -> int:
    """Runs the command that the first argument names. Returns its exit status."""
    name, *flags = sys.argv[1:] or [""]
    if name in ("-h", "--help"):
        print(USAGE)
        return 0
    if name not in COMMANDS:
        print(f"jaxgan {name}: no such command; {USAGE}" if name else USAGE, file=sys.stderr)
        return 2
    sys.argv = [f"jaxgan {name}", *flags]
    status: int = importlib.import_module(COMMANDS[name]).main()
    return status


if __name__ == "__main__":
    sys.exit(main())
