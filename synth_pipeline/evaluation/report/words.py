"""What every measure, verdict and check means, in words for somebody who has not met them before."""

from __future__ import annotations

from synth_pipeline.evaluation.report.charts import number
from synth_pipeline.evaluation.report.wording import Words, signed

GROUPS: dict[str, tuple[str, str]] = {
    "copying": ("Copying", "does the table repeat the people it was learned from?"),
    "attacks": ("Attacks", "what could somebody who has the table find out about a person?"),
    "fidelity": ("Fidelity", "does the table look like the real one?"),
    "utility": ("Utility", "does it serve in the real one's place?"),
    "fairness": ("Fairness", "is that so for every group?"),
    "other": ("Other", "measures of plug-ins."),
}
"""Groups of measures in the order of the report: title, question."""
PRIVACY = ("copying", "attacks")
"""Groups that protect people."""


_RISK = "0\u00a0%: the table tells nothing about a person in the data that it would not tell about anybody."
_HELD = "Held-out people, whom the model never saw, are the yardstick."

MEASURES: dict[str, Words] = {
    # copying
    "copy_excess": Words(
        "Rows that lean on a training row",
        "The estimated share of synthetic rows that lie closer to a person in the training data than chance explains. "
        "People who were never shown to the model are the yardstick.",
        "0 % means that the model remembers nobody; below 0 % is chance.",
        group="copying",
        span=(0.0, 0.02),
        notices="if {x} of the rows were copies",
        of="independent real units",
    ),
    "nearest_share": Words(
        "Nearest real row is a training row",
        "Of all synthetic rows, the share whose nearest real row is one the model was trained on.",
        "Equal to training's part of the real rows when the model favours none of them.",
        group="copying",
        beside="expected",
        notices="if for {x} of the rows the nearest real row were a training row",
        of="independent real units",
    ),
    "exact_match_excess": Words(
        "Exact copies beyond chance",
        "Synthetic rows equal to a training row, less how often they equal a held-out row by coincidence.",
        "0 %: simple tables repeat rows by chance, and those do not count.",
        group="copying",
        span=(0.0, 0.02),
        notices="if {x} of the rows were exact copies",
    ),
    "corner_copy_excess": Words(
        "Rows that lean on a training row, in the worst corner",
        "The same among few: the rows of one level of a column, or the most unusual ones. An average over the whole "
        "table hides copies of a few people; the worst corner counts.",
        "0 %: no corner of the table pays for the rest.",
        group="copying",
        span=(0.0, 0.02),
        notices="if {x} of the rows of a corner were copies",
        of="independent real units",
    ),
    "near_match_excess": Words(
        "Near copies beyond chance",
        "Synthetic rows that differ from a training row in hardly anything (one value, or a little noise), less how "
        "often they come so near to a held-out row.",
        "0 %: a copy with one value changed is still a copy, and none was found.",
        group="copying",
        span=(0.0, 0.02),
        notices="if {x} of the rows were near copies",
    ),
    "value_replay_excess": Words(
        "Rare values replayed beyond chance",
        "Nearly unique values (identifiers, exact amounts) of the training rows that reappear in the synthetic ones, "
        "less the rate at which held-out values do.",
        "0 %: no training row's private value came back.",
        group="copying",
        span=(0.0, 0.02),
        notices="if {x} of the rows held a value of one person alone",
    ),
    "cumulative_exposure": Words(
        "Copies in all releases together",
        "People of the training data who are repeated by this table or by any earlier release from the same source, "
        "less the rate at which held-out people are.",
        "0 %: what is published adds up, and so far it exposes nobody.",
        group="copying",
        span=(0.0, 0.02),
        notices="if {x} of the people were repeated",
        of="people",
    ),
    "c_t": Words(
        "Data-copying test C_T",
        "Compares, region by region, how near synthetic rows and held-out rows come to the training rows "
        "(Meehan et al. 2020, with the sign turned), in standard deviations of chance.",
        "About 0: as near as other real people. Far above 0 (3 and more): nearer, as copies are.",
        show=number,
        group="copying",
        notices="at a C_T of {x}",
        span=(-4.0, 4.0),
    ),
    "nndr_excess": Words(
        "Rows much nearer to one person than to the next",
        "Synthetic rows whose nearest training row is far nearer than the second nearest, less how often that is so "
        "of held-out rows.",
        "0 %: rows lie among people, not on top of one.",
        group="copying",
        span=(0.0, 0.02),
        notices="if {x} of the rows lay so",
    ),
    "authenticity_excess": Words(
        "Rows nearer to a person than that person's neighbours",
        "Synthetic rows that lie nearer to a training row than any other real row does (Alaa et al. 2022), less how "
        "often held-out rows do.",
        "0 %: no more of them than among people whom the model never saw.",
        group="copying",
        span=(0.0, 0.02),
        notices="if {x} of the rows lay so",
    ),
    # attacks
    "singling_out_univariate": Words(
        "Singling out by one value",
        "Somebody takes a rare value from the synthetic table and claims: exactly one person in your data has it. "
        + _HELD,
        _RISK,
        group="attacks",
        span=(0.0, 0.2),
        beside="no risk",
        notices="at a risk of {x}",
        of="attacks",
    ),
    "singling_out_multivariate": Words(
        "Singling out by several values",
        "Somebody takes a combination of values from a synthetic row and claims: exactly one person in your data has "
        "it. " + _HELD,
        _RISK,
        group="attacks",
        span=(0.0, 0.2),
        beside="no risk",
        notices="at a risk of {x}",
        of="attacks",
    ),
    "linkability": Words(
        "Linking two halves of a record",
        "Somebody has two files, each with half of a person's fields, and uses the synthetic table to say which "
        "records belong together. " + _HELD,
        _RISK,
        group="attacks",
        span=(0.0, 0.2),
        beside="no risk",
        notices="at a risk of {x}",
        of="attacks",
    ),
    "attribute_inference": Words(
        "Guessing a hidden field",
        "Somebody knows the other fields of a person and reads the missing one off the synthetic table; the field "
        "that gives most away counts. " + _HELD,
        _RISK,
        group="attacks",
        span=(0.0, 0.2),
        beside="no risk",
        notices="at a risk of {x}",
        of="attacks",
    ),
    "attribute_inference_overall": Words(
        "Guessing hidden fields, on average",
        "The same averaged over all fields: where whole records leak, every field gives a little away. " + _HELD,
        _RISK,
        group="attacks",
        span=(0.0, 0.2),
        beside="no risk",
        notices="at a risk of {x}",
        of="people",
    ),
    "mia_auc": Words(
        "Telling who was in the data",
        "Somebody holds the whole records of two people, one of whom was in the training data, and says which; this "
        "is how often the best of the attackers is right.",
        "0.5 is tossing a coin, 1.0 is always right.",
        show=number,
        group="attacks",
        span=(0.45, 0.7),
        beside="chance",
        notices="at an AUC of {x}",
        of="people",
    ),
    "mia_tpr": Words(
        "Telling for sure who was in the data",
        "The share of training people whom an attacker recognises while wrongly accusing 1 % of the people who were "
        "not in the data: a few who are surely found count more than many who are half guessed.",
        "1 % is chance.",
        group="attacks",
        span=(0.0, 0.05),
        beside="chance",
        notices="if {x} of the people were recognised",
        of="people",
    ),
    "audit_epsilon": Words(
        "Leak proved by canaries",
        "Made-up people (canaries) were shown to the model or not, by the toss of a coin, and an auditor guessed which "
        "from what it makes. So many right guesses need a privacy loss ε of at least this.",
        "0: the auditor did no better than the coin. It is a lower bound: the true ε may be larger.",
        show=number,
        group="attacks",
        span=(0.0, 1.0),
        beside="chance",
        notices="at an ε of {x}",
        of="canaries",
    ),
    # fidelity
    "shape_error": Words(
        "Shape of single columns",
        "How far each column's distribution is from the real one, averaged over columns.",
        "As small as the difference between two random halves of the real data (the reference).",
    ),
    "trend_error": Words(
        "Relations between columns",
        "How far the joint distribution of pairs of columns is from the real one, averaged over pairs.",
        "As small as the reference.",
    ),
    "triple_error": Words(
        "Relations between three columns",
        "How far the joint distribution of triples of columns is from the real one, averaged over triples.",
        "As small as the reference.",
    ),
    "k_marginal": Words(
        "NIST k-marginal score",
        "Agreement of the joint distributions of several columns at once, as NIST scores it: 0 to 1,000.",
        "As large as the reference; 1,000 is the real table itself.",
        show=number,
        at_least=True,
        span=(0.0, 1000.0),
    ),
    "c2st_auc": Words(
        "Telling real from synthetic",
        "A strong classifier is trained to tell real rows from synthetic ones; this is how well it does.",
        "0.5 is guessing: nobody can tell. 1.0 is always right.",
        show=number,
        span=(0.4, 1.0),
    ),
    "pmse_ratio": Words(
        "Propensity score (pMSE ratio)",
        "How sure a classifier is which rows are synthetic, over how sure it would be if labels were shuffled.",
        "1 is chance; 10 and more is easily told.",
        show=number,
        span=(0.0, 3.0),
    ),
    "precision": Words(
        "Precision",
        "The share of synthetic rows that lie where real rows lie: are the rows believable?",
        "As large as the reference.",
        at_least=True,
        span=(0.0, 1.0),
    ),
    "recall": Words(
        "Recall",
        "The share of real rows that lie where synthetic rows lie: is every kind of row drawn?",
        "As large as the reference.",
        at_least=True,
        span=(0.0, 1.0),
    ),
    "density": Words(
        "Density",
        "As precision, but a single odd real row cannot vouch for many synthetic ones (Naeem et al. 2020).",
        "About 1; it may be larger where rows crowd in the middle.",
        show=number,
        at_least=True,
        span=(0.0, 1.0),
    ),
    "coverage": Words(
        "Coverage",
        "As recall, but no single odd synthetic row can vouch for many real ones (Naeem et al. 2020).",
        "As large as the reference; low coverage means kinds of rows that are missing.",
        at_least=True,
        span=(0.0, 1.0),
    ),
    "missing_error": Words(
        "Missing values",
        "How far the share of missing values is from the real one, averaged over columns.",
        "As small as the reference.",
    ),
    "constraint_violations": Words(
        "Broken rules",
        "The share of released rows that break a constraint of the specification.",
        "0 %.",
    ),
    # utility
    "tstr_ratio": Words(
        "Use for machine learning",
        "A model trained on synthetic rows and one trained on real rows are both tested on real rows that neither has "
        "seen; this is the first one's quality over the second one's.",
        "100 %: the synthetic table teaches as much as the real one.",
        at_least=True,
        beside="learned from real rows",
        group="utility",
    ),
    "trts_ratio": Words(
        "Real lessons hold in the synthetic table",
        "A model trained on real rows is tested on synthetic ones, and on held-out real ones; this is the first "
        "quality over the second.",
        "100 %; well above means that the synthetic rows are simpler than the real ones.",
        at_least=True,
        group="utility",
    ),
    "augmentation_gain": Words(
        "Adding synthetic rows to real ones",
        "Quality on unseen real rows of a model that learns from real and synthetic rows together, over that of one "
        "that learns from the real ones alone.",
        "Above 100 % they help; below, they do harm.",
        at_least=True,
        beside="real rows alone",
        group="utility",
        span=(0.98, 1.02),
    ),
    # fairness
    "group_shape_error": Words(
        "Shape of columns in the worst-drawn group",
        "The shape error within each group of people, less that of held-out people of the same group; the worst group "
        "counts.",
        "0 %: every group is drawn as well as two halves of it resemble each other.",
        group="fairness",
    ),
    "group_copy_excess": Words(
        "Leaning on a training row, in the worst group",
        "The estimated share of synthetic rows that lean on a training person of one group; the worst group counts. "
        "A small group may pay for what the average hides.",
        "0 %: no group pays for the others.",
        beside="chance",
        group="fairness",
        notices="if {x} of a group's rows were copies",
        of="independent real units",
    ),
    "group_tstr_ratio": Words(
        "Use for machine learning, in the worst-served group",
        "Quality on one group of a model trained on synthetic rows over that of one trained on real rows; the worst "
        "group counts.",
        "100 %: every group is served as by real rows.",
        at_least=True,
        beside="learned from real rows",
        group="fairness",
    ),
    "demographic_parity_gap": Words(
        "Unequal predictions",
        "How far apart the groups' shares of favourable predictions are, for a model trained on synthetic rows, less "
        "the same for one trained on real rows.",
        "0 %: the synthetic rows add no inequality. What inequality the real rows teach is beside it, in the groups' "
        "section.",
        show=signed,
        group="fairness",
        beside="as with real rows",
    ),
    "equalized_odds_gap": Words(
        "Unequal errors",
        "How far apart the groups' rates of right and wrong favourable predictions are, for a model trained on "
        "synthetic rows, less the same for one trained on real rows.",
        "0 %: the synthetic rows add no inequality.",
        show=signed,
        group="fairness",
        beside="as with real rows",
    ),
}


def protects(name: str) -> bool:
    """Whether a measure is about people's privacy."""
    return of(name).group in PRIVACY or name == "group_copy_excess"


def of(name: str) -> Words:
    """A measure's words; a plug-in's own measure goes by its name."""
    return MEASURES.get(name) or Words(name.replace("_", " "), "", "", show=number, group="other")
