from pathlib import Path

Path(__file__).with_suffix(".ran").touch()
