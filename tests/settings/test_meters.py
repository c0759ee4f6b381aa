"""More meters, each in a table of the file."""

from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.model.errors import SettingsError, UsageError
from reconciler.settings.load import ChargeBy, Settings, load_settings


def load(folder: Path, text: str, environ: dict[str, str]) -> Settings:
    (folder / "reconcile.toml").write_text(text)
    return load_settings(environ=environ)


def test_a_table_inherits_from_the_environment_and_the_top_level(enough: dict[str, str], folder: Path) -> None:
    settings = load(
        folder,
        """
        properties = "both"
        window = "30m"
        exclude = ["team:internal"]
        [meters.teams]
        lago_api_event_code = "team_tokens"
        lago_api_charge_by = "team_id"
        window = "1h"
        exclude = []
        [meters.users]
        lago_api_charge_by = "user_id"
        """,
        enough | {"RECONCILE_WINDOW": "10m"},
    )
    assert [(m.name, m.event_code, m.charge_by, m.window, m.properties, len(m.exclude)) for m in settings.meters] == [
        ("teams", "team_tokens", ChargeBy.TEAM, timedelta(hours=1), "both", 0),
        ("users", "openai_tokens", ChargeBy.USER, timedelta(minutes=10), "both", 1),
    ]


def test_the_top_level_of_the_file_is_a_meter_if_it_has_a_code(enough: dict[str, str], folder: Path) -> None:
    text = 'meter = "eu"\nlago_api_event_code = "a"\n[meters.teams]\nlago_api_event_code = "b"'
    assert [meter.name for meter in load(folder, text, enough).meters] == ["eu", "teams"]


TWO = '[meters.teams]\nlago_api_event_code = "a"\n[meters.users]\nlago_api_event_code = "b"'


def test_of_more_meters_the_environment_or_a_flag_chooses_one(enough: dict[str, str], folder: Path) -> None:
    chosen = load(folder, TWO, enough | {"RECONCILE_METER": "users"})
    assert [meter.name for meter in chosen.meters] == ["users"]
    chosen = load_settings(environ=enough | {"RECONCILE_METER": "users"}, overrides={"meter": "teams"})
    assert [meter.name for meter in chosen.meters] == ["teams"]
    with pytest.raises(
        SettingsError, match=r"RECONCILE_METER is default, and the meters in .* are teams, users"
    ) as told:
        load(folder, TWO, enough | {"RECONCILE_METER": "default"})
    assert told.value.exit_code == 1
    with pytest.raises(UsageError, match="--meter nobody: the settings describe teams, users"):
        load_settings(environ=enough, overrides={"meter": "nobody"})


def test_without_a_code_of_its_own_the_top_level_is_no_meter(enough: dict[str, str], folder: Path) -> None:
    del enough["LAGO_API_EVENT_CODE"]
    text = '[meters.teams]\nlago_api_event_code = "a"\n[meters.users]\nlago_api_event_code = "b"'
    assert [meter.name for meter in load(folder, text, enough).meters] == ["teams", "users"]
    with pytest.raises(SettingsError, match=r"^lago_api_event_code of \[meters.c\] in reconcile.toml is not set: .*$"):
        load(folder, text + "\n[meters.c]", enough)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[meters.teams]\nwindow = "7m"', r"window of \[meters.teams\] in reconcile.toml: a window of 7m"),
        ("[meters.teams]\nwindw = 1", r"windw of \[meters.teams\] in reconcile.toml is not .* mean window\?"),
        ('[meters.teams]\nname = "x"', r"name of \[meters.teams\] in reconcile.toml is not a setting"),
        ('[meters.teams]\nmeter = "x"', r"meter of \[meters.teams\] in reconcile.toml is not a setting"),
        ('[meters.teams]\nsettle = "1m"', r"settle of \[meters.teams\] in .* not a setting: it holds for all meters"),
        ('[meters."a b"]', r"\[meters.a b\] in reconcile.toml: 'a b' can't name a meter"),
        (
            'lago_api_event_code = "a"\n[meters.default]',
            r"\[meters.default\] in reconcile.toml has the name of the meter",
        ),
        ('[meter.teams]\nwindow = "1m"', r"\[meter\] in reconcile.toml is no table of a meter: write \[meters.NAME\]"),
        ("[meters.teams]\nwindow = {a = 1}", r"window of \[meters.teams\] in reconcile.toml must be a text"),
        ("meters = 1", r"meters in reconcile.toml must be tables, such as"),
        ("[meters]\nteams = 1", r"meters in reconcile.toml must be tables, such as"),
    ],
)
def test_faults_name_the_table(enough: dict[str, str], folder: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=f"^{says}") as error:
        load(folder, text, enough)
    assert "\n" not in str(error.value)


def test_a_fault_of_the_top_level_is_told_once(enough: dict[str, str], folder: Path) -> None:
    with pytest.raises(SettingsError) as error:
        load(folder, 'window = "7m"\n[meters.teams]\n[meters.users]', enough)
    (line,) = str(error.value).splitlines()
    assert line.startswith("window in reconcile.toml (RECONCILE_WINDOW): ")
