"""The configuration of the documentation."""

from importlib.metadata import version as installed_version

project = "lucid"
author = "The lucid developers"
copyright = "2026, the lucid developers"
version = release = installed_version("lucid-bce")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx-mathjax-offline",  # formulas without a network
]
exclude_patterns = ["_build", "examples"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
autodoc_typehints = "none"  # numpydoc's parameter lists say the types
autodoc_member_order = "bysource"
autosummary_generate = False
default_role = "py:obj"
numpydoc_show_class_members = False
numpydoc_validation_checks = {"GL08", "PR01", "PR02", "PR03", "SS03", "YD01"}
numpydoc_validation_exclude = {
    r"\.forward$",
    r"\.extra_repr$",
    r"Tensor\.(mean|astype)$",
    r"\.value_and_grad$",
    r"^lucid\.(protocol|hookspecs|kernels|tiling)\.",
}

html_theme = "furo"
html_title = "lucid"
