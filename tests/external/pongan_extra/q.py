import numpy as np
import tensorflow as tf

from core.plugin import Agent
from envs import make


class TabularQ(Agent):
    def __init__(self, config, context):
        self.config, self.environment, self.clock = config, config.env, 0
        self.env = make(config.env, 1, context.seed)
        self.rng = np.random.default_rng(context.seed)
        self.q = tf.Variable(np.zeros((self.env.observation_space.n, self.env.action_space.n)))
        self.env.reset()

    def act(self, observations, memory, rng, *, greedy):
        return self.q.numpy()[observations].argmax(axis=1), memory

    def step(self):
        rewards, q = [], self.q.numpy().copy()
        for _ in range(20):
            s = self.env.obs.copy()
            explores = self.rng.random() < self.config.epsilon
            a = self.rng.integers(q.shape[1], size=1) if explores else q[s].argmax(axis=1)
            step = self.env.step(a)
            following = step.final_obs
            target = step.reward + 0.99 * (1 - step.terminated) * q[following].max(axis=1)
            q[s, a] += self.config.lr * (target - q[s, a])
            rewards.append(float(step.reward[0]))
            self.clock += 1
        self.q.assign(q)
        return {"rollout/reward": np.array(rewards), "value/mean": q.mean()}

    def measures(self):
        return {"eval/states_seen": float((self.q.numpy() != 0).any(axis=1).sum())}

    def state(self):
        return {"q": self.q, "rng": self.rng, "env": self.env, "clock": self.clock}

    def close(self):
        self.env.close()
