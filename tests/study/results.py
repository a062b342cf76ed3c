"""Made-up results of sweeps, for tests of what shows and keeps them."""

import dataclasses
from collections.abc import Sequence

from halfulp.study.result import Reference, Refusal, Row, Sweep

ROW = Row(
    model="minilm",
    task="supersense",
    policy="bf16-matmult",
    chip="inferentia2",
    samples=1636,
    accuracy=0.769,
    accuracy_low=0.748,
    accuracy_high=0.789,
    flips=0.0012,
    flips_p=0.625,
    kl_divergence=2.1e-5,
    relative_error=0.0046,
    sqnr_db=46.8,
    overflow=0,
    underflow=1234567,
    nan=0,
    infinity=0,
    collapsed=False,
    peak_tops=190.0,
    peak_unit="TFLOPS",
    peak_source="data sheet of Inferentia2",
    latency_ms=0.92,
    latency_low_ms=0.83,
    latency_high_ms=1.02,
    roofline_ms=0.31,
    sequences_per_s=1086.9565217391305,
    usd_per_million=0.1937,
    rate_source="calibrated, batch 1, 128 tokens",
    seconds=9.125,
    assumptions=("the bias stays fp32",),
)
EXACT = dataclasses.replace(
    ROW,
    policy="fp32",
    peak_tops=47.5,
    flips=0.0,
    flips_p=1.0,
    kl_divergence=0.0,
    relative_error=0.0,
    sqnr_db=None,
)
BROKEN = dataclasses.replace(
    ROW,
    policy="e3m4-matmult",
    accuracy=0.0385,
    accuracy_low=0.03,
    accuracy_high=0.049,
    flips=1.0,
    flips_p=1e-300,
    kl_divergence=None,
    relative_error=None,
    sqnr_db=None,
    overflow=98765,
    nan=9216,
    collapsed=True,
)
DETECTION = dataclasses.replace(
    ROW, model="electra", task="detection", samples=19498, auc=0.8123, detection=True
)
POLICIES = (
    *("tf32-matmult", "tf32-all", "fp16-matmult", "fp16-all", "bf16-matmult", "bf16-all"),
    *("e5m2-matmult", "e4m3-matmult", "e3m4-matmult-scaled", "e4m3-matmult-scaled", "e4m3-all"),
    *("e5m2-matmult-scaled", "e5m2-all", "cfp8(2,5,bias=3)-matmult-scaled"),
)


def sweep_of(rows: Sequence[Row]) -> Sweep:
    """A sweep of these rows, with a reference for each model and task, and one refusal."""
    firsts = {(row.model, row.task): row for row in rows}.values()
    references = tuple(
        Reference(
            model=row.model,
            task=row.task,
            split="test",
            samples=row.samples,
            accuracy=0.77,
            accuracy_low=0.75,
            accuracy_high=0.79,
            weights_sha256="a" * 64,
            data_sha256="b" * 64,
            auc=0.8125 if row.detection else None,
        )
        for row in firsts
    )
    refusal = Refusal("minilm", "supersense", "fp32", "inferentia1", "no fp32 on NeuronCore-v1")
    provenance = {"halfulp": "0.1.0"}
    return Sweep(tuple(rows), references, (refusal,), ("minilm is not installed",), provenance)


def whole() -> Sweep:
    """As many rows as a default sweep has, three models and tasks."""
    rows = []
    for base in (ROW, dataclasses.replace(ROW, model="electra"), DETECTION):
        for policy in ("bf16-all", "fp16-all", "bf16-matmult", "fp16-matmult"):
            rows.append(
                dataclasses.replace(base, policy=policy, chip="inferentia1", peak_tops=64.0)
            )
        rows.append(dataclasses.replace(base, policy="fp32", peak_tops=47.5, sqnr_db=131.0))
        rows += [
            dataclasses.replace(base, policy=policy, sqnr_db=75.0 - 4 * i)
            for i, policy in enumerate(POLICIES)
        ]
        rows.append(
            dataclasses.replace(base, policy="int8-matmult", peak_tops=380.0, peak_unit="TOPS")
        )
    return sweep_of([BROKEN, EXACT, *rows])
