"""DQN and PPO for CartPole-v1 in PyTorch, as in CleanRL's single files, for control_speed.py.

The environments are Gymnasium's, stepped one after the other on the host; the networks run on the
CPU. Hyper-parameters, and the numbers of environments and of updates, are those of a jaxgan config.
"""

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from ml_collections import ConfigDict
from torch import nn
from torch.distributions import Categorical


def open_environments(config: ConfigDict) -> tuple[SyncVectorEnv, np.ndarray, int]:
    """Returns the environments of a config, their first observations [n, D], and the actions.

    The step that ends an episode begins the next one.
    """
    makers = [lambda: gymnasium.make(config.env)] * config.environments
    environments = SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)
    first, _ = environments.reset(seed=config.seed)
    return environments, first, int(environments.single_action_space.n)


def perceptron(sizes: tuple[int, ...], activation: type[nn.Module]) -> nn.Sequential:
    """Returns linear layers with an activation after each but the last."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


class TorchDQN:
    """DQN with a target network and uniform replay.

    Args:
        config: of configs/dqn.py.
    """

    def __init__(self, config: ConfigDict) -> None:
        self._config = config
        self._environments, self._seen, self._actions = open_environments(config)
        size = self._seen.shape[1]
        self._online = perceptron((size, *config.widths, self._actions), nn.ReLU)
        self._target = copy.deepcopy(self._online)
        self._optimizer = torch.optim.Adam(self._online.parameters(), lr=config.learning_rate)
        self._random = np.random.default_rng(config.seed)
        capacity = config.replay_capacity
        self._rows = {
            "seen": np.zeros((capacity, size), np.float32),
            "following": np.zeros((capacity, size), np.float32),
            "action": np.zeros(capacity, np.int64),
            "reward": np.zeros(capacity, np.float32),
            "terminated": np.zeros(capacity, np.float32),
        }
        self.steps, self.updates = 0, 0

    def play(self, steps: int) -> None:
        """Plays steps of all environments together, and learns as often as the config says."""
        config = self._config
        for _ in range(steps // config.environments):
            self._act()
            if self.steps > config.learning_starts and self.steps % config.train_every == 0:
                self._learn()
            if self.steps % config.target_every == 0:
                self._target.load_state_dict(self._online.state_dict())

    def _act(self) -> None:
        config, count = self._config, self._config.environments
        start, end = config.epsilon_start, config.epsilon_end
        epsilon = max(start + (end - start) * self.steps / config.exploration_steps, end)
        with torch.no_grad():
            actions = self._online(torch.as_tensor(self._seen)).argmax(dim=1).numpy()
        explores = self._random.random(count) < epsilon
        anything = self._random.integers(self._actions, size=count)
        actions = np.where(explores, anything, actions)
        observed, reward, terminated, truncated, info = self._environments.step(actions)
        following = observed.copy()
        for place in np.flatnonzero(terminated | truncated):
            following[place] = info["final_obs"][place]
        first = self.steps % config.replay_capacity
        of_step = {
            "seen": self._seen,
            "following": following,
            "action": actions,
            "reward": reward,
            "terminated": terminated,
        }
        for name, values in of_step.items():
            self._rows[name][first : first + count] = values
        self._seen = observed
        self.steps += count

    def _learn(self) -> None:
        config = self._config
        held = min(self.steps, config.replay_capacity)
        places = self._random.integers(held, size=config.batch_size)
        rows = {name: torch.as_tensor(values[places]) for name, values in self._rows.items()}
        with torch.no_grad():
            best = self._target(rows["following"]).max(dim=1).values
            goals = rows["reward"] + config.gamma * best * (1 - rows["terminated"])
        taken = self._online(rows["seen"]).gather(1, rows["action"][:, None])[:, 0]
        loss = nn.functional.mse_loss(goals, taken)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self.updates += 1


class TorchPPO:
    """PPO with the thirteen details.

    Args:
        config: of configs/ppo.py.
    """

    def __init__(self, config: ConfigDict) -> None:
        self._config = config
        self._environments, seen, actions = open_environments(config)
        self._seen = torch.as_tensor(seen)
        self._ended = torch.zeros(config.environments)
        size = seen.shape[1]
        self._policy = perceptron((size, *config.widths, actions), nn.Tanh)
        self._value = perceptron((size, *config.widths, 1), nn.Tanh)
        for network, last in ((self._policy, 0.01), (self._value, 1.0)):
            layers = [layer for layer in network if isinstance(layer, nn.Linear)]
            for layer in layers:
                scale = last if layer is layers[-1] else 2**0.5
                nn.init.orthogonal_(layer.weight, scale)
                nn.init.zeros_(layer.bias)
        self._parameters = [*self._policy.parameters(), *self._value.parameters()]
        self._optimizer = torch.optim.Adam(self._parameters, lr=config.learning_rate, eps=1e-5)
        self._random = np.random.default_rng(config.seed)
        self.steps, self.updates = 0, 0

    def play(self, steps: int) -> None:
        """Plays steps of all environments together, and learns after every rollout."""
        config = self._config
        for _ in range(steps // (config.rollout * config.environments)):
            remaining = 1 - self.steps / config.annealing_steps
            self._optimizer.param_groups[0]["lr"] = max(remaining, 0.0) * config.learning_rate
            rollout = self._roll_out()
            flat = {name: values.flatten(0, 1) for name, values in rollout.items()}
            for _ in range(config.epochs):
                for places in self._minibatches(len(flat["action"])):
                    self._learn({name: values[places] for name, values in flat.items()})

    def _minibatches(self, count: int) -> Iterator[Any]:
        order = self._random.permutation(count)
        size = self._config.batch_size
        return (order[start : start + size] for start in range(0, count, size))

    def _roll_out(self) -> dict[str, torch.Tensor]:
        config = self._config
        names = ("seen", "action", "log_probability", "value", "reward", "ended")
        rows: dict[str, list[torch.Tensor]] = {name: [] for name in names}
        for _ in range(config.rollout):
            with torch.no_grad():
                policy = Categorical(logits=self._policy(self._seen))
                action = policy.sample()
                log_probability = policy.log_prob(action)
                value = self._value(self._seen)[:, 0]
            observed, reward, terminated, truncated, _ = self._environments.step(action.numpy())
            rewards = torch.as_tensor(reward, dtype=torch.float32)
            of_step = self._seen, action, log_probability, value, rewards, self._ended
            for name, values in zip(names, of_step, strict=True):
                rows[name].append(values)
            self._seen = torch.as_tensor(observed)
            self._ended = torch.as_tensor(terminated | truncated, dtype=torch.float32)
            self.steps += config.environments
        stacked = {name: torch.stack(values) for name, values in rows.items()}
        with torch.no_grad():
            after, ended = self._value(self._seen)[:, 0], self._ended
        advantages, advantage = torch.zeros_like(stacked["reward"]), torch.zeros_like(after)
        for step in reversed(range(config.rollout)):
            going_on = config.gamma * (1 - ended)
            error = stacked["reward"][step] + going_on * after - stacked["value"][step]
            advantage = error + going_on * config.gae_lambda * advantage
            advantages[step] = advantage
            after, ended = stacked["value"][step], stacked["ended"][step]
        return {**stacked, "advantage": advantages}

    def _learn(self, rows: dict[str, torch.Tensor]) -> None:
        config, clip = self._config, self._config.clip
        policy = Categorical(logits=self._policy(rows["seen"]))
        log_probability = policy.log_prob(rows["action"])
        ratio = (log_probability - rows["log_probability"]).exp()
        advantage = rows["advantage"]
        returns = advantage + rows["value"]
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        clipped_ratio = ratio.clamp(1 - clip, 1 + clip)
        objective = torch.min(ratio * advantage, clipped_ratio * advantage).mean()
        value = self._value(rows["seen"])[:, 0]
        clipped = rows["value"] + (value - rows["value"]).clamp(-clip, clip)
        error = torch.max((value - returns) ** 2, (clipped - returns) ** 2).mean() / 2
        entropy = policy.entropy().mean()
        loss = -objective + config.value_weight * error - config.entropy_weight * entropy
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._parameters, config.max_gradient_norm)
        self._optimizer.step()
        self.updates += 1
