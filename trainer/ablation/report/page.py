"""Writes a report as one HTML file that needs nothing else: style, script and charts are in it, no request leaves it.

A content security policy forbids every request and every script but the page's own, which its hash names. So a text of
the corpus that got past the escaping could still neither run nor call anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipelines.progress import format_seconds
from pipelines.store.files import write_bytes
from trainer.ablation.report.data import ReportData

AXES = {"flops": "FLOPs", "cpu_seconds": "CPU seconds"}
"""Names of the axes of cost for people, where they are others."""

_UNITS = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def write_page(data: ReportData, url: str) -> None:
    """Render a report and write it to `url`."""
    write_bytes(url, render(data).encode())


def render(data: ReportData) -> str:
    """Return the report as HTML."""
    return render_template("page.html.j2", __package__, data=data)


def render_template(name: str, package: str, **values: Any) -> str:
    """Return a page in the style of the reports: a template of `package`, which may use the parts of this one."""
    folder = files(__package__) / "template"
    script = (folder / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    style = (folder / "page.css").read_text(encoding="utf-8")
    template = _environment(package).get_template(name)
    return template.render(style=Markup(style), script=Markup(script), script_hash=digest, **values)


def _environment(package: str) -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "template"), PackageLoader(__package__, "template")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "amount": amount,
        "axis": lambda name: AXES.get(str(name), str(name)),
        "count": lambda value: f"{value:,}",
        "duration": format_seconds,
        "pretty": lambda value: json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True),
        "short": lambda value: str(value)[:12],
        "signed": signed,
        "spaced": lambda value: str(value).replace("_", " "),
    }
    return environment


def signed(value: float | None, digits: int = 3) -> str:
    """Write a difference with its sign, the minus as wide as the plus; a dash for None."""
    return "–" if value is None else f"{value:+.{digits}f}".replace("-", "−")


def amount(value: Any, unit: str = "") -> str:
    """Write a large number with three digits, e.g. `8.61 TFLOP`."""
    factor, prefix = next(((limit, prefix) for limit, prefix in _UNITS if value >= limit), (1, ""))
    return f"{value / factor:.3g} {prefix}{unit}".strip()
