"""Makes the bundled data sets, deterministically: real rows from installed packages, and a simulated clinic.

`python data/make.py` rewrites the files beside it; run it again after a change and commit what differs.
"""

from __future__ import annotations

import datetime
import gzip
import io
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
MONTHS = ["2026-07-01", "2026-08-01", "2026-09-01", "2026-10-01"]
VISITS = 9_000


def randhie() -> pd.DataFrame:
    """RAND Health Insurance Experiment, 20,190 person-years (public domain; from statsmodels)."""
    from statsmodels.datasets import randhie as source

    names = {
        "mdvis": "visits",
        "lncoins": "log_coinsurance",
        "idp": "individual_deductible",
        "lpi": "log_incentive_payment",
        "fmde": "log_max_expenditure",
        "physlm": "physical_limitation",
        "disea": "chronic_diseases",
        "hlthg": "health_good",
        "hlthf": "health_fair",
        "hlthp": "health_poor",
    }
    frame = source.load_pandas().data.rename(columns=names)
    for flag in ("individual_deductible", "health_good", "health_fair", "health_poor", "visits"):
        frame[flag] = frame[flag].astype(int)
    return frame[list(names.values())].round(6)


def wine() -> pd.DataFrame:
    """178 Italian wines, 13 chemical measurements (CC BY 4.0, UCI; from scikit-learn)."""
    from sklearn.datasets import load_wine

    data = load_wine(as_frame=True)
    frame = data.data.rename(columns=lambda name: name.replace("/", "_per_"))
    return frame.assign(cultivar=[f"cultivar_{k}" for k in data.target])


def clinic(month: str) -> pd.DataFrame:
    """One month of visits to a clinic that does not exist: no row is, or derives from, a real person."""
    from faker import Faker

    rng = np.random.default_rng([20260701, MONTHS.index(month)])
    faker = Faker("en_US")
    faker.seed_instance(1_000 + MONTHS.index(month))
    n = VISITS
    start = datetime.date.fromisoformat(month)
    days = (start.replace(day=28) + datetime.timedelta(days=4)).replace(day=1) - start

    sex = rng.choice(["female", "male"], n, p=[0.54, 0.46])
    insurance = rng.choice(["statutory", "private", "self-paying"], n, p=[0.81, 0.14, 0.05])
    age_years = np.clip(rng.gamma(6.0, 8.5, n), 0.2, 98.0)
    smoker = rng.random(n) < np.where((age_years > 16) & (age_years < 75), 0.24, 0.04)
    district = _district(rng, n)
    bmi = np.round(np.clip(rng.normal(21.5 + 0.09 * age_years, 3.9, n), 12.5, 58), 1)
    diastolic = np.round(np.clip(rng.normal(62 + 0.22 * age_years + 0.35 * (bmi - 25), 8.5, n), 38, 125)).astype(int)
    systolic = diastolic + np.round(np.clip(rng.gamma(9, 4.4, n) + 0.18 * age_years, 15, 110)).astype(int)
    department, diagnosis = _diagnosis(rng, age_years, smoker, bmi)
    emergency = rng.random(n) < np.where(np.isin(department, ["surgery", "cardiology"]), 0.34, 0.12)
    hour = np.where(emergency, rng.integers(0, 24, n), np.clip(rng.normal(11, 2.6, n), 7, 18).astype(int))
    admitted = pd.to_datetime(start) + pd.to_timedelta(rng.integers(0, days.days, n), unit="D")
    admitted = admitted + pd.to_timedelta(hour * 60 + rng.integers(0, 12, n) * 5, unit="min")
    inpatient = rng.random(n) < 0.08 + 0.35 * emergency + 0.002 * age_years
    hours = np.where(inpatient, 24 * (1 + rng.geometric(0.28, n)), np.clip(rng.gamma(2.0, 1.1, n), 0.25, 12))
    discharged = (admitted + pd.to_timedelta(np.round(hours * 4) * 15, unit="min")).to_series(index=range(n))
    discharged[rng.random(n) < 0.03] = pd.NaT
    staff = np.round(60 + 38 * np.sqrt(hours) * rng.lognormal(0, 0.3, n) * np.where(insurance == "private", 1.5, 1), 2)
    drugs = np.round(np.where(rng.random(n) < 0.3, 0.0, rng.lognormal(3.0, 1.1, n)), 2)
    risk = -3.2 + 0.021 * age_years + 0.9 * inpatient + 0.5 * smoker + 0.04 * (bmi - 25) + 0.6 * emergency
    readmitted = rng.random(n) < 1 / (1 + np.exp(-risk))
    birth = [
        (at - datetime.timedelta(days=float(a) * 365.2425)).date() for at, a in zip(admitted, age_years, strict=True)
    ]
    age = [at.year - b.year - ((at.month, at.day) < (b.month, b.day)) for at, b in zip(admitted, birth, strict=True)]
    cholesterol = pd.Series(np.round(rng.normal(168 + 0.55 * age_years, 34, n)).astype(int)).astype("Int64")
    cholesterol[(age_years < 30) | (rng.random(n) < 0.35)] = pd.NA
    names = [faker.first_name_female() if s == "female" else faker.first_name_male() for s in sex]
    names = [f"{first} {faker.last_name()}" for first in names]
    phones = pd.Series([faker.numerify("+1 (%##) 555-01##") for _ in range(n)])
    phones[rng.random(n) < 0.12] = None
    serial = rng.permutation(900_000)[:n] + 100_000
    return pd.DataFrame(
        {
            "patient_id": [f"P-{MONTHS.index(month) + 1}{number:06d}" for number in serial],
            "name": names,
            "email": [
                f"{name.lower().replace(' ', '.')}{number % 97}@{domain}"
                for name, number, domain in zip(
                    names, serial, rng.choice(["example.com", "example.org"], n), strict=True
                )
            ],
            "phone": phones,
            "birth_date": birth,
            "age": age,
            "sex": sex,
            "district": district,
            "insurance": insurance,
            "admitted_at": admitted.strftime("%Y-%m-%d %H:%M:%S"),
            "discharged_at": discharged.dt.strftime("%Y-%m-%d %H:%M:%S"),
            "department": department,
            "diagnosis": diagnosis,
            "emergency": emergency,
            "smoker": smoker,
            "bmi": bmi,
            "systolic": systolic,
            "diastolic": diastolic,
            "cholesterol": cholesterol,
            "staff_cost": staff,
            "drug_cost": drugs,
            "total_cost": np.round(staff + drugs, 2),
            "readmitted": readmitted,
            "note": [faker.sentence(nb_words=9) if draw < 0.4 else None for draw in rng.random(n)],
        }
    )


