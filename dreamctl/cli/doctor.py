"""dreamctl doctor: check a home and this machine."""

from typing import Annotated

import typer

from dreamctl.cli.common import Home, Json, home_option, print_json


def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Repair what can be repaired automatically.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Check home, database, MLflow, rendering, GPUs and runs. Exits with 1 if it finds an error."""
    from dreamctl.jobs import doctor

    suffix = home_option(home)
    rows = []
    for finding in doctor.examine(str(home) if home else None, suffix):
        mended = fix and finding.fix is not None
        if mended and finding.fix:
            finding.fix()
        rows.append({key: getattr(finding, key) for key in ("what", "level", "text", "mend")} | {"fixed": mended})
        if not json:
            mend = " (fixed)" if mended else f"\n{'':20}{finding.mend}" if finding.mend else ""
            typer.echo(f"{finding.level:8} {finding.what:10} {finding.text}{mend}")
    if json:
        print_json(rows)
    if any(row["level"] == "error" and not row["fixed"] for row in rows):
        raise typer.Exit(1)
