"""Flag over environment over file over default; where the file is found."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.errors import SettingsError
from reconciler.settings.load import load_settings


def window(**given: Any) -> timedelta:
    return load_settings(**given).meters[0].window


def test_each_place_goes_before_the_next(enough: dict[str, str], folder: Path) -> None:
    assert window(environ=enough) == timedelta(minutes=15)
    (folder / "reconcile.toml").write_text('window = "30m"')
    assert window(environ=enough) == timedelta(minutes=30)
    told = enough | {"RECONCILE_WINDOW": "10m"}
    assert window(environ=told) == timedelta(minutes=10)
    assert window(environ=told, overrides={"window": "5m"}) == timedelta(minutes=5)
    assert window(environ=told, overrides={"window": None}) == timedelta(minutes=10)


def test_an_empty_variable_says_nothing(enough: dict[str, str], folder: Path) -> None:
    (folder / "reconcile.toml").write_text('window = "30m"')
    assert window(environ=enough | {"RECONCILE_WINDOW": "", "RECONCILE_RATE": " "}) == timedelta(minutes=30)


def test_the_flag_names_the_file_then_the_variable(enough: dict[str, str], folder: Path) -> None:
    for name, length in (("reconcile.toml", "30m"), ("variable.toml", "20m"), ("flag.toml", "10m")):
        (folder / name).write_text(f'window = "{length}"')
    told = enough | {"RECONCILE_CONFIG": "variable.toml"}
    assert window(environ=told) == timedelta(minutes=20)
    assert window(environ=told, config=folder / "flag.toml") == timedelta(minutes=10)


def test_the_process_s_environment_is_the_default(enough: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (enough | {"RECONCILE_WINDOW": "10m"}).items():
        monkeypatch.setenv(name, value)
    assert window() == timedelta(minutes=10)
    assert window(environ=enough) == timedelta(minutes=15)


def test_the_file_may_hold_everything(folder: Path) -> None:
    (folder / "reconcile.toml").write_text(
        """
        database_url = "postgresql://db/x"
        lago_api_base = "https://lago.example"
        lago_api_key = "key-secret"
        lago_api_event_code = "tokens"
        lago_api_charge_by = "user_id"
        rate = 3
        precise_cents = true
        exclude = ["team:internal", "customer:a,b"]
        """
    )
    settings = load_settings(environ={})
    assert settings.rate == 3
    assert settings.meters[0].precise_cents
    assert [exclusion.pattern for exclusion in settings.meters[0].exclude] == ["internal", "a,b"]


@pytest.mark.parametrize("content", ["window = ", "window", b"\xff"])
def test_a_broken_file_is_told_without_its_text(folder: Path, content: str | bytes) -> None:
    text = content.encode() if isinstance(content, str) else content
    (folder / "reconcile.toml").write_bytes(b'lago_api_key = "key-secret"\n' + text)
    with pytest.raises(SettingsError, match=r"reconcile.toml is not TOML") as error:
        load_settings(environ={})
    assert "key-secret" not in str(error.value)


def test_a_named_file_must_be_there(folder: Path) -> None:
    with pytest.raises(SettingsError, match=r"RECONCILE_CONFIG: 'none.toml' can't be read"):
        load_settings(environ={"RECONCILE_CONFIG": "none.toml"})
    with pytest.raises(SettingsError, match=r"--config: .* can't be read"):
        load_settings(environ={}, config=folder)


def test_a_working_directory_that_may_not_be_entered_holds_no_settings(
    enough: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    assert window(environ=enough) == timedelta(minutes=15)
