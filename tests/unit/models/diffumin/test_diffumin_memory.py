"""No tensor holds a width for each pair of behavior and channel: memory stays that of the behaviors."""

import subprocess
import sys

MEASURE = """
import re
from pathlib import Path
import torch
from models.batches import ImpressionBatch
from models.diffumin import DiffuMINConfig, build_diffumin

requests, length = 512, 5_000
model = build_diffumin(DiffuMINConfig((1_000,) * 4, num_outcomes=3, augmentation="none")).eval()
assert model.config.item_size == 40
random = torch.Generator().manual_seed(0)
batch = ImpressionBatch(
    target_items=torch.randint(2, 1_000, (requests, 4), generator=random),
    clicked=torch.zeros(requests),
    context=torch.zeros(requests, 0),
    requests=torch.arange(requests),
    students=torch.arange(requests),
    behavior_items=torch.randint(2, 1_000, (requests * length, 4), generator=random),
    behavior_outcomes=torch.randint(0, 3, (requests * length,), generator=random),
    behavior_offsets=torch.arange(requests + 1) * length,
)

def peak():
    # Not ru_maxrss, in which a large parent lives on.
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])


before = peak()
with torch.inference_mode():
    model(batch)
taken = (peak() - before) * 1024
print(taken / (requests * length * model.config.item_size * 4))
"""


def test_long_sequences_take_less_than_twice_the_memory_of_their_vectors():
    found = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, timeout=120, check=True
    )
    # The vectors themselves are 1.
    assert 1 < float(found.stdout) < 2
