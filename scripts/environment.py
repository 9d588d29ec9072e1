"""Create the environment from nothing: `python3 scripts/environment.py .venv`.

Versions are those of constraints.txt, so two installs are equal. Where this Python already has a torch
that sees a GPU, the environment builds on it; elsewhere torch is installed like the rest.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUPPORTED = ((3, 11), (3, 12))


def main() -> None:
    if sys.version_info[:2] not in SUPPORTED:
        sys.exit(
            f"edpipe needs Python 3.11 or 3.12; this is {platform.python_version()}.\n"
            "Next step: make PYTHON=python3.11 (or python3.12) followed by the target."
        )
    folder = Path(sys.argv[1]).resolve()
    on_cuda = has_cuda_torch()
    say(f"Creating {folder}" + (" on this machine's CUDA build of torch" if on_cuda else ""))
    venv.create(folder, with_pip=True, clear=True, system_site_packages=on_cuda)
    python = str(folder / "bin" / "python")
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if on_cuda:
        # The GPU machine's own torch stays: its version is within pyproject's range.
        constraints = [
            line for line in constraints if not line.startswith(("torch==", "triton==", "nvidia-"))
        ]
    with tempfile.TemporaryDirectory() as temporary:
        pinned = Path(temporary) / "constraints.txt"
        pinned.write_text("\n".join(constraints) + "\n", encoding="utf-8")
        if not on_cuda:
            note_large_torch(python, pinned)
        say("Installing about 230 packages; two to ten minutes, without a word")
        subprocess.run(
            [
                python,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--constraint",
                str(pinned),
                "--editable",
                f"{ROOT}[dev]",
            ],
            check=True,
        )
    say("Ready")


def has_cuda_torch() -> bool:
    """Return whether the Python that runs this already has a torch that sees a GPU."""
    probe = "import torch; raise SystemExit(0 if torch.cuda.is_available() else 1)"
    return subprocess.run([sys.executable, "-c", probe], capture_output=True, check=False).returncode == 0


def note_large_torch(python: str, pinned: Path) -> None:
    """Warn before gigabytes of CUDA libraries come to a machine that has no GPU."""
    if platform.system() != "Linux" or platform.machine() != "x86_64" or shutil.which("nvidia-smi"):
        return
    command = [python, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps", "--report", "-"]
    answer = subprocess.run(
        [*command, "--constraint", str(pinned), "torch"], capture_output=True, text=True, check=False
    )
    if answer.returncode != 0:
        return  # the real installation reports what is wrong
    version = json.loads(answer.stdout)["install"][0]["metadata"]["version"]
    if "+cpu" not in version:
        say(
            f"Note: pip offers torch {version}, which brings about 2.4 GB of CUDA libraries, and this\n"
            "machine has no GPU. For the CPU build, stop, set PIP_EXTRA_INDEX_URL to PyTorch's index of CPU\n"
            "builds (see PyTorch's installation page) and run the same command again."
        )


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
