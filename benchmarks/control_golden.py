"""Records short trajectories of Gymnasium's CartPole-v1 and Acrobot-v1, for the tests of jaxgan's.

    pip install gymnasium
    python benchmarks/control_golden.py

The actions are random numbers from a fixed seed. The states, in Gymnasium's precision, the rewards
and the ends go to tests/control/environments/golden.json with the version of Gymnasium.
"""

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).parents[1] / "tests" / "control" / "environments" / "golden.json"
SEED = 5
STEPS = {"CartPole-v1": 60, "Acrobot-v1": 60}
DIGITS = 9


def trajectory(name: str, steps: int) -> dict[str, Any]:
    """Returns one trajectory; it stops after a terminal state.

    Args:
        name: of Gymnasium's environment.
        steps: the most that are made.
    """
    import gymnasium

    environment, random = gymnasium.make(name), np.random.default_rng(SEED)
    observation, _ = environment.reset(seed=SEED)
    found: dict[str, Any] = {
        "states": [_plain(environment.unwrapped.state)],
        "observations": [_plain(observation)],
        "actions": [],
        "rewards": [],
        "terminated": [],
    }
    for _ in range(steps):
        action = int(random.integers(environment.action_space.n))
        observation, reward, terminated, _, _ = environment.step(action)
        found["states"].append(_plain(environment.unwrapped.state))
        found["observations"].append(_plain(observation))
        found["actions"].append(action)
        found["rewards"].append(float(reward))
        found["terminated"].append(bool(terminated))
        if terminated:
            break
    return found


def lifted() -> dict[str, Any]:
    """Returns a trajectory of Acrobot-v1 that reaches the goal by a torque along the velocity."""
    import gymnasium

    environment = gymnasium.make("Acrobot-v1")
    environment.reset(seed=SEED)
    found: dict[str, Any] = {"states": [], "actions": [], "rewards": [], "terminated": []}
    done = False
    while not done:
        state = _plain(environment.unwrapped.state)
        action = 2 if state[3] > 0 else 0
        _, reward, done, _, _ = environment.step(action)
        found["states"].append(state)
        found["actions"].append(action)
        found["rewards"].append(float(reward))
        found["terminated"].append(bool(done))
    found["states"].append(_plain(environment.unwrapped.state))
    last = slice(-11, None)  # of the states; one fewer of all else
    return {
        name: values[last if name == "states" else slice(-10, None)]
        for name, values in found.items()
    }


def _plain(values: Any) -> list[float]:
    return [round(float(value), DIGITS) for value in values]


def main() -> None:
    """Writes the trajectories."""
    golden = {
        "gymnasium": importlib.metadata.version("gymnasium"),
        **{name: trajectory(name, steps) for name, steps in STEPS.items()},
        "Acrobot-v1, the goal": lifted(),
    }
    text = json.dumps(golden)
    for key in ("states", "observations", "actions", "rewards", "terminated"):
        text = text.replace(f'"{key}"', f'\n"{key}"')
    GOLDEN.write_text(text + "\n")
    print(f"wrote {GOLDEN}")


if __name__ == "__main__":
    main()
