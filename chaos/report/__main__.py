"""`python -m chaos.report FOLDER …`: makes `report.html` of runs' folders anew, and says where it is."""

import argparse
from pathlib import Path

from chaos.report.page import write_report

parser = argparse.ArgumentParser(prog="python -m chaos.report", description=__doc__)
parser.add_argument(
    "folder", type=Path, nargs="+", help="of a run: run.json, schedule.json, history.jsonl, verdict.json"
)
for folder in parser.parse_args().folder:
    print(write_report(folder))  # noqa: T201  this is a command
