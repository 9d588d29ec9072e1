"""Diffusion: noise schedules, processes, samplers and losses, shared by all models that denoise."""

from models.diffusion.flow_matching import FlowMatching
from models.diffusion.losses import denoising_loss, loss_by_step, min_snr_weight, window_losses
from models.diffusion.noise import normal_like
from models.diffusion.process import Denoise, Estimate, Process
from models.diffusion.samplers import DDIM, DDPM, Sampler
from models.diffusion.schedules import (
    NoiseSchedule,
    cosine_betas,
    linear_betas,
    sigmoid_betas,
    zero_terminal_betas,
)
from models.diffusion.solvers import DPMSolver2M, Euler, Heun
from models.diffusion.variance_preserving import Parameterization, VariancePreserving

__all__ = [
    "DDIM",
    "DDPM",
    "DPMSolver2M",
    "Denoise",
    "Estimate",
    "Euler",
    "FlowMatching",
    "Heun",
    "NoiseSchedule",
    "Parameterization",
    "Process",
    "Sampler",
    "VariancePreserving",
    "cosine_betas",
    "denoising_loss",
    "linear_betas",
    "loss_by_step",
    "min_snr_weight",
    "normal_like",
    "sigmoid_betas",
    "window_losses",
    "zero_terminal_betas",
]
