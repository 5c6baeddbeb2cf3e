"""A wrong YAML says file, line, field, what is allowed and the nearest name; all at once; no text is dangerous."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_pipeline.errors import SpecError
from synth_pipeline.spec import yaml

HEAD = f"type: {yaml.COMPONENT}\nattributes:\n"
GOOD = HEAD + "  name: adult\n  source: {type: file, path: adult.csv}\n"


def problem(text: str, tmp_path: Path) -> str:
    file = tmp_path / "defs.yaml"
    file.write_text(text, "utf-8")
    with pytest.raises(SpecError) as caught:
        yaml.load_spec(file)
    assert caught.value.exit_code == 2
    return str(caught.value).replace(str(file), "defs.yaml")


def test_a_minimal_file_is_enough(tmp_path: Path) -> None:
    file = tmp_path / "defs.yaml"
    file.write_text("\ufeff" + GOOD, "utf-8")
    assert yaml.load_spec(file).name == "adult"
    assert yaml.load_spec(GOOD) == yaml.load_spec(file)


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        ("  generator: {type: ctgan, epoch: 5}", 'defs.yaml:5: generator.epoch: unknown field; did you mean "epochs"?'),
        ("  generator:\n    type: tree", 'defs.yaml:5: generator: unknown type "tree"; did you mean "trees"?'),
        ("  generator: {min_leaf: 3}", "defs.yaml:5: generator: needs a `type:`; allowed: "),
        ("  sed: 1", 'defs.yaml:5: sed: unknown field; did you mean "seed"?'),
        ("  seed: -1", "defs.yaml:5: seed: must be greater than or equal to 0"),
        ("  modality: tabuler", 'defs.yaml:5: modality: unknown modality "tabuler"; did you mean "tabular"?'),
        ("  columns:\n    age:\n      meaning: numbr", "defs.yaml:7: columns.age.meaning: allowed: number, category"),
        ("  columns:\n    age: {roles: [traget]}", 'defs.yaml:6: columns.age.roles[0]: allowed: primary_key'),
        ("  constraints:\n    - {type: range, column: a}", "defs.yaml:6: constraints[0]: give `min`, `max` or both"),
        ("  constraints:\n    - {type: inequality, low: a}", "defs.yaml:6: constraints[0].high: required"),
        ("  privacy: {columns: {a: {type: fake, locle: x}}}", 'a.locle: unknown field; did you mean "locale"?'),
        ("  partitions: {type: yearly}", 'partitions: unknown type "yearly"; allowed: daily, monthly, static, weekly'),
        ("  split: 0.3", "defs.yaml:5: split: needs fields of its own"),
        ("  description: 3", 'defs.yaml:5: description: needs a text: put it in "quotes"'),
        ("  name: again", "defs.yaml:5: name: given twice, first in line 3"),
        ("  columns: {no: {}}", 'defs.yaml:5: YAML reads the key no as bool: write "no"'),
        ("  description: \"{{ env('X') }}\"", "defs.yaml:5: a template cannot be used here"),
        ("  columns: [", "defs.yaml:"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_with_line_field_and_nearest_name(addition: str, message: str, tmp_path: Path) -> None:
    assert message in problem(GOOD + addition + "\n", tmp_path)


def test_all_problems_are_told_at_once_in_the_files_order(tmp_path: Path) -> None:
    told = problem(GOOD + "  seed: -1\n  generator: {type: ctgan, epoch: 5, pac: 0}\n  sed: 3\n", tmp_path).splitlines()
    assert told[0] == "defs.yaml: 4 problems"
    assert [line.split(": ")[1] for line in told[1:]] == ["seed", "generator.pac", "generator.epoch", "sed"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "declares no dataset"),
        ("- a\n", "not a mapping"),
        ("type: other.Component\nattributes: {}\n", "declares no dataset"),
        (
            f"type: {yaml.COMPONENT}\nattribute: {{}}\n",
            'defs.yaml:2: attribute: unknown field; did you mean "attributes"?',
        ),
        (f"type: {yaml.COMPONENT}\n", "attributes: required"),
        ("a: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
        ("a: 2026-99-99\n", "not YAML"),
        ("a: &a [*a]\n", "an alias that holds itself"),
        ("a: " + "[" * 100_000, "nested deeper than 50 levels"),
        ("a: \x00\n", "not YAML"),
    ],
)
def test_files_that_are_no_dataset_are_refused_in_words(text: str, message: str, tmp_path: Path) -> None:
    assert message in problem(text, tmp_path)


def test_aliases_cannot_grow_without_bound(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    assert "stands for more than 500,000 values" in problem("\n".join(lines), tmp_path)


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read: No such file"):
        yaml.load_spec(tmp_path / "missing.yaml")
    (tmp_path / "latin.yaml").write_bytes("name: caf\xe9".encode("latin-1"))
    with pytest.raises(SpecError, match="not UTF-8"):
        yaml.load_spec(tmp_path / "latin.yaml")


def test_no_value_is_repeated_in_a_message(tmp_path: Path) -> None:
    secret = "hunter2-very-secret"
    told = problem(
        HEAD + f"  name: a\n  seed: {secret}\n  source: {{type: sql, url: [{secret}], table: t}}\n", tmp_path
    )
    assert "seed" in told
    assert secret not in told


def test_templates_are_filled_in_before_validation() -> None:
    text = GOOD.replace("adult.csv", '"{{ x }}/adult.csv"') + '  generator: {type: ctgan, epochs: "{{ n }}"}\n'
    spec = yaml.load_spec(text, render=lambda value: value.replace("{{ x }}", "/data").replace("{{ n }}", "7"))
    assert (spec.source.model_dump()["path"], spec.generator.model_dump()["epochs"]) == ("/data/adult.csv", 7)


@given(st.dictionaries(st.text(min_size=1), st.text() | st.integers() | st.lists(st.text()), max_size=5))
def test_what_is_written_is_read_back_and_inert(attributes: dict[str, object]) -> None:
    document = yaml.documents(yaml.write(attributes, "a note\nof two lines"))[0]
    from jinja2.nativetypes import NativeTemplate

    def filled(value: object) -> object:
        if isinstance(value, list):
            return [filled(item) for item in value]
        return (
            str(NativeTemplate(value + "\ue000").render())[:-1] if isinstance(value, str) and "{{" in value else value
        )

    assert {key: filled(value) for key, value in document.attributes.items()} == attributes


@given(st.text())
def test_any_text_is_read_or_refused_never_worse(text: str) -> None:
    with pytest.raises(SpecError):
        yaml.load_spec(text)
