"""Processes, samplers and Gaussian data whose every law is known in closed form."""

import torch

from models.diffusion import (
    DDIM,
    DDPM,
    DPMSolver2M,
    Estimate,
    Euler,
    FlowMatching,
    Heun,
    NoiseSchedule,
    VariancePreserving,
    cosine_betas,
    linear_betas,
    zero_terminal_betas,
)
from models.diffusion.process import expand


def processes():
    """All kinds of processes, in double precision."""
    linear = NoiseSchedule(linear_betas())
    found = {
        "noise": VariancePreserving(linear, "noise"),
        "clean": VariancePreserving(linear, "clean"),
        "velocity": VariancePreserving(linear, "velocity"),
        "cosine": VariancePreserving(NoiseSchedule(cosine_betas()), "velocity"),
        "zero terminal": VariancePreserving(NoiseSchedule(zero_terminal_betas(linear_betas())), "velocity"),
        "flow": FlowMatching(),
    }
    return {name: process.double() for name, process in found.items()}


SAMPLERS = {
    "ddpm": DDPM(),
    "ddpm forward": DDPM("forward"),
    "ddim": DDIM(),
    "ddim half": DDIM(0.5),
    "ddim full": DDIM(1.0),
    "dpm": DPMSolver2M(),
    "euler": Euler(),
    "heun": Heun(),
}
DETERMINISTIC = ("ddim", "dpm", "euler", "heun")


class GaussianData:
    """Values with a known mean and covariance, and the best denoiser there is for them."""

    def __init__(self, mean, covariance):
        self.mean = torch.as_tensor(mean, dtype=torch.float64)
        self.covariance = torch.as_tensor(covariance, dtype=torch.float64)

    def draw(self, count, generator):
        white = torch.randn(count, len(self.mean), generator=generator, dtype=torch.float64)
        return self.mean + white @ torch.linalg.cholesky(self.covariance).T

    def clean(self, process, x, time):
        """Mean of the clean values given the noisy ones; all rows share one time."""
        signal, spread = process.signal(time)[0], process.spread(time)[0]
        noisy = signal**2 * self.covariance + spread**2 * torch.eye(len(self.mean), dtype=x.dtype)
        gain = signal * torch.linalg.solve(noisy, self.covariance)
        return self.mean + (x - signal * self.mean) @ gain

    def output(self, process, x, time):
        """What the best network of this process returns."""
        x0 = self.clean(process, x, time)
        noise = (x - expand(process.signal(time), x) * x0) / expand(process.spread(time), x)
        return process.target(x0, noise, time)

    def denoise(self, process):
        return lambda x, time: process.estimate(self.output(process, x, time), x, time)

    def conditional(self, observed, values):
        """Mean and covariance of all given those at ``observed``, 0 where observed."""
        inside = self.covariance[observed][:, observed]
        gain = torch.linalg.solve(inside, self.covariance[observed]).T
        mean = self.mean + gain @ (values - self.mean[observed])
        return mean, self.covariance - gain @ self.covariance[observed]


def knows_the_noise(process, x0, noise):
    """Return a network that knows what was added."""

    def denoise(x, time) -> Estimate:
        return process.estimate(process.target(x0, noise, time), x, time)

    return denoise


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)
