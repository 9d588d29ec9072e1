"""What a registered model must hold to become champion, and when its data are said to have drifted."""

from __future__ import annotations

from pydantic import Field

from edpipe.setting_groups import Strict


class PromotionSettings(Strict):
    """Bounds of the rules by which a version becomes champion."""

    worst_group_tolerance: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Share of the champion's score by which the group served worst may lose.",
    )
    least_group_rows: int = Field(
        default=100, ge=1, description="Validation rows below which a group is too small to be judged."
    )
    max_calibration_error: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="Most calibration error of tracers and predictors of strategies.",
    )
    coverage_tolerance: float = Field(
        default=0.03,
        gt=0,
        lt=0.1,
        description="How far from 90 % the share of steps inside a forecaster's 90 % interval may lie.",
    )
    click_tolerance: float = Field(
        default=0.1, gt=0, lt=1, description="How far from 1 predicted clicks for each real one may lie."
    )
    latency_factor: float = Field(
        default=2.0, ge=1, description="How many times the champion's latency a version may take."
    )
    max_latency_ms: float = Field(
        default=0, ge=0, description="Most milliseconds for the fixed batch, on one thread; 0 is no bound."
    )
