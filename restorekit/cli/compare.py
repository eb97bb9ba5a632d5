"""The command `restorekit compare`."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from restorekit.cli.records import local_file
from restorekit.errors import printable

COLUMNS = "Photos to compare, or folders whose photos are paired by name; one column for each."
TRUTH = "True photo or folder of true photos: a last column, and PSNR and SSIM of the others."
CROP = (
    "Part to enlarge: auto (where the photos differ the most), W,H (of that size, where they differ the most), X,Y,W,H "
    "(this part, in pixels of the first photo), or none."
)
ROWS = "Number of photos per page. Several pages are numbered, or in one file if it is a PDF document."
LABEL = "Label of a column; repeated for every column. Default: the names of the files or folders."


def compare(
    columns: Annotated[list[str], typer.Argument(help=COLUMNS)],
    output: Annotated[
        str, typer.Option("--output", "-o", help="File to write: .png, .jpg, .webp or .pdf.", metavar="PATH")
    ] = "comparison.png",
    truth: Annotated[str | None, typer.Option(help=TRUTH, metavar="PATH")] = None,
    crop: Annotated[str, typer.Option(help=CROP)] = "auto",
    width: Annotated[int, typer.Option(help="Width of a page in pixels.", min=200, max=8000)] = 1600,
    rows: Annotated[int, typer.Option(help=ROWS, min=1, max=100)] = 6,
    label: Annotated[list[str] | None, typer.Option(help=LABEL)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a contact sheet: photos side by side, with the part where they differ the most enlarged."""
    from restorekit.evaluation.comparison import find_comparison
    from restorekit.evaluation.contact_sheet import parse_crop, write_sheet

    part, paths = parse_crop(crop), [local_file(text) for text in columns]
    comparison = find_comparison(paths, None if truth is None else local_file(truth), label)
    files, notes = write_sheet(comparison, local_file(output), width=width, rows=rows, crop=part, overwrite=overwrite)
    notes = [*comparison.notes, *notes]
    for note in notes:
        print(printable(f"note: {note}"), file=sys.stderr)
    if as_json:
        record = {"files": [str(file) for file in files], "photos": len(comparison.rows), "notes": notes}
        print(json.dumps(record, indent=2))
    else:
        count = f"{len(comparison.rows)} photo{'s' if len(comparison.rows) > 1 else ''}"
        places = f"{len(columns)} column{'s' if len(columns) > 1 else ''}"
        print(printable(f"compare: {count} in {places} in {', '.join(map(str, files))}"))
