"""What a release says about itself in words: the same sentences for the card and for Croissant's RAI fields."""

from __future__ import annotations

from synth_pipeline.publishing.manifest import Manifest


def summary(manifest: Manifest) -> str:
    return (
        f"{manifest.rows:,} synthetic rows, drawn from a model of type {manifest.training.generator} that learned from "
        f"{'simulated' if manifest.source.simulated else 'real'} data."
    )


def derived_from(manifest: Manifest) -> str:
    source = manifest.source
    if source.kind == "none":
        return "No source data."
    kind = "simulated data" if source.simulated else "data"
    licence = f" (licence: {source.licence})" if source.licence else ""
    return f"{kind} of kind {source.kind}: {source.uri or 'unnamed'}{licence}, content {source.content_id[:16]}"


def generated_by(manifest: Manifest) -> str:
    made, learned = manifest.generation, manifest.training
    return (
        f"Generator {learned.generator} {learned.version}".strip()
        + f" was fitted to {learned.rows:,} rows after a privacy filter, "
        + f"and drew {made.rows:,} rows from seed {made.seed}."
    )


def limitations(manifest: Manifest) -> str:
    return (
        "The rows are drawn from a model, none describes a real case. Rare combinations, extremes and relations among "
        "many columns may be missing or wrong; what was measured stands in scorecard.json, and nothing else was."
    )


def biases(manifest: Manifest) -> str:
    text = "The rows repeat the biases of the source, and may weaken or strengthen them; small groups suffer most."
    if manifest.generation.balance or manifest.generation.conditions:
        changed = sorted({*manifest.generation.balance, *manifest.generation.conditions})
        text += f" On purpose, these columns do not follow the source: {', '.join(changed)}."
    return text


def personal(manifest: Manifest) -> str:
    surrogates = [f"{field.name} ({field.surrogate})" for t in manifest.tables for field in t.fields if field.surrogate]
    dropped = [name for name, action in manifest.privacy.actions.items() if action.get("type") == "drop"]
    parts = ["No value of an identifying column of the source was handed to the generator."]
    if surrogates:
        parts.append(f"Freshly invented, nobody's: {', '.join(surrogates)}.")
    if dropped:
        parts.append(f"Removed: {', '.join(dropped)}.")
    check = manifest.validation
    parts.append(
        f"Copying of training rows was measured under the policy {check.policy} {check.policy_version}".rstrip()
        + f" (verdict: {check.verdict}, scored attempt {check.attempts}). No formal privacy guarantee is claimed."
    )
    return " ".join(parts)


def uses(manifest: Manifest) -> str:
    return (
        "Development, testing, teaching, and analyses of the kinds that scorecard.json covers. "
        "Not for decisions about persons, and not for estimating rare events."
    )


def impact(manifest: Manifest) -> str:
    return (
        "Gives access to the shape of data that cannot be shared. Results should be confirmed on real data before "
        "anybody is affected by them; the data must not be passed off as real."
    )
