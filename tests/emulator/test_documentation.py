from pathlib import Path

from replicate_emulator import EmulatorSettings, Rule

PAGE = Path(__file__).parents[2] / "docs" / "emulator.md"


def test_every_setting_and_every_rule_is_documented() -> None:
    page = PAGE.read_text(encoding="utf-8")

    fields = [*EmulatorSettings.model_fields, *Rule.model_fields]

    assert [name for name in fields if f"`{name}`" not in page] == []


def test_the_documented_defaults_are_the_real_ones() -> None:
    rows = [
        [cell.strip() for cell in line.split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
    ]
    documented = {row[1].strip("`"): row[2] for row in rows if len(row) == 5}

    for name, field in EmulatorSettings.model_fields.items():
        if isinstance(field.default, int | float):
            assert documented[name] == str(field.default).lower()
