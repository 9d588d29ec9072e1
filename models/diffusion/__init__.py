"""Diffusion: noise schedules, processes, samplers and losses, shared by all models that denoise."""

from models.diffusion.adaptive import (
    ScheduleScore,
    candidate_schedules,
    choose_schedule,
    rank_schedules,
    straightened_betas,
)
from models.diffusion.conditioning import clean_variance, covariance_guidance
from models.diffusion.curriculum import Curriculum
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
from models.diffusion.transition import Transition, transition
from models.diffusion.variance_preserving import Parameterization, VariancePreserving

__all__ = [
    "DDIM",
    "DDPM",
    "Curriculum",
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
    "ScheduleScore",
    "Transition",
    "VariancePreserving",
    "candidate_schedules",
    "choose_schedule",
    "clean_variance",
    "cosine_betas",
    "covariance_guidance",
    "denoising_loss",
    "linear_betas",
    "loss_by_step",
    "min_snr_weight",
    "normal_like",
    "rank_schedules",
    "sigmoid_betas",
    "straightened_betas",
    "transition",
    "window_losses",
    "zero_terminal_betas",
]
