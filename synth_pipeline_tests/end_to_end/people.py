"""A table of people that no test shares with another: mixed types, nulls, personal columns; deterministic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

FIRST = ("Ann", "Bob", "Cleo", "Dan", "Eva", "Finn")


def people(rows: int = 6_000, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = np.clip(rng.gamma(7, 6.5, rows), 18, 95).astype(int)
    plan = np.where(rng.random(rows) < 0.2 + 0.006 * age, "family", "single")
    income = np.round(rng.lognormal(7.4, 0.45, rows) * (1 + 0.006 * age), 2)
    spent = np.round(income * rng.beta(2, 6, rows), 2)
    joined = pd.Timestamp("2021-03-01") + pd.to_timedelta(rng.integers(0, 1500, rows), unit="D")
    churned = rng.random(rows) < 1 / (1 + np.exp(1.5 - 0.03 * (age - 40) - 1.1 * (plan == "single")))
    score = pd.Series(np.round(rng.normal(50 + 0.2 * age, 9, rows), 1))
    score[rng.random(rows) < 0.15] = np.nan
    names = [f"{FIRST[k % 6]} {chr(65 + k % 23)}{'aeiou'[k % 5]}ck{k:05d}" for k in range(rows)]
    return pd.DataFrame(
        {
            "customer_id": [f"C-{n:06d}" for n in rng.permutation(900_000)[:rows]],
            "name": names,
            "email": [f"user{n}@mail{n % 7}.example" for n in rng.permutation(10**6)[:rows]],
            "age": age,
            "plan": plan,
            "income": income,
            "spent": spent,
            "joined": joined.strftime("%Y-%m-%d"),
            "score": score,
            "churned": churned,
        }
    )


def csv(folder: Path, rows: int = 6_000, seed: int = 0, name: str = "people.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    people(rows, seed).to_csv(path, index=False)
    return path