def _district(rng: np.random.Generator, n: int) -> np.ndarray:
    """140 districts whose sizes follow a power law: a high-cardinality column with a long tail."""
    sizes = 1 / np.arange(3, 143) ** 0.9
    labels = np.array([f"D{100 + 7 * k % 941:03d}" for k in range(140)])
    return rng.choice(labels, n, p=sizes / sizes.sum())


def _diagnosis(rng, age, smoker, bmi) -> tuple[np.ndarray, np.ndarray]:
    """A department by age and habit, then one of its 25 to 60 codes."""
    departments = {
        "general": ("Z", 60),
        "cardiology": ("I", 45),
        "surgery": ("S", 50),
        "paediatrics": ("P", 25),
        "pneumology": ("J", 30),
    }
    weight = np.column_stack(
        [
            np.full(len(age), 1.6),
            0.1 + (age / 55) ** 2 + 0.05 * np.clip(bmi - 27, 0, None),
            np.full(len(age), 0.7),
            np.where(age < 16, 6.0, 0.0),
            0.4 + 0.9 * smoker,
        ]
    )
    draw = rng.random(len(age))[:, None] * weight.sum(1, keepdims=True)
    chosen = (draw > weight.cumsum(1)).sum(1)
    names = np.array(list(departments))[chosen]
    codes = np.empty(len(age), object)
    for name, (letter, count) in departments.items():
        rows = np.flatnonzero(names == name)
        odds = 1 / np.arange(1, count + 1) ** 0.8
        codes[rows] = [f"{letter}{k:02d}" for k in rng.choice(count, len(rows), p=odds / odds.sum())]
    return names, codes


def write(frame: pd.DataFrame, path: Path) -> None:
    """CSV, gzipped without a time stamp: equal rows, equal bytes."""
    text = io.StringIO()
    frame.to_csv(text, index=False, lineterminator="\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.getvalue().encode(), 9, mtime=0))


def main() -> None:
    write(randhie(), HERE / "randhie" / "randhie.csv.gz")
    write(wine(), HERE / "wine" / "wine.csv.gz")
    for month in MONTHS:
        write(clinic(month), HERE / "clinic" / f"visits-{month}.csv.gz")


if __name__ == "__main__":
    main()
