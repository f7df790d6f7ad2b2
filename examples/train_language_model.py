"""Train a character-level language model of a million parameters and log its loss curve.

The text is the Python standard library that lies on every machine, a twelfth of its files held out.  Every run has
the same initial weights and sees the same text at the same step; only the learning rates and batch sizes differ:

    python train_language_model.py constant cosine wsd 8_1_1 batch_switch
    python train_language_model.py --schedule plan.csv planned

The second form takes any schedule with the columns step, lr and batch_size, such as `theorycheck plan` writes.  Each
run writes NAME.csv with the columns step, lr, batch_size, loss (held-out, nats per character) and train_loss (mean of
the last 50 steps), from step 500 on: earlier losses follow no power law.  Needs PyTorch (pip
install torch), which theorycheck does not.
"""

import argparse
import csv
import hashlib
import math
import os
import sysconfig
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

CONTEXT, WIDTH, LAYERS, HEADS = 64, 128, 5, 4
STEPS, WARMUP, PEAK, BATCH = 5000, 200, 2e-3, 16
FIRST_ROW, EVERY = 500, 50
LATE_BATCH, LATE_START = 64, 0.8
SEED = 0


def rate(name, step, steps):
    """Learning rate of a step in 0..steps-1 of a named schedule, after a linear warm-up that all of them share."""
    if step < WARMUP:
        return PEAK * (step + 1) / WARMUP
    passed = (step - WARMUP) / (steps - WARMUP)
    share = step / steps
    if name == "cosine":
        return PEAK * (0.1 + 0.45 * (1.0 + math.cos(math.pi * passed)))
    if name == "wsd":
        return PEAK * 0.1 ** max(0.0, (share - 0.8) / 0.2)
    if name == "8_1_1":
        return PEAK * (1.0 if share < 0.8 else 0.1**0.5 if share < 0.9 else 0.1)
    return PEAK


def schedule(name, steps):
    """Rows (lr, batch size) of a named schedule, one per step."""
    late = round(LATE_START * steps) if name == "batch_switch" else steps
    return [(rate(name, step, steps), BATCH if step < late else LATE_BATCH) for step in range(steps)]


def planned(path):
    """Rows (lr, batch size) of a CSV with the columns step, lr and batch_size, one row per step."""
    with open(path, encoding="utf-8", newline="") as file:
        return [(float(row["lr"]), int(row["batch_size"])) for row in csv.DictReader(file)]


def corpus():
    """The standard library as character codes: training text, held-out text, number of characters."""
    root = Path(sysconfig.get_paths()["stdlib"])
    texts = {True: [], False: []}
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if "-packages/" in name:
            continue
        held_out = hashlib.sha256(name.encode()).digest()[0] % 12 == 0
        texts[held_out].append(path.read_text(encoding="utf-8", errors="replace"))
    joined = {kind: "\n".join(parts).encode("ascii", "replace") for kind, parts in texts.items()}
    table = np.zeros(256, dtype=np.int64)
    used = sorted(set(joined[False]))
    table[used] = np.arange(len(used))
    arrays = [torch.from_numpy(table[np.frombuffer(joined[kind], dtype=np.uint8)]) for kind in (False, True)]
    checksum = hashlib.sha256(joined[False] + joined[True]).hexdigest()[:12]
    print(f"text: {arrays[0].numel():,} characters to train on, {arrays[1].numel():,} held out, sha256 {checksum}")
    return *arrays, len(used)


class Block(nn.Module):
    """Pre-norm attention and feed-forward layer."""

    def __init__(self):
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)])
        self.mix, self.join = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.rise, self.fall = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        """Map (batch, length, width) to the same shape."""
        shape = (*x.shape[:2], HEADS, WIDTH // HEADS)
        query, key, value = (part.view(shape).transpose(1, 2) for part in self.mix(self.norms[0](x)).chunk(3, -1))
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.join(seen.transpose(1, 2).reshape(x.shape))
        return x + self.fall(functional.gelu(self.rise(self.norms[1](x)), approximate="tanh"))


class Model(nn.Module):
    """Decoder-only transformer with learned positions and tied embeddings."""

    def __init__(self, characters):
        super().__init__()
        self.embed, self.place = nn.Embedding(characters, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*[Block() for _ in range(LAYERS)])
        self.norm = nn.LayerNorm(WIDTH)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                deep = name.endswith(("join.weight", "fall.weight"))
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * LAYERS) if deep else 0.02)

    def forward(self, x):
        """Map character codes (batch, length) to logits (batch, length, characters)."""
        hidden = self.embed(x) + self.place.weight[:x.shape[1]]
        return functional.linear(self.norm(self.blocks(hidden)), self.embed.weight)


def windows(text, starts):
    """Windows of the text, shape (number of starts, CONTEXT + 1)."""
    return text[torch.from_numpy(starts)[:, None] + torch.arange(CONTEXT + 1)]


def loss_of(model, batch):
    """Mean cross-entropy of the next character, nats."""
    logits = model(batch[:, :-1])
    return functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), batch[:, 1:].reshape(-1))


def train(name, rows, text, held_out, characters):
    """Train by AdamW along the rows and write NAME.csv; the file appears when the run is complete."""
    torch.manual_seed(SEED)
    model = Model(characters)
    weights = [weight for weight in model.parameters() if weight.ndim == 2]
    vectors = [weight for weight in model.parameters() if weight.ndim < 2]
    optimiser = torch.optim.AdamW([{"params": weights, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
                                  betas=(0.9, 0.95), fused=True)
    tests = windows(held_out, np.random.default_rng([SEED, 1]).integers(held_out.numel() - CONTEXT, size=256))
    started, recent, log = time.perf_counter(), [], []
    for step, (lr, batch_size) in enumerate(rows, 1):
        starts = np.random.default_rng([SEED, 0, step]).integers(text.numel() - CONTEXT, size=batch_size)
        loss = loss_of(model, windows(text, starts))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimiser.param_groups:
            group["lr"] = lr
        optimiser.step()
        recent.append(loss.item())
        if step % EVERY:
            continue
        mean, recent = np.mean(recent), []
        if step >= FIRST_ROW:
            with torch.no_grad():
                test = loss_of(model, tests).item()
            log.append((step, f"{lr:.8g}", batch_size, f"{test:.6f}", f"{mean:.6f}"))
        if step % 1000 == 0:
            print(f"{name}: step {step}, loss {mean:.4f}, {time.perf_counter() - started:.0f} s", flush=True)
    unfinished = f"{name}.csv.part"
    with open(unfinished, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("step", "lr", "batch_size", "loss", "train_loss"))
        writer.writerows(log)
    os.replace(unfinished, f"{name}.csv")
    count = sum(weight.numel() for weight in model.parameters())
    print(f"{name}: {count:,} parameters, {len(rows)} steps in {time.perf_counter() - started:.0f} s")


def main():
    """Train along every named schedule, or along the one in a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", help="constant, cosine, wsd, 8_1_1, batch_switch; or, with --schedule, "
                                                 "what to call the run")
    parser.add_argument("--schedule", help="CSV with the columns step, lr and batch_size")
    parser.add_argument("--steps", type=int, default=STEPS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = corpus()
    for name in given.names:
        train(name, planned(given.schedule) if given.schedule else schedule(name, given.steps), *data)


if __name__ == "__main__":
    main()
