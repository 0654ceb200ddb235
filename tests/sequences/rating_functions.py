"""An objective as a user writes one."""


def share_of_first(lines):
    return [line.count("a") / len(line) if line else float("nan") for line in lines]
