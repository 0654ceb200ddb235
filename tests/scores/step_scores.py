"""A score that takes a second for each pair after the first."""

import time

calls = 0


def slow(reference, estimate, sample_rate):
    global calls
    calls += 1
    if calls > 1:
        time.sleep(2.0)
    return 1.0


slow.lowest, slow.highest, slow.higher_is_better = 0.0, 1.0, True
