# SPDX-License-Identifier: Apache-2.0
"""A one-step student of a trained network: the same weights but for what generates interests."""

from __future__ import annotations

from dataclasses import replace

from models.diffumin.build import build_diffumin
from models.diffumin.distilled import DistilledDMIG
from models.diffumin.dmig import DMIG
from models.diffumin.interest_block import MultiInterestBlock
from models.diffumin.model import DiffuMIN

GENERATED = "long_term.augmentation."


def student_of(teacher: DiffuMIN) -> DiffuMIN:
    """Return a network with all weights of its teacher and a fresh :class:`DistilledDMIG`.

    Only the latter learns.

    Raises
    ------
    ValueError
        If the teacher generates nothing.
    """
    generator_of(teacher)
    student = build_diffumin(replace(teacher.config, augmentation="distilled"))
    shared = {name: value for name, value in teacher.state_dict().items() if not name.startswith(GENERATED)}
    student.load_state_dict(shared, strict=False)
    student.requires_grad_(requires_grad=False)
    one_step_of(student).requires_grad_(requires_grad=True)
    return student


def generator_of(model: DiffuMIN) -> DMIG:
    """Return the diffusion of a network.

    Raises
    ------
    ValueError
        If it has none.
    """
    block = model.long_term
    if not isinstance(block, MultiInterestBlock) or not isinstance(block.augmentation, DMIG):
        raise ValueError(
            "only a diffusion can be distilled; got long_term "
            f"{model.config.long_term!r} with augmentation {model.config.augmentation!r}."
        )
    return block.augmentation


def one_step_of(model: DiffuMIN) -> DistilledDMIG:
    """Return the one-step student in a network.

    Raises
    ------
    ValueError
        If it has none.
    """
    block = model.long_term
    if not isinstance(block, MultiInterestBlock) or not isinstance(block.augmentation, DistilledDMIG):
        raise ValueError(f"augmentation must be 'distilled'; got {model.config.augmentation!r}.")
    return block.augmentation
