"""The examples of the documentation run, and say what they promise."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lucid

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"


def run_example(name, *arguments, folder, **environment):
    """Run an example in a folder of its own, with warnings as errors and nothing selected."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("LUCID_")}
    return subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name, *arguments],
        env={**inherited, "OMP_NUM_THREADS": "1", **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def accuracies(printed):
    return [float(number) for number in re.findall(r"accuracy: (0\.\d+)", printed)]


@pytest.fixture
def classifier(tmp_path):
    """Run the classifier's example in an empty folder."""
    for module in ("sklearn", "matplotlib", "tqdm"):
        pytest.importorskip(module, reason=f"{module} is not installed; see the extra [examples]")

    def run(*arguments, **environment):
        return run_example("train_classifier.py", *arguments, folder=tmp_path, **environment)

    return run


def test_the_classifier_learns_and_draws_its_loss_curve(classifier, tmp_path):
    result = classifier()
    assert result.returncode == 0, result.stderr
    (accuracy,) = accuracies(result.stdout)
    assert accuracy >= 0.95
    assert (tmp_path / "loss_curve.png").read_bytes().startswith(b"\x89PNG")
    assert "numpy: 100%" in result.stderr


def test_another_seed_is_another_start(classifier):
    one, other = (classifier("--epochs", "1", "--seed", seed).stdout.splitlines()[0] for seed in "12")
    assert one.startswith("final loss: 0.")
    assert one != other


def test_the_classifier_trains_alike_on_every_backend_that_can_run(classifier, tmp_path):
    result = classifier("--compare", "--epochs", "60", "--plot", "all.png")
    assert result.returncode == 0, result.stderr
    rows = {row.split()[0]: row for row in result.stdout.splitlines() if row}
    for entry in lucid.backends(probe=True):
        if entry.state == "ready":
            assert re.search(r" 0\.9[5-9]\d\d +\d\.\de[+-]\d\d$", rows[entry.name])
        else:
            assert "not usable: " in rows[entry.name]
    assert (tmp_path / "all.png").exists()


def test_the_classifier_trains_where_the_argument_says(classifier):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    result = classifier("--backend", "torch", "--epochs", "60", LUCID_BACKEND="numpy")
    assert result.returncode == 0, result.stderr
    assert "torch: 100%" in result.stderr
    assert accuracies(result.stdout)[0] >= 0.95


def test_the_classifier_asks_the_environment_and_says_why_a_backend_can_not_be_used(classifier):
    result = classifier(LUCID_BACKEND="nunpy")
    assert result.returncode == 1
    assert result.stderr.startswith("no backend named 'nunpy' is installed. Did you mean 'numpy'?")


def test_lucids_loss_replaces_pytorchs_in_its_training_loop_and_recovers_from_saturation(tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed; see the extra [examples]")
    result = run_example("torch_training.py", "--epochs", "12", folder=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "they agree" in result.stdout
    curves = re.findall(r"(\w+)\.nn\.BCELoss: (\S+) in the first epoch, (\S+) in the last", result.stdout)
    losses = {name: (float(first), float(last)) for name, first, last in curves}
    assert min(losses["torch"]) > 29
    assert losses["lucid"][1] < 1
    assert (tmp_path / "saturation.png").read_bytes().startswith(b"\x89PNG")


def test_a_file_is_evaluated_in_parts_with_the_same_bits_for_any_number_of_them(tmp_path):
    printed = [run_example("evaluate_in_parts.py", number, folder=tmp_path) for number in ("1", "7")]
    assert [each.returncode for each in printed] == [0, 0], printed
    losses = {each.stdout.partition(": ")[2] for each in printed}
    assert len(losses) == 1
    assert losses.pop()[:14] in (EXAMPLES.parent / "evaluation.md").read_text()


def test_a_loader_is_evaluated_in_batches(tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    result = run_example("evaluate_loader.py", folder=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(set(re.findall(r": (\d\.\d{6})$", result.stdout, re.MULTILINE))) == 1
