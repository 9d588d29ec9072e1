import pytest
import torch
from diffusion_cases import processes, seeded

from models.diffusion import Curriculum

PROCESSES = processes()


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_curriculum_begins_with_the_noisiest_times_and_ends_with_all(process):
    curriculum = Curriculum(warmup_steps=100, first_share=0.2)
    first = curriculum.draw_times(process, 500, 0, seeded())
    middle = curriculum.draw_times(process, 500, 50, seeded())
    last = curriculum.draw_times(process, 500, 100, seeded())
    latest = float(process.times(1)[0])
    assert float(first.min()) > 0.78 * latest
    assert 0.3 * latest < float(middle.min()) < 0.5 * latest
    assert float(last.min()) < 0.05 * latest
    assert torch.equal(last, process.draw_times(500, seeded()))


def test_share_grows_evenly_and_stays():
    curriculum = Curriculum(warmup_steps=4, first_share=0.2)
    assert [curriculum.share(step) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])
    assert Curriculum(0).share(0) == 1


@pytest.mark.parametrize("values", [{"warmup_steps": -1}, {"warmup_steps": 1, "first_share": 0}])
def test_impossible_curricula_are_refused(values):
    with pytest.raises(ValueError, match="must"):
        Curriculum(**values)
