import numpy as np

from envs import make


class TabularQ:
    def __init__(self, config, context):
        self.config, self.context, self.clock = config, context, 0
        self.env = make(config.env, 1, context.seed)
        self.rng = np.random.default_rng(context.seed)
        self.q = np.zeros((self.env.observation_space.n, self.env.action_space.n))
        self.env.reset()

    def act(self, observations):
        return self.q[observations].argmax(axis=1)

    def step(self):
        rewards = []
        for _ in range(20):
            s = self.env.obs.copy()
            a = self.rng.integers(self.q.shape[1], size=1) if self.rng.random() < self.config.epsilon else self.act(s)
            step = self.env.step(a)
            following = step.final_obs
            target = step.reward + 0.99 * (1 - step.terminated) * self.q[following].max(axis=1)
            self.q[s, a] += self.config.lr * (target - self.q[s, a])
            rewards.append(float(step.reward[0]))
            self.clock += 1
        return {"rollout/reward": np.array(rewards), "value/mean": self.q.mean()}

    def evaluate(self):
        env = make(self.config.env, 4, 99)
        obs, total, live = env.reset(), np.zeros(4), np.ones(4, bool)
        while live.any():
            step = env.step(self.act(obs), live)
            obs, total, live = step.obs, total + step.reward, live & ~step.done
        env.close()
        return {"eval/return_mean": total.mean(), "eval/protocol": f"4 greedy episodes, {env.protocol}"}

    def state(self):
        return {"q": self.q, "rng": self.rng, "env": self.env.state(), "clock": self.clock}

    def load_state(self, tree):
        self.q, self.clock = tree["q"], tree["clock"]
        self.env.load_state(tree["env"])

    def close(self):
        self.env.close()
