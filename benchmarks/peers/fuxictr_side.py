"""Train and time a network of FuxiCTR 2.3.10 on rows that `diffumin_peers.py` wrote.

    python benchmarks/peers/fuxictr_side.py train --rows DIR --model SIM --rate 0.002 --seed 1 --output FILE
    python benchmarks/peers/fuxictr_side.py speed --rows DIR --model SIM

Runs where FuxiCTR is installed and needs nothing of edpipe. Their classes, their loader and their ``fit`` are
used as they are: Adam, a tenth of the rate after an epoch without a higher AUC on validation, a stop after
two, the weights of the best epoch. Only what is fed differs: each epoch reads a file of its own, so negatives
are drawn anew.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

MODELS = ("DIN", "SIM", "ETA", "SDIM", "TWIN")


class Epochs:
    """Batches of training; each pass reads the file of the next epoch."""

    def __init__(self, loaders: list[Any]) -> None:
        self._loaders = loaders
        self._passes = 0

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return len(self._loaders[0])

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of the next epoch."""
        loader = self._loaders[self._passes]
        self._passes += 1
        yield from loader


def feature_map(described: dict[str, Any], folder: Path) -> Any:
    """Return FuxiCTR's description of the fields; student and place in the log are known and not read."""
    from fuxictr.features import FeatureMap

    found = FeatureMap("rows", str(folder))
    found.features.update({name: {"type": "meta"} for name in ("user_index", "seq_len", "item_index")})
    for name, size in described["fields"].items():
        found.features[name] = {
            "type": "categorical",
            "source": "item",
            "padding_idx": 0,
            "vocab_size": size,
        }
    found.labels = ["label"]
    found.default_emb_dim = described["field_size"]
    found.num_fields = found.get_num_fields()
    return found


def loader(features: Any, described: dict[str, Any], folder: Path, name: str, batch_rows: int) -> Any:
    """Return FuxiCTR's loader of a file of rows, in the order of the file."""
    from model_zoo.LongCTR.longctr_dataloader import LongCTRDataLoader

    return LongCTRDataLoader(
        features,
        str(folder / f"{name}.parquet"),
        str(folder / "students.parquet"),
        str(folder / "items.parquet"),
        batch_size=batch_rows,
        num_workers=0,
        max_len=described["length"],
    )


def network(name: str, features: Any, described: dict[str, Any], *, rate: float, scratch: str) -> Any:
    """Return a fresh network of FuxiCTR with the widths of ours, as far as it has them."""
    from model_zoo import LongCTR

    (Path(scratch) / features.dataset_id).mkdir(exist_ok=True)  # their fit saves there
    width = described["field_size"] * len(described["fields"])
    heads = described["num_heads"]
    own: dict[str, dict[str, Any]] = {
        "DIN": {"attention_hidden_units": described["attention_sizes"]},
        "SIM": {"topk": described["num_retrieved"], "num_heads": heads},
        "ETA": {
            "topk": described["num_retrieved"],
            "num_heads": heads,
            "hash_bits": described["num_hash_bits"],
        },
        "SDIM": {
            "num_heads": heads,
            "num_hashes": described["num_hash_bits"] // described["hash_group_bits"],
            "hash_bits": described["hash_group_bits"],
        },
        "TWIN": {"topk": described["num_retrieved"], "num_heads": heads},
    }
    if name != "DIN":
        # Their window counts the target, so one more gives as many behaviors as ours.
        own[name] |= {"short_seq_len": described["short_term_window"] + 1, "attention_dim": width}
    return getattr(LongCTR, name)(
        features,
        model_id=name,
        dnn_hidden_units=described["mlp_sizes"],
        embedding_dim=described["field_size"],
        learning_rate=rate,
        optimizer="adam",
        loss="binary_crossentropy",
        metrics=["AUC", "logloss"],
        monitor="AUC",
        verbose=0,
        model_root=scratch,
        **own[name],
    )


def train(folder: Path, name: str, *, rate: float, seed: int, output: Path) -> None:
    """Train one network and write what it says of the rows of validation and test, in edpipe's order."""
    import pandas as pd
    from fuxictr.pytorch.torch_utils import seed_everything

    described = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
    features = feature_map(described, folder)
    size = described["batch_rows"]
    epochs = [
        loader(features, described, folder, f"train_{epoch}", size)
        for epoch in range(described["num_epochs"])
    ]
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        seed_everything(seed)
        model = network(name, features, described, rate=rate, scratch=scratch)
        started = time.process_time()
        valid = loader(features, described, folder, "valid", size)
        model.fit(Epochs(epochs), epochs=len(epochs), validation_data=valid)
        found["seconds"] = time.process_time() - started
    found["num_parameters"] = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    for part in ("valid", "test"):
        rows = pd.read_parquet(folder / f"{part}.parquet", columns=["row"])["row"].to_numpy()
        found[part] = np.empty(len(rows))
        found[part][rows] = model.predict(loader(features, described, folder, part, size))
    scratch_file = output.with_name(f".{output.name}.npz")
    np.savez(scratch_file, **found)
    scratch_file.replace(output)


def answer_with_speed(folder: Path, name: str) -> None:
    """For each line read, score `asked.parquet` student by student and print the seconds of both halves.

    The halves are what their loader does (a copy of the history for each row, and its fields) and what the
    network does. Process time, summed over students.
    """
    described = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
    features = feature_map(described, folder)
    with tempfile.TemporaryDirectory() as scratch, torch.no_grad():
        model = network(name, features, described, rate=1e-3, scratch=scratch).eval()
        rows = loader(features, described, folder, "asked", described["num_candidates"])
        print("ready", flush=True)
        for _ in sys.stdin:
            spent = {"loader": 0.0, "network": 0.0}
            started = time.process_time()
            for batch in rows:
                loaded = time.process_time()
                model(batch)
                spent["loader"] += loaded - started
                started = time.process_time()
                spent["network"] += started - loaded
            print(json.dumps(spent), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("action", choices=["train", "speed"])
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.action == "speed":
        answer_with_speed(given.rows, given.model)
    elif given.output is None:
        parser.error("train needs --output")
    else:
        train(given.rows, given.model, rate=given.rate, seed=given.seed, output=given.output)


if __name__ == "__main__":
    main()
