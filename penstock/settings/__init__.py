"""Settings: one YAML file, the environment over it, every mistake one clear line."""

from engine.backpressure.settings import BackPressureMode, BackPressureSettings
from penstock.settings.run import LoggingSettings, ManagementSettings, RunSettings, load_management, load_settings

__all__ = [
    "BackPressureMode",
    "BackPressureSettings",
    "LoggingSettings",
    "ManagementSettings",
    "RunSettings",
    "load_management",
    "load_settings",
]
